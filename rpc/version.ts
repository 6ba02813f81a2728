/** Versions and capabilities: what two nodes must agree on before anything else. */
import { create } from "@bufbuild/protobuf";
import { MdiError } from "../wasm/error.ts";
import { plainWord } from "./plain_text.ts";
import { type Identity, IdentitySchema } from "./gen/mdi/v1/control_pb.ts";

/** The program's version, for people. */
export const VERSION = "0.1.0";
/** Version of the wire protocol: raised by every change that an older node would misunderstand. */
export const WIRE_VERSION = 1;
/** Optional features of this wire version. */
const CAPABILITIES = ["wire-f16", "kv-f16", "kv-int8", "profile", "trace"] as const;

/** How this node introduces itself. */
export function ownIdentity(name: string): Identity {
  return create(IdentitySchema, {
    wireVersion: WIRE_VERSION,
    version: VERSION,
    name,
    capabilities: [...CAPABILITIES],
  });
}

/**
 * Checks the other side's introduction.
 * @param who the other side, for the message.
 * @param needed capabilities that the ring is to use.
 * @throws {MdiError} refused_version that names both versions.
 */
export function checkIdentity(
  who: string,
  theirs: Identity | undefined,
  needed: readonly string[] = [],
): void {
  const version = plainWord(theirs?.version ?? "unknown");
  const wire = theirs?.wireVersion ?? 0;
  if (wire !== WIRE_VERSION) {
    throw new MdiError(
      "refused_version",
      `Cannot join with ${who}: it is mdi ${version} with wire version ${wire}, this is mdi ${VERSION} with wire version ${WIRE_VERSION}; run the same release on both`,
      { details: { theirs: wire, ours: WIRE_VERSION } },
    );
  }
  const missing = needed.filter((capability) => !theirs!.capabilities.includes(capability));
  if (missing.length > 0) {
    throw new MdiError(
      "refused_version",
      `Cannot join with ${who}: mdi ${version} there lacks ${
        missing.join(", ")
      }, which mdi ${VERSION} was asked to use here; run the same release on both`,
      { details: { missing: missing.join(",") } },
    );
  }
}
