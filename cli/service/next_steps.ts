/** What to type after `mdi service`. */
import { type Scope, TOKEN_FILE, UNIT } from "./unit.ts";

/** After the unit was written. */
export function nextSteps(scope: Scope): string {
  const { shown } = TOKEN_FILE[scope];
  const lines = scope === "system"
    ? [
      "Next, the ring's token; this, then MDI_TOKEN=mdi1-…, Enter, Ctrl-D:",
      `  sudo sh -c 'umask 077; mkdir -p /etc/mdi; cat > ${shown}'`,
      "and start it, now and whenever this device starts:",
      "  sudo systemctl daemon-reload",
      `  sudo systemctl enable --now ${UNIT}`,
      "To see what it does:",
      `  journalctl -u ${UNIT} -f`,
    ]
    : [
      "Next, the ring's token; this, then MDI_TOKEN=mdi1-…, Enter, Ctrl-D:",
      `  (umask 077; mkdir -p ~/.config/mdi; cat > ${shown})`,
      "and start it, now and whenever this device starts:",
      "  systemctl --user daemon-reload",
      `  systemctl --user enable --now ${UNIT}`,
      "  loginctl enable-linger",
      "To see what it does:",
      `  journalctl --user -u ${UNIT} -f`,
      "Where it fails with 217/USER or 226/NAMESPACE, this system lets no user make namespaces: use --system",
    ];
  return `\n${lines.join("\n")}`;
}

/** After it was removed. */
export function stepsAfterRemoval(scope: Scope): string {
  const systemctl = scope === "system" ? "sudo systemctl" : "systemctl --user";
  const state = scope === "system" ? "/var/lib/mdi" : "~/.local/state/mdi or ~/.config/mdi";
  return `
Next, where it still runs:
  ${systemctl} stop ${UNIT}
  ${systemctl} daemon-reload
Its blocks stay in ${state}, unless --home named another directory; its token in ${
    TOKEN_FILE[scope].shown
  }`;
}
