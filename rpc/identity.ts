/**
 * Who a node is. From the ring's token every member derives the same certificate authority and issues
 * itself a certificate under it, so mutual TLS 1.3 is the whole of authentication: whoever holds the
 * token is a member, and no one else gets past the handshake. As every member holds the authority's
 * key, members can impersonate each other; to expel one is to make a new token.
 *
 *     token --HKDF-SHA-256--> 32-byte seed --> Ed25519 authority (the same on every member)
 *     fresh Ed25519 key per process <-- certificate CN=<name>, DNS mdi.ring, signed by the authority
 */

/** The name in every member's certificate that a peer checks, whatever its address. */
export const RING_SERVER_NAME = "mdi.ring";

const ED25519 = { name: "Ed25519" } as const;
const HKDF_SALT = "mdi/v1";
const HKDF_INFO = "ring certificate authority";
/** RFC 5280's bound on a common name. */
const MAX_NAME = 64;
/** DER of a PKCS #8 Ed25519 key up to its 32-byte seed (RFC 8410, section 7). */
const PKCS8_PREFIX = [48, 46, 2, 1, 0, 48, 5, 6, 3, 43, 101, 112, 4, 34, 4, 32];

/** What a member shows to its peers, and checks theirs with. All but the key may be shown. */
export interface RingIdentity {
  /** The name in the certificate: {@linkcode nodeName} of what was asked for. */
  name: string;
  /** The ring's certificate authority, PEM; the same on every member. */
  ca: string;
  /** This node's certificate, PEM. */
  cert: string;
  /** This node's private key, PKCS #8 PEM. */
  key: string;
  /** 16 hex digits of the SHA-256 of the authority: equal on two devices if their tokens are. */
  fingerprint: string;
}

/**
 * Derives a node's identity from the 16 bytes of the ring's token.
 * @param token as `parseToken` gives it.
 * @param name the node's name for people; letters, digits, "." "_" and "-" of it are kept.
 */
export async function deriveIdentity(token: Uint8Array, name: string): Promise<RingIdentity> {
  const { issueAuthority, issueMember } = await import("./certificates.ts");
  const authority = await authorityKeys(token);
  const ca = await issueAuthority(authority);
  const own = await crypto.subtle.generateKey(ED25519, true, ["sign", "verify"]) as CryptoKeyPair;
  const cert = await issueMember(ca, authority.privateKey, {
    publicKey: own.publicKey,
    name: nodeName(name),
    serverName: RING_SERVER_NAME,
  });
  return {
    name: nodeName(name),
    ca: ca.toString("pem"),
    cert: cert.toString("pem"),
    key: pem("PRIVATE KEY", await crypto.subtle.exportKey("pkcs8", own.privateKey)),
    fingerprint: new Uint8Array(await ca.getThumbprint("SHA-256")).slice(0, 8).toHex(),
  };
}

/** The form of a name that a certificate and a log may hold: at most 64 of `A-Za-z0-9._-`. */
export function nodeName(name: string): string {
  const plain = name.replace(/[^A-Za-z0-9._-]+/g, "-").replace(/^-+/, "").slice(0, MAX_NAME);
  return plain.replace(/-+$/, "") || "node";
}

async function authorityKeys(token: Uint8Array): Promise<CryptoKeyPair> {
  const text = new TextEncoder();
  const secret = await crypto.subtle.importKey("raw", new Uint8Array(token), "HKDF", false, [
    "deriveBits",
  ]);
  const seed = await crypto.subtle.deriveBits(
    { name: "HKDF", hash: "SHA-256", salt: text.encode(HKDF_SALT), info: text.encode(HKDF_INFO) },
    secret,
    256,
  );
  const pkcs8 = new Uint8Array([...PKCS8_PREFIX, ...new Uint8Array(seed)]);
  const privateKey = await crypto.subtle.importKey("pkcs8", pkcs8, ED25519, true, ["sign"]);
  const { x } = await crypto.subtle.exportKey("jwk", privateKey);
  const publicKey = await crypto.subtle.importKey(
    "jwk",
    { kty: "OKP", crv: "Ed25519", x: x! },
    ED25519,
    true,
    ["verify"],
  );
  return { privateKey, publicKey };
}

function pem(label: string, der: ArrayBuffer): string {
  const lines = new Uint8Array(der).toBase64().match(/.{1,64}/g)!.join("\n");
  return `-----BEGIN ${label}-----\n${lines}\n-----END ${label}-----\n`;
}
