/** The data plane's server side: the predecessor's link finds the stay that it belongs to. */
import type { ConnectRouter } from "@connectrpc/connect";
import { LINK_CREDITS } from "../engine/ring/message.ts";
import type { SpanRecorder } from "../engine/ring/spans.ts";
import { MdiError } from "../wasm/error.ts";
import type { FrameCodec } from "./frame.ts";
import type { LinkReceiver } from "./link.ts";
import { createLinkHandler } from "./link_handler.ts";

/** Who takes a link in: a secondary's stay, or the starter. */
export interface LinkTarget {
  /** The ring's wiring; undefined before it is known. */
  readonly epoch: number | undefined;
  /** Index of the node whose link is due. */
  readonly predecessor: number;
  /** Whether that link is there. */
  readonly linked: boolean;
  readonly inputCodec: FrameCodec;
  /** Records what the link does, where the run is traced. */
  readonly spans?: SpanRecorder | undefined;
  accept(receiver: LinkReceiver): void;
}

/** Registers the service. */
export function ringRoutes(router: ConnectRouter, target: () => LinkTarget | undefined): void {
  createLinkHandler(({ epoch, from }) => {
    const node = target();
    if (!node || node.epoch !== epoch) {
      throw refusal(`a link of epoch ${epoch}: the ring here is another`);
    }
    if (from !== node.predecessor) {
      throw refusal(`a link from node ${from}: node ${node.predecessor} comes before this one`);
    }
    if (node.linked) throw refusal(`a second link from node ${from}: it is already linked`);
    return {
      codec: node.inputCodec,
      credits: LINK_CREDITS,
      spans: node.spans,
      receive: (receiver) => node.accept(receiver),
    };
  })(router);
}

function refusal(what: string): MdiError {
  return new MdiError("protocol", `Cannot take ${what}`);
}
