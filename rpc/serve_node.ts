/** A secondary: listens, serves one ring at a time, and hands out the blocks it has. */
import { cancellable } from "../engine/cancellable.ts";
import { openStore } from "../engine/store/store.ts";
import { formatAddress } from "./address.ts";
import { ControlService } from "./control_service.ts";
import { describeDevice } from "./device.ts";
import { requireTypes } from "./option_types.ts";
import { ringRoutes } from "./ring_service.ts";
import { type NodeOptions, resolveNode } from "./ring_options.ts";
import { serve } from "./server.ts";

/** What {@linkcode serveNode} may be told. */
export interface ServeNodeOptions extends NodeOptions {
  /** Told what happens, one line an event. */
  onLog?: (message: string, fields?: Record<string, unknown>) => void;
}

/** A secondary that listens. */
export interface MdiNode extends AsyncDisposable {
  /** How messages name it. */
  readonly name: string;
  /** HOST:PORT that it listens on. */
  readonly address: string;
  /** Whether it has a token: without one it is reachable from this device only. */
  readonly secure: boolean;
  /** Stops listening, ends its ring and frees everything. */
  close(): Promise<void>;
}

/**
 * Makes this process a secondary.
 * @throws {MdiError} address_in_use, refused_token, disk
 * @throws {TypeError | RangeError} where an option is not what it must be.
 */
export async function serveNode(options: ServeNodeOptions = {}): Promise<MdiNode> {
  requireTypes(options, { onLog: "function", signal: "signal" });
  return await cancellable("serve", options.signal, () => startNode(options));
}

async function startNode(options: ServeNodeOptions): Promise<MdiNode> {
  const node = await resolveNode(options);
  const log = options.onLog ?? (() => {});
  const store = await openStore(node.home, { limitBytes: node.storeLimitBytes, onNote: log });
  const control = new ControlService({
    name: node.name,
    store,
    describe: () => describeDevice(node.home, node),
    serve: {
      store,
      identity: node.identity,
      backend: node.backend,
      threads: node.threads,
      memoryBytes: node.memoryBytes,
      pace: node.pace,
    },
    log,
  });
  const server = await serve({
    listen: node.listen,
    identity: node.identity,
    signal: options.signal,
    settled: () => control.settled(),
    routes(router) {
      control.routes(router);
      ringRoutes(router, () => control.membership);
    },
  });
  const close = () => server.close();
  return {
    name: node.name,
    address: formatAddress(server.address),
    secure: node.identity !== undefined,
    close,
    [Symbol.asyncDispose]: close,
  };
}
