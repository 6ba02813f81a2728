/** The control plane's server side: introductions, blocks for others, and one stay at a time. */
import { create } from "@bufbuild/protobuf";
import type { ConnectRouter, HandlerContext, ServiceImpl } from "@connectrpc/connect";
import { MdiError, messageOf } from "../wasm/error.ts";
import { AsyncQueue } from "../engine/async_queue.ts";
import { isHash } from "../engine/store/layout.ts";
import type { Store } from "../engine/store/store.ts";
import { toConnectError } from "./error.ts";
import {
  Control,
  type Device,
  HasResponseSchema,
  HelloResponseSchema,
  type ServeRequest,
  type ServeResponse,
  ServeResponseSchema,
} from "./gen/mdi/v1/control_pb.ts";
import { Membership, type MembershipOptions } from "./membership.ts";
import { peerOf } from "./request_handler.ts";
import { plainWord } from "./plain_text.ts";
import { ProfileService } from "./profile_service.ts";
import { spansMessage } from "./trace.ts";
import { Underway } from "./underway.ts";
import { checkIdentity, ownIdentity } from "./version.ts";

/** Hashes that one question may hold: more than any model has blocks. */
const MAX_HASHES = 2048;

/** What the control service speaks for. */
export interface ControlOptions {
  name: string;
  store: Store;
  describe(): Promise<Device>;
  /** Absent on a starter, which serves nobody. */
  serve?: Omit<MembershipOptions, "signal" | "onProgress">;
  /** Told what happens, one line an event. */
  log(message: string, fields?: Record<string, unknown>): void;
}

/** The state that Control and Ring share: who is served now. */
export class ControlService {
  #options: ControlOptions;
  #instance = crypto.randomUUID();
  #serving: { starter: string; membership: Membership } | undefined;
  #profiles: ProfileService;
  #calls = new Underway();

  /** Makes a free node. */
  constructor(options: ControlOptions) {
    this.#options = options;
    const { name, serve: node, log } = options;
    const serving = () => this.#serving?.starter;
    this.#profiles = new ProfileService({ name, node, serving, log });
  }

  /** The stay that the node is in. */
  get membership(): Membership | undefined {
    return this.#serving?.membership;
  }

  /** Settles when calls that were under way have let go of everything; the connections are closed before. */
  async settled(): Promise<void> {
    await this.#profiles.settled;
    await this.#calls.settled();
  }

  /** Registers the service. */
  routes(router: ConnectRouter): void {
    const implementation: ServiceImpl<typeof Control> = {
      hello: async ({ caller }) => {
        using _call = this.#calls.enter();
        try {
          checkIdentity(`"${plainWord(caller?.name ?? "a caller without a name")}"`, caller);
          return create(HelloResponseSchema, {
            node: ownIdentity(this.#options.name),
            device: await this.#options.describe(),
            serving: this.#serving?.starter ?? this.#profiles.measuredFor ?? "",
            instance: this.#instance,
            unixMs: Date.now(),
          });
        } catch (error) {
          throw toConnectError(error);
        }
      },
      has: async ({ hashes }) => {
        using _call = this.#calls.enter();
        const { store } = this.#options;
        const present = [];
        for (const hash of hashes.slice(0, MAX_HASHES)) {
          present.push(isHash(hash) && await store.has(hash));
        }
        return create(HasResponseSchema, { present });
      },
      fetch: (request, context) => this.#fetch(request, context),
      serve: (requests, context) => this.#serve(requests, context),
      profile: (request, context) => this.#profiles.profile(request, context),
      measureLinks: (request, context) => this.#profiles.measureLinks(request, context),
      echo: (requests) => this.#profiles.echo(requests),
    };
    router.service(Control, implementation);
  }

  async *#fetch({ hash, offset }: { hash: string; offset: bigint }, context: HandlerContext) {
    using _call = this.#calls.enter();
    try {
      if (!isHash(hash)) {
        throw new MdiError("protocol", "Cannot send a block: its hash is malformed");
      }
      await using _pin = await this.#options.store.pin(hash);
      const size = await this.#options.store.size(hash) ?? 0;
      if (offset > BigInt(size)) {
        throw new MdiError("protocol", `Cannot send a block from ${offset}: it has ${size} bytes`);
      }
      for await (const data of this.#options.store.stream(hash, Number(offset))) {
        if (context.signal.aborted) return;
        yield { data };
      }
    } catch (error) {
      throw toConnectError(error);
    }
  }

