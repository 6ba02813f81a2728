/**
 * A node measures itself for a starter that is about to plan a ring: what it takes to compute, and its ways
 * to the ring's other nodes. One starter at a time, and none while the node serves a ring.
 */
import { create } from "@bufbuild/protobuf";
import type { HandlerContext } from "@connectrpc/connect";
import { MdiError, messageOf } from "../wasm/error.ts";
import { AsyncQueue } from "../engine/async_queue.ts";
import { deviceFacts } from "../engine/device/facts.ts";
import { collectGarbage } from "../engine/device/memory.ts";
import { blocksOfProfile } from "../engine/profile/profile_blocks.ts";
import { profileNode } from "../engine/profile/profile_node.ts";
import { formatAddress } from "./address.ts";
import { MAX_NODES, readAddress, readManifest } from "./configuration.ts";
import { answerEchoes, measureLink } from "./echo.ts";
import { toConnectError } from "./error.ts";
import { factsToWire } from "./device_facts.ts";
import { fetchBlocks } from "./fetch_blocks.ts";
import {
  type EchoRequest,
  type EchoResponse,
  LinkFiguresSchema,
  type MeasureLinksRequest,
  type MeasureLinksResponse,
  MeasureLinksResponseSchema,
  type Profiled,
  ProfiledSchema,
  type ProfileRequest,
  type ProfileResponse,
  ProfileResponseSchema,
} from "./gen/mdi/v1/control_pb.ts";
import { kvFromWire } from "./kv_type.ts";
import type { MembershipOptions } from "./membership.ts";
import { plainWord } from "./plain_text.ts";
import { VERSION } from "./version.ts";

/** What a node measures itself with: as in a stay. */
export type ProfiledNode = Omit<MembershipOptions, "signal" | "onProgress">;

/** What the measurements need of their node. */
export interface ProfileServiceOptions {
  /** The node's name. */
  name: string;
  /** Absent on a starter, which is measured by nobody but itself. */
  node: ProfiledNode | undefined;
  /** Name of the starter whose ring it serves. */
  serving(): string | undefined;
  /** Told what happens, one line an event. */
  log(message: string, fields?: Record<string, unknown>): void;
}

/** Answers Profile, MeasureLinks and Echo. */
export class ProfileService {
  #options: ProfileServiceOptions;
  #measuredFor: string | undefined;
  #work: Promise<void> = Promise.resolve();

  /** Makes one that measures nothing yet. */
  constructor(options: ProfileServiceOptions) {
    this.#options = options;
  }

  /** Name of the starter that the node is measured for now. */
  get measuredFor(): string | undefined {
    return this.#measuredFor;
  }

  /** Settles when the last measurement so far has let go of everything. */
  get settled(): Promise<void> {
    return this.#work;
  }

