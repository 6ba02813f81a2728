import { assertEquals } from "@std/assert";
import type { StageProfile } from "../../wasm/profile.ts";
import { openStore } from "../store/store.ts";
import { keepProfile, type ProfileKey, profilePath, readKeptProfile } from "./profile_cache.ts";

const KEY: ProfileKey = {
  version: "0.1.0",
  kernels: "ab",
  backend: "auto",
  threads: 2,
  kv: "f32",
  dModel: 576,
  architecture: "llama",
  blocks: ["cd"],
  arch: "aarch64",
  cores: 4,
  cpu: null,
  hostname: "pi5",
};
const TIMES = { rows: [1, 2], ms: [1, 1.5] };
const PROFILE: StageProfile = {
  processors: 4,
  backend: "simd",
  threads: 2,
  layer: TIMES,
  layerCachedMs: 0.001,
  prefillLayer: TIMES,
  embed: null,
  head: TIMES,
  callMs: 0.2,
  layerWeightBytes: 1000,
  kvBytesPerTokenLayer: 1536,
  measuredMs: 3000,
};
const DAY = 24 * 3600e3;

Deno.test("readKeptProfile() takes no old profile, none from the future, no damaged one, and no other key's", async () => {
  const home = await Deno.makeTempDir({ prefix: "mdi-test-" });
  try {
    const { layout } = await openStore(home);
    const now = Date.now();
    assertEquals(await readKeptProfile(layout, KEY), undefined);
    await keepProfile(layout, KEY, PROFILE, false, now);
    const read = (at: number, key = KEY) => readKeptProfile(layout, key, at);
    assertEquals(await read(now), { profile: PROFILE, busy: false });
    assertEquals(await read(now + 29 * DAY), { profile: PROFILE, busy: false });
    assertEquals(await read(now + 31 * DAY), undefined);
    assertEquals(await read(now - 1), undefined);
    for (const change of [{ threads: 1 }, { kv: "int8" }, { blocks: ["ef"] }, { cpu: "A76" }]) {
      assertEquals(await read(now, { ...KEY, ...change }), undefined);
    }
    const path = profilePath(layout, KEY);
    const text = await Deno.readTextFile(path);
    const foreign = { ...KEY, hostname: "laptop" };
    await Deno.writeTextFile(profilePath(layout, foreign), text);
    assertEquals(await read(now, foreign), undefined);
    for (const damaged of ["", "null", "[1]", text.slice(0, -9), text.replace("[1,2]", "[2,1]")]) {
      await Deno.writeTextFile(path, damaged);
      assertEquals(await read(now), undefined);
    }
    await keepProfile(layout, KEY, PROFILE, true, now);
    assertEquals(await read(now + 500e3), { profile: PROFILE, busy: true });
    assertEquals(await read(now + 700e3), undefined);
    // What is kept later finds the way clear again, and takes old files away.
    await Deno.utime(
      profilePath(layout, foreign),
      new Date(now - 40 * DAY),
      new Date(now - 40 * DAY),
    );
    await keepProfile(layout, KEY, PROFILE, false, now);
    assertEquals(await read(now), { profile: PROFILE, busy: false });
    assertEquals((await Array.fromAsync(Deno.readDir(`${home}/profiles`))).length, 1);
  } finally {
    await Deno.remove(home, { recursive: true });
  }
});