  async *#serve(
    requests: AsyncIterable<ServeRequest>,
    context: HandlerContext,
  ): AsyncGenerator<ServeResponse> {
    using _call = this.#calls.enter();
    const { serve, log, describe } = this.#options;
    const responses = new AsyncQueue<ServeResponse>();
    const say = (message: ServeResponse["message"]) =>
      responses.push(create(ServeResponseSchema, { message }));
    const ending = new AbortController();
    const signal = AbortSignal.any([context.signal, ending.signal]);
    const onAbort = () => responses.end();
    signal.addEventListener("abort", onAbort, { once: true });
    let mine = false;
    try {
      if (!serve) {
        throw new MdiError("busy", `"${this.#options.name}" is a starter and serves no ring`);
      }
      const iterator = requests[Symbol.asyncIterator]();
      const first = await iterator.next();
      if (first.done || first.value.message.case !== "claim") {
        throw new MdiError("protocol", "Cannot serve: the first message must be a claim");
      }
      const starter = plainWord(first.value.message.value.starter) || "a starter without a name";
      this.#profiles.requireFree();
      await using membership = new Membership({
        ...serve,
        signal,
        onProgress: (what, done, total) =>
          say({ case: "progress", value: progress(what, done, total) }),
      });
      this.#serving = { starter, membership };
      mine = true;
      const peer = peerOf(context);
      log(`serving "${starter}" at ${peer.remoteAddress.host}`, { event: "claimed", starter });
      say({ case: "welcome", value: { $typeName: "mdi.v1.Welcome", device: await describe() } });
      const failed = (error: unknown) => {
        if (!signal.aborted && !membership.released) {
          log(`cannot go on: ${messageOf(error)}`, { event: "failed" });
          const code = error instanceof MdiError ? error.code : "internal";
          say({
            case: "failure",
            value: { $typeName: "mdi.v1.Failure", code, message: messageOf(error).slice(0, 1000) },
          });
        }
        responses.end();
      };
      membership.failed.then(failed);
      this.#obey(membership, iterator, say, log).then(() => responses.end(), failed);
      yield* responses;
    } catch (error) {
      throw toConnectError(error);
    } finally {
      signal.removeEventListener("abort", onAbort);
      ending.abort(new MdiError("cancelled", "The stay ended"));
      if (mine) {
        log(`free again`, { event: "free" });
        this.#serving = undefined;
      }
    }
  }

  /** Does what the starter says until it has nothing more to say. */
  async #obey(
    membership: Membership,
    requests: AsyncIterator<ServeRequest>,
    say: (message: ServeResponse["message"]) => void,
    log: ControlOptions["log"],
  ): Promise<void> {
    while (true) {
      const { done, value } = await requests.next();
      if (done) return;
      const { message } = value;
      switch (message.case) {
        case "configure": {
          const { firstLayer, lastLayer } = message.value;
          log(`loading layers ${firstLayer} to ${lastLayer}`, {
            event: "configure",
            firstLayer,
            lastLayer,
          });
          const ready = await membership.configure(message.value);
          for (const note of ready.notes) log(note, { event: "note" });
          log(`ready: layers ${firstLayer} to ${lastLayer}`, { event: "ready" });
          say({ case: "ready", value: ready });
          break;
        }
        case "open":
          await membership.open();
          say({ case: "linked", value: { $typeName: "mdi.v1.Linked" } });
          break;
        case "stats":
          say({ case: "stats", value: membership.stats() });
          break;
        case "clock":
          say({ case: "clock", value: { $typeName: "mdi.v1.Clock", nowMs: performance.now() } });
          break;
        case "spans":
          say({ case: "spans", value: spansMessage(membership.spans, message.value.from) });
          break;
        case "release":
          membership.release();
          say({ case: "released", value: { $typeName: "mdi.v1.Released" } });
          break;
        default:
          throw new MdiError(
            "protocol",
            `Cannot obey: a message of kind "${message.case}" is not due`,
          );
      }
    }
  }
}

function progress(what: string, done: number, total: number) {
  return { $typeName: "mdi.v1.Progress" as const, what, done: BigInt(done), total: BigInt(total) };
}
