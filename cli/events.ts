/** Shows what happens while a ring is made: progress of what takes time, notes as log lines. */
import type { RingEvent } from "../rpc/ring_options.ts";
import type { Output } from "./output.ts";
import { type Progress, startProgress } from "./progress.ts";

/** Shows events until it is disposed. */
export function showEvents(output: Output): Disposable & { show(event: RingEvent): void } {
  const running = new Map<string, Progress>();
  const end = () => {
    for (const progress of running.values()) progress.end();
    running.clear();
  };
  return {
    show(event) {
      if (event.type === "note" || event.type === "plan") {
        end();
        output.log(event.node ? `${event.node}: ${event.message}` : event.message, {
          event: event.type,
        });
        return;
      }
      if (!event.total || event.done === undefined) return;
      const what = event.type === "import" ? "cutting the model" : event.message;
      let progress = running.get(what);
      if (!progress) running.set(what, progress = startProgress(what, output.progress()));
      progress.update(event.done, event.total);
    },
    [Symbol.dispose]: end,
  };
}