  /**
   * Refuses what would come between a starter and its node.
   * @throws {MdiError} busy
   */
  requireFree(): void {
    this.#requireIdle();
    if (this.#measuredFor === undefined) return;
    throw new MdiError(
      "busy",
      `"${this.#options.name}" is measured for "${this.#measuredFor}"; try again when that is over`,
      { details: { holder: this.#measuredFor } },
    );
  }

  /** A ring that runs is not to be disturbed, even by who only measures the way to its nodes. */
  #requireIdle(): void {
    const holder = this.#options.serving();
    if (holder === undefined) return;
    throw new MdiError(
      "busy",
      `"${this.#options.name}" serves the ring of "${holder}"; stop that one first, or leave this node out`,
      { details: { holder } },
    );
  }

  /** Measures, and tells how far it is. */
  async *profile(
    request: ProfileRequest,
    context: HandlerContext,
  ): AsyncGenerator<ProfileResponse> {
    const responses = new AsyncQueue<ProfileResponse>();
    const ending = new AbortController();
    const signal = AbortSignal.any([context.signal, ending.signal]);
    const onAbort = () => responses.end();
    try {
      using claimed = this.#claim(request.starter);
      context.signal.addEventListener("abort", onAbort, { once: true });
      const work = this.#profile(
        claimed.node,
        request,
        signal,
        (what, done, total) =>
          responses.push(create(ProfileResponseSchema, {
            message: {
              case: "progress",
              value: {
                $typeName: "mdi.v1.Progress",
                what,
                done: whole(done),
                total: whole(total),
              },
            },
          })),
      ).then(
        (value) => {
          responses.push(
            create(ProfileResponseSchema, { message: { case: "profiled", value } }),
          );
          responses.end();
        },
        (error: Error) => responses.end(error),
      );
      this.#work = work;
      try {
        yield* responses;
      } finally {
        // Who is gone needs no measurement; the node is free when it has ended.
        ending.abort(new MdiError("cancelled", "The measurement ended"));
        await work;
      }
    } catch (error) {
      throw toConnectError(error);
    } finally {
      context.signal.removeEventListener("abort", onAbort);
    }
  }

  /** Measures the ways to other nodes, one after another: together they would share this node's own. */
  async measureLinks(
    request: MeasureLinksRequest,
    context: HandlerContext,
  ): Promise<MeasureLinksResponse> {
    try {
      using claimed = this.#claim(request.starter);
      const { identity } = claimed.node;
      if (request.addresses.length > MAX_NODES) {
        throw new MdiError(
          "protocol",
          `Cannot measure ${request.addresses.length} links: at most ${MAX_NODES}`,
        );
      }
      const links = [];
      for (const address of request.addresses.map(readAddress)) {
        const { signal } = context;
        try {
          links.push(create(LinkFiguresSchema, await measureLink(address, { identity, signal })));
        } catch (error) {
          signal.throwIfAborted();
          this.#options.log(
            `cannot measure the link to ${formatAddress(address)}: ${messageOf(error)}`,
            { event: "link" },
          );
          links.push(create(LinkFiguresSchema, {}));
        }
      }
      collectGarbage(); // of what went over them, before the starter asks what is free
      return create(MeasureLinksResponseSchema, { links });
    } catch (error) {
      throw toConnectError(error);
    }
  }

  /** Echoes for a node that measures the link to this one. */
  async *echo(requests: AsyncIterable<EchoRequest>): AsyncGenerator<EchoResponse> {
    try {
      this.#requireIdle();
      yield* answerEchoes(requests);
    } catch (error) {
      throw toConnectError(error);
    }
  }

  async #profile(
    node: ProfiledNode,
    request: ProfileRequest,
    signal: AbortSignal,
    onProgress: (what: string, done: number, total: number) => void,
  ): Promise<Profiled> {
    const manifest = readManifest(request.manifest);
    const kv = kvFromWire(request.kv);
    if (kv === undefined) {
      throw new MdiError("protocol", `Cannot measure with KV caches of type number ${request.kv}`);
    }
    if (request.providers.length > MAX_NODES) {
      throw new MdiError(
        "protocol",
        `Cannot fetch blocks from ${request.providers.length} nodes: at most ${MAX_NODES}`,
      );
    }
    const providers = request.providers.map(readAddress);
    const { store, identity } = node;
    await using pin = await store.pin();
    const { profile, ...how } = await profileNode({
      ...node,
      ...{ manifest, kv, signal, onProgress },
      model: plainWord(manifest.name),
      starter: false,
      version: VERSION,
      pace: node.pace ?? undefined,
      again: request.again,
      fetch: async () => {
        await fetchBlocks(blocksOfProfile(manifest, false), {
          ...{ store, identity, providers, pin, signal },
          onProgress: (done, total) => onProgress("fetch", done, total),
        });
      },
    });
    const facts = factsToWire(await deviceFacts());
    return create(ProfiledSchema, { profile: JSON.stringify(profile), facts, ...how });
  }

  /**
   * Takes the node for a measurement, until it is disposed of.
   * @throws {MdiError} busy
   */
  #claim(starter: string): Disposable & { node: ProfiledNode } {
    const { name, node, log } = this.#options;
    if (!node) throw new MdiError("busy", `"${name}" is a starter and serves no ring`);
    this.requireFree();
    this.#measuredFor = plainWord(starter) || "a starter without a name";
    log(`measured for "${this.#measuredFor}"`, { event: "measured" });
    return { node, [Symbol.dispose]: () => this.#measuredFor = undefined };
  }
}

/** A count of bytes or ms as the wire has it. */
function whole(value: number): bigint {
  return BigInt(Math.round(value));
}
