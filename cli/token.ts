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
  output.record({ type: "new_token", token, path });
  output.text(`${token}\n`);
  output.log(`
Kept in ${path}, where mdi looks for it. Next, on every other device, paste it into the same file:
  mkdir -p ~/.cache/mdi && (umask 077 && cat > ~/.cache/mdi/token)    then the token, Enter, Ctrl-D
or set MDI_TOKEN to it. Then type there:  mdi --secondary
and here:  mdi --starter --peers HOST,HOST
Keep it secret: whoever has it can join the ring, read what passes through it, and pose as any node.`);
}
