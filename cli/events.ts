/** Shows what happens while a ring is made: progress of what takes time, notes as log lines. */
import type { RingEvent } from "../rpc/ring_options.ts";
import type { Output } from "./output.ts";
import { type Progress, type ProgressUnit, startProgress } from "./progress.ts";

/** Loading packed weights tells no progress; one that takes longer than this is said. */
const LOAD_NOTE_MS = 1500;

/** What is counted where it is no bytes. */
const UNITS = new Map<RingEvent["type"], ProgressUnit>([["import", "blocks"], ["measure", "ms"]]);

/** Shows events until it is disposed. */
export function showEvents(output: Output): Disposable & { show(event: RingEvent): void } {
  const running = new Map<string, Progress>();
  const notes = new Map<string, ReturnType<typeof setTimeout>>();
  const end = () => {
    for (const progress of running.values()) progress.end();
  };
  const log = (text: string, type: string) => {
    end();
    output.log(text, { event: type });
  };
  const note = (text: string) => {
    if (notes.has(text)) return;
    notes.set(text, setTimeout(() => log(text, "load"), LOAD_NOTE_MS));
  };
  return {
    show(event) {
      const { type, node, message, done, total } = event;
      if (type === "note" || type === "plan") {
        return log(node ? `${node}: ${message}` : message, type);
      }
      if (type === "load" && !total) return note(node ? message : "loading the model");
      if (!total || done === undefined) return;
      const what = type === "import" ? "cutting the model" : message;
      let progress = running.get(what);
      if (!progress) {
        output.debug(node ? `${node}: ${what}` : what, { event: type });
        const unit = UNITS.get(type) ?? "bytes";
        running.set(what, progress = startProgress(what, output.progress(), unit));
      }
      progress.update(done, total);
    },
    [Symbol.dispose]() {
      end();
      for (const timer of notes.values()) clearTimeout(timer);
    },
  };
}
