import { assertEquals } from "@std/assert";
import { messageIn } from "./chat.ts";

Deno.test("messageIn() tells a message from a command, which begins with one slash", () => {
  for (const command of ["/foo", "/stat ", "/"]) assertEquals(messageIn(command), undefined);
  assertEquals(messageIn("//etc/hosts is what?"), "/etc/hosts is what?");
  assertEquals(messageIn(" /etc/hosts is what?"), "/etc/hosts is what?");
  assertEquals(messageIn("  a / b "), "  a / b ");
  assertEquals(messageIn(" \t"), "");
});
