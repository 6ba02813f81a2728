/** Shows what happens while a ring is made: progress of what takes time, notes as log lines. */
import type { RingEvent } from "../rpc/ring_options.ts";
import type { Output } from "./output.ts";
import { type Progress, startProgress } from "./progress.ts";

/** Shows events until it is disposed. */
export function showEvents(output: Output): Disposable & { show(event: RingEvent): void } {
  let current: { key: string; progress: Progress } | undefined;
  const end = () => {
    current?.progress.end();
    current = undefined;
  };
  return {
    show(event) {
      if (event.type === "note" || event.type === "plan") {
        end();
        output.log(event.node ? `${event.node}: ${event.message}` : event.message, { event: event.type });
        return;
      }
      if (event.done === undefined || event.total === undefined) return;
      const key = event.type === "import" ? "import" : event.message;
      if (current?.key !== key) {
        end();
        const what = event.type === "import" ? "cutting the model" : event.message;
        current = { key, progress: startProgress(what, output.progress()) };
      }
      current.progress.update(event.done, event.total);
    },
    [Symbol.dispose]: end,
  };
}
