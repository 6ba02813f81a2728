/**
 * A link within one process. Messages take their wire form and are checked as on the network, so that a
 * ring in memory computes what a ring of devices computes, f16 rounding included.
 */
import { IncomingLink, predecessorLost } from "./incoming.ts";
import type { LinkAcceptor, LinkSender } from "./link.ts";
import { OutgoingLink, type OutgoingLinkOptions } from "./outgoing.ts";

/** How {@linkcode openMemoryLink} opens. */
export type MemoryLinkOptions =
  & Omit<OutgoingLinkOptions, "closeTimeoutMs">
  & Partial<Pick<OutgoingLinkOptions, "closeTimeoutMs">>;

/**
 * Opens a link to `accept`.
 * @throws {MdiError} what `accept` refuses with; cancelled.
 */
export async function openMemoryLink(
  accept: LinkAcceptor,
  options: MemoryLinkOptions,
): Promise<LinkSender> {
  const { closeTimeoutMs = 2000 } = options;
  // Both ends run later, as they would on a network, and in order.
  const incoming = new IncomingLink({
    grant: (credits) => queueMicrotask(() => sender.granted(credits)),
    end: (reason) => queueMicrotask(() => sender.ended(reason)),
  }, accept);
  const sender = new OutgoingLink({
    write(bytes) {
      queueMicrotask(() => incoming.message(bytes));
      return bytes.length;
    },
    end: () => queueMicrotask(() => incoming.ended()),
    destroy: () => queueMicrotask(() => incoming.fail(predecessorLost())),
  }, { ...options, closeTimeoutMs });
  await sender.opened();
  return sender;
}
