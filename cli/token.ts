/** `mdi token new`: the secret that lets devices join. */
import { defaultHome } from "../engine/store/layout.ts";
import { newToken, saveToken } from "../rpc/token.ts";
import type { CommandContext } from "./program.ts";

/** Makes a token, keeps it, prints it once. */
export async function tokenNewCommand(
  options: { force?: true },
  { output }: CommandContext,
): Promise<void> {
  const token = newToken();
  const path = await saveToken(defaultHome(), token, { force: options.force ?? false });
  output.record({ type: "token", token, path });
  output.text(`${token}\n`);
  output.log(
    `Kept in ${path}. On every other device type: export MDI_TOKEN=TOKEN, or put it in the same file there with mode 600.\n` +
      "Whoever has it can join the ring, read what passes through it, and pose as any of its nodes.",
  );
}
