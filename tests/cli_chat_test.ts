/** A conversation on a terminal. */
import { assert, assertEquals } from "@std/assert";
import { fileURLToPath } from "node:url";
import { temporaryDirectory } from "./support/refusal.ts";
import { hasTerminal, Terminal } from "./support/terminal.ts";

const MODEL = fileURLToPath(new URL("./fixtures/tiny-llama-tied", import.meta.url));
const MAIN = fileURLToPath(new URL("../cli/main.ts", import.meta.url));

function chat(home: string, ...flags: string[]): Terminal {
  const mdi = [
    Deno.execPath(),
    "run",
    "--quiet",
    "-A",
    MAIN,
    "--starter",
    "--model",
    MODEL,
    "--seed",
    "1",
  ];
  return new Terminal([...mdi, ...flags], { MDI_HOME: home, TERM: "xterm" });
}

Deno.test({
  name: "mdi chats on a terminal: turns, Ctrl-C stops an answer, /exit ends",
  ignore: !hasTerminal,
  async fn() {
    await using dir = await temporaryDirectory();
    await using terminal = chat(dir.path, "--tokens", "12", "--ignore-eos");
    let at = await terminal.see(/\n> $/);
    assert(/^tiny-llama-tied on 1 node\. Type a message/m.test(terminal.screen), terminal.screen);

    await terminal.type("Hello there\r");
    at = await terminal.see(/\[cut after 12 tokens: .*\]\r\n\r\n> $/, at);
    await terminal.type("\r");
    at = await terminal.see(/^\r\n\r\n> $/, at);
    await terminal.type("/stats\r");
    at = await terminal.see(/12 tokens in .*tokens\/s[\s\S]*\n> $/, at);
    await terminal.type("Go on\r");
    at = await terminal.see(/\[cut after 12 tokens: .*\]\r\n\r\n> $/, at);
    await terminal.type("/new\r");
    at = await terminal.see(/\n> $/, at);
    await terminal.type("/help\r");
    at = await terminal.see(/\/new starts over[\s\S]*\r\n\r\n> $/, at);
    await terminal.type("/stat\r");
    at = await terminal.see(/There is no \/stat; there are \/new,[\s\S]*\r\n\r\n> $/, at);

    await terminal.type("\x03");
    at = await terminal.see(/\^C\r\n\(Ctrl-C once more ends, .*\)\r\n> $/, at);
    await terminal.type("Still there?\r");
    at = await terminal.see(/\[cut after 12 tokens: .*\]\r\n\r\n> $/, at);
    await terminal.type("/exit\r");
    assertEquals(await terminal.ended(), 0);
    // deno-lint-ignore no-control-regex
    assert(!/[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]/.test(terminal.screen), terminal.screen);
    assert(!terminal.screen.includes("error"), terminal.screen);
  },
});

Deno.test({
  name:
    "mdi's chat: Ctrl-C in an answer stops it, a conversation that is too long goes on, Ctrl-D ends",
  ignore: !hasTerminal,
  async fn() {
    await using dir = await temporaryDirectory();
    await using terminal = chat(dir.path, "--tokens", "400", "--ignore-eos");
    let at = await terminal.see(/\n> $/);
    await terminal.type("Tell me everything\r");
    at = await terminal.see(/Tell me everything\r\n[\s\S]+/, at);
    await terminal.type("\x03");
    at = await terminal.see(/\[stopped\]\r\n\r\n> $/, at);

    await terminal.type(`${"long ".repeat(300)}\r`);
    at = await terminal.see(/\[Cannot use .*512.*\/new starts over\]\r\n\r\n> $/, at);
    await terminal.type("/new\r");
    at = await terminal.see(/\n> $/, at);
    await terminal.type("Short\r");
    at = await terminal.see(/Short\r\n[\s\S]+/, at);
    await terminal.type("\x03");
    at = await terminal.see(/\[stopped\]\r\n\r\n> $/, at);
    await terminal.type("\x04");
    assertEquals(await terminal.ended(), 0);
  },
});

Deno.test({
  name: "mdi's chat ends with status 130 when Ctrl-C is pressed twice at the prompt",
  ignore: !hasTerminal,
  async fn() {
    await using dir = await temporaryDirectory();
    await using terminal = chat(dir.path, "--quiet");
    const at = await terminal.see(/\n> $/);
    assertEquals(terminal.screen, "\r\n> ");
    await terminal.type("\x03");
    await terminal.see(/\)\r\n> $/, at);
    await terminal.type("\x03");
    assertEquals(await terminal.ended(), 130);
  },
});
