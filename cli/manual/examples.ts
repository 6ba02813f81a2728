/** Examples of every command, for its --help and for the manual page. */

/** One command line and what it does. */
export type Example = readonly [line: string, does: string];

/** The examples of a command. */
export interface CommandExamples {
  /** Text before them. */
  before?: string;
  examples: readonly Example[];
  /** Text after them. */
  after?: string;
}

const STATUS = `Exit status:
  0 ok, 1 a check that found something wrong, or a defect of mdi, 2 wrong usage, 3 model,
  4 peer lost or unreachable, 5 refused (token, version, busy), 6 memory or disk,
  130 and 143 ended by a signal`;

const DEVICES_FILE =
  `A file for --what-if; the first node is the starter, "link" stands for all that
"links" does not name, one way each:
  {"layers": 30, "d_model": 576, "layer_bytes": 2212000,
   "kv_bytes_per_token_layer": 1536,
   "nodes": [{"name": "pi5", "memory_bytes": 7e9, "layer_ms": 2.1,
              "embed_ms": 0.1, "head_ms": 5},
             {"name": "pi4", "memory_bytes": 3e9, "layer_ms": 5.2}],
   "link": {"rtt_ms": 0.4, "mbit": 940},
   "links": [{"from": "pi5", "to": "pi4", "rtt_ms": 2, "mbit": 50}]}`;

/** By the words that a command is typed as; a test requires one for each command. */
export const EXAMPLES: Readonly<Record<string, CommandExamples>> = {
  "mdi": {
    examples: [
      ["mdi --demo", "a ring of three on this device; its stores: $MDI_HOME/demo"],
      ["mdi --starter", "chat with the default model on this device alone"],
      ['mdi --starter --prompt "Once upon a time" --tokens 50', "continue a text"],
      ["mdi token new", "make the token that lets devices join (once a ring)"],
      ["mdi --secondary", "on each other device: wait for a starter"],
      ["mdi --starter --peers pi-a,pi-b", "load the model over three devices and chat"],
      ["mdi pull --help", "what a command takes"],
    ],
    after: STATUS,
  },
  "mdi pull": {
    examples: [
      ["mdi pull", "the default model"],
      ["mdi pull bartowski/Llama-3.2-1B-Instruct-GGUF:Q4_K_M", "one file of a repository"],
      ["mdi pull ./model.gguf", "cut a file that is on this device"],
    ],
  },
  "mdi inspect": {
    examples: [["mdi inspect ./model.gguf", "what it is made of"]],
  },
  "mdi plan": {
    before: DEVICES_FILE,
    examples: [
      ["mdi plan --peers pi-a,pi-b --samples 8", "for the devices that are there"],
      ["mdi plan --what-if devices.json --samples 8", "for devices that are not"],
      ["mdi plan --what-if devices.json --json", "for programs"],
    ],
  },
  "mdi simulate": {
    examples: [
      ["mdi simulate --what-if devices.json --samples 5000 --tokens 50-200", "many samples"],
      [
        "mdi simulate --what-if devices.json --jitter 2 --loss 0.01 --throttle pi4=2@60 --report run.html",
        "a bad network and a hot device, with charts",
      ],
      ["mdi simulate --what-if devices.json --layers 20,10 --die pi4@30", "a split of your own"],
    ],
  },
  "mdi store": { examples: [["mdi store list", "what is stored"]] },
  "mdi store list": { examples: [["mdi store list", "what is stored, and since when unused"]] },
  "mdi store verify": { examples: [["mdi store verify", "find damaged files"]] },
  "mdi store remove": {
    examples: [["mdi store remove smollm2-135m-instruct", "by the name that list shows"]],
  },
  "mdi token": { examples: [["mdi token new", "once a ring"]] },
  "mdi token new": {
    examples: [
      ["mdi token new", "keep it here, and print it for the other devices"],
      ["mdi token new --force", "expel whoever has the old one"],
    ],
  },
  "mdi doctor": {
    examples: [
      ["mdi doctor", "this device"],
      ["mdi doctor --peers pi-a,pi-b", "this device and its peers"],
      ["mdi doctor --json", "for programs"],
    ],
    after: "Exit status:\n  0 nothing is bad, else that of what would fail, as of mdi",
  },
  "mdi verify": {
    examples: [
      ["mdi verify", "this device"],
      ["mdi verify --peers pi-a,pi-b", "this device, then the ring of three"],
      ["mdi verify --peers pi-a --layers 0,30", "every layer on pi-a"],
    ],
    after: "Exit status:\n  0 every token is the golden one, 1 a token differs; others as of mdi",
  },
  "mdi service": { examples: [["mdi service install", "a service of your own"]] },
  "mdi service install": {
    examples: [
      ["mdi service install", "of your own"],
      ["mdi service install --memory 2GB --log json", "with a limit, logging JSON"],
      ["sudo mdi service install --system", "of the whole device"],
    ],
  },
  "mdi service uninstall": {
    examples: [["mdi service uninstall", "your own"], [
      "sudo mdi service uninstall --system",
      "the device's",
    ]],
  },
  "mdi service print": {
    examples: [["mdi service print --system", "see it before it is written"]],
  },
  "mdi completions": {
    examples: [
      [
        "mdi completions bash > ~/.local/share/bash-completion/completions/mdi",
        "for bash, from its next start",
      ],
      ["mdi completions zsh > ~/.zfunc/_mdi", "for zsh, with ~/.zfunc in its fpath"],
      ["mdi completions fish > ~/.config/fish/completions/mdi.fish", "for fish"],
    ],
  },
  "mdi man": {
    examples: [
      ["mdi man | man -l -", "read it"],
      ["mdi man > ~/.local/share/man/man1/mdi.1", "keep it for man mdi"],
    ],
  },
};

/** Longer lines have what they do below them. */
const MAX_COLUMN = 52;

/** The examples as --help shows them; empty where a command has none. */
export function examplesText(path: string): string {
  const found = EXAMPLES[path];
  if (!found) return "";
  const { before, examples, after } = found;
  const short = examples.map(([line]) => line.length).filter((length) => length <= MAX_COLUMN);
  const width = Math.max(12, ...short);
  const lines = examples.map(([line, does]) =>
    line.length > width
      ? `  ${line}\n  ${" ".repeat(width)}  ${does}`
      : `  ${line.padEnd(width)}  ${does}`
  );
  const parts = [before, `Examples:\n${lines.join("\n")}`, after];
  return `\n${parts.filter((part) => part !== undefined).join("\n\n")}\n`;
}
