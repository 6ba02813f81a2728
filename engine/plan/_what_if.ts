/** A what-if file of a Raspberry Pi 5 and a Pi 4, for tests. */

export const WHAT_IF = {
  layers: 30,
  d_model: 576,
  layer_bytes: 2_212_000,
  kv_bytes_per_token_layer: 1536,
  samples: 8,
  context: 1024,
  nodes: [
    { name: "pi5", memory_bytes: 7e9, layer_ms: 2.1, embed_ms: 0.1, head_ms: 5 },
    { name: "pi4", memory_bytes: 3e9, layer_ms: 5.2, embed_ms: 0.3, head_ms: 12 },
  ],
  link: { rtt_ms: 0.4, mbit: 940 },
  links: [{ from: "pi5", to: "pi4", rtt_ms: 2, mbit: 50 }],
};
