/** A starter's side by hand, for tests of what a secondary does with what no real starter sends. */
import { create } from "@bufbuild/protobuf";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { loadModel } from "../engine/load_model.ts";
import type { Manifest } from "../engine/model/types.ts";
import { MAX_FRAME_ROWS, type RingMessage } from "../engine/ring/message.ts";
import { openStore } from "../engine/store/store.ts";
import { formatAddress, parseAddress } from "./address.ts";
import { ControlService } from "./control_service.ts";
import { describeDevice } from "./device.ts";
import { createFrameCodec, type FrameCodec } from "./frame.ts";
import { type Configure, ConfigureSchema } from "./gen/mdi/v1/control_pb.ts";
import type { LinkReceiver, LinkSender } from "./link.ts";
import { connectLink } from "./link_connect.ts";
import { Peer } from "./peer.ts";
import { ringRoutes } from "./ring_service.ts";
import { serve } from "./server.ts";

const MODEL = fileURLToPath(new URL("../tests/fixtures/tiny-llama-tied", import.meta.url));
const EPOCH = 7;

/** Has a model of four layers to give out and takes the ring's last link in. */
export class TestStarter implements AsyncDisposable {
  readonly manifest: Manifest;
  /** HOST:PORT of its own server. */
  readonly address: string;
  /** What the secondary's link is to this node. */
  readonly returned: Promise<LinkReceiver>;
  #owned: AsyncDisposableStack;

  private constructor(
    manifest: Manifest,
    address: string,
    returned: Promise<LinkReceiver>,
    owned: AsyncDisposableStack,
  ) {
    this.manifest = manifest;
    this.address = address;
    this.returned = returned;
    this.#owned = owned;
  }

  /** Cuts the model, or one of its other files, into a store in `home` and listens. */
  static async start(home: string, file = ""): Promise<TestStarter> {
    await using owned = new AsyncDisposableStack();
    const store = await openStore(home);
    const tokenizerDir = file.endsWith(".gguf") ? undefined : MODEL; // a GGUF file has its own
    const { manifest } = await loadModel(join(MODEL, file), { store, tokenizerDir });
    const describe = () => describeDevice(home, { backend: "ort", threads: 1, memoryBytes: null });
    const control = new ControlService({ name: "by-hand", store, describe, log() {} });
    const returned = Promise.withResolvers<LinkReceiver>();
    const target = {
      epoch: EPOCH,
      predecessor: 1,
      linked: false,
      inputCodec: codecOf(manifest, "return"),
      accept: returned.resolve,
    };
    const server = owned.use(
      await serve({
        listen: { host: "127.0.0.1", port: 0 },
        routes: (router) => {
          control.routes(router);
          ringRoutes(router, () => target);
        },
      }),
    );
    const address = formatAddress(server.address);
    return new TestStarter(manifest, address, returned.promise, owned.move());
  }

  /** Connects to a node and claims it. */
  async claim(node: { address: string }): Promise<Peer> {
    const peer = await Peer.connect(parseAddress(node.address), {
      identity: undefined,
      name: "by-hand",
      needed: [],
    });
    await peer.claim("by-hand");
    return peer;
  }

  /** What makes a node the only secondary, with the two upper layers; `changes` spoil it. */
  configuration(changes: Omit<Partial<Configure>, "$typeName" | "$unknown"> = {}): Configure {
    return create(ConfigureSchema, {
      epoch: EPOCH,
      index: 1,
      nodes: 2,
      manifest: JSON.stringify(this.manifest),
      firstLayer: 2,
      lastLayer: 3,
      successor: this.address,
      providers: [this.address],
      context: 512,
      ...changes,
    });
  }

  /** Opens a link to the node. */
  link(node: { address: string }, from = 0): Promise<LinkSender> {
    const codec = codecOf(this.manifest, "stage");
    return connectLink(parseAddress(node.address), { codec, epoch: EPOCH, from });
  }

  /** A message that gives a sample a cache. */
  cache(sample: number, capacity: number): RingMessage {
    return { kind: "cache", epoch: EPOCH, sample, length: 0, capacity };
  }

  /** A message with one row of a sample. */
  row(sample: number, position: number): RingMessage {
    return {
      kind: "frame",
      epoch: EPOCH,
      segments: [{ sample, position, rows: 1, wanted: 1 }],
      hidden: new Float32Array(this.manifest.config.hidden),
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#owned.disposeAsync();
  }
}

function codecOf({ config }: Manifest, edge: "stage" | "return"): FrameCodec {
  return createFrameCodec({
    dModel: config.hidden,
    dtype: "f32",
    edge,
    context: 512,
    maxRows: MAX_FRAME_ROWS,
  });
}
