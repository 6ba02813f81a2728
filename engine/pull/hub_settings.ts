/** Where the Hugging Face hub and its cache are, by the same variables that Hugging Face's own tools read. */
import { join } from "node:path";
import { MdiError } from "../../wasm/error.ts";
import type { Env } from "../store/layout.ts";

/** How to reach the hub. */
export interface HubSettings {
  /** Without a slash at its end. */
  endpoint: string;
  /** Sent to the endpoint and to no other host. */
  token: string | undefined;
  /** The cache's directory, `models--OWNER--NAME` in it; undefined where no home is set. */
  cache: string | undefined;
  /** True where nothing may be fetched. */
  offline: boolean;
}

/**
 * Reads `$HF_ENDPOINT`, `$HF_TOKEN` (else the file that `hf auth login` writes), `$HF_HUB_CACHE`,
 * `$HF_HOME` and `$HF_HUB_OFFLINE`.
 * @throws {MdiError} model_missing where `$HF_ENDPOINT` is not an http or https address.
 */
export async function hubSettings(env: Env): Promise<HubSettings> {
  const home = hfHome(env);
  return {
    endpoint: checkEndpoint(env.get("HF_ENDPOINT") || "https://huggingface.co"),
    token: env.get("HF_TOKEN")?.trim() || env.get("HUGGING_FACE_HUB_TOKEN")?.trim() ||
      await readToken(env.get("HF_TOKEN_PATH") || (home && join(home, "token"))),
    cache: env.get("HF_HUB_CACHE") || env.get("HUGGINGFACE_HUB_CACHE") ||
      (home && join(home, "hub")),
    offline: ["1", "true", "yes", "on"].includes((env.get("HF_HUB_OFFLINE") ?? "").toLowerCase()),
  };
}

function hfHome(env: Env): string | undefined {
  if (env.get("HF_HOME")) return env.get("HF_HOME");
  const home = env.get("HOME") ?? env.get("USERPROFILE");
  const cache = env.get("XDG_CACHE_HOME") || (home && join(home, ".cache"));
  return cache && join(cache, "huggingface");
}

function checkEndpoint(endpoint: string): string {
  const url = URL.parse(endpoint);
  if (!url || !["http:", "https:"].includes(url.protocol)) {
    throw new MdiError(
      "model_missing",
      `Cannot reach the hub: HF_ENDPOINT is "${endpoint}", expected an http or https address`,
    );
  }
  return endpoint.replace(/\/+$/, "");
}

async function readToken(path: string | undefined): Promise<string | undefined> {
  if (!path) return undefined;
  try {
    return (await Deno.readTextFile(path)).trim() || undefined;
  } catch {
    return undefined;
  }
}
