/**
 * The certificates of a ring's members. Only a node with a token loads this: the library and what it needs
 * take 7 MB.
 */
import "reflect-metadata";
import {
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  SubjectAlternativeNameExtension,
  type X509Certificate,
  X509CertificateGenerator,
} from "@peculiar/x509";

const ED25519 = { name: "Ed25519" } as const;

/**
 * A board without a clock starts in 1970, and certificate parsers take no earlier year; the end is
 * RFC 5280's "no well-defined expiration date" (section 4.1.2.5).
 */
const VALIDITY = {
  notBefore: new Date("1970-01-01T00:00:00Z"),
  notAfter: new Date("9999-12-31T23:59:59Z"),
};

/** Makes the certificate of a ring's authority: of the same keys always the same. */
export function issueAuthority(keys: CryptoKeyPair): Promise<X509Certificate> {
  return X509CertificateGenerator.createSelfSigned({
    ...VALIDITY,
    serialNumber: "01",
    name: [{ CN: ["mdi ring"] }],
    signingAlgorithm: ED25519,
    keys,
    extensions: [
      new BasicConstraintsExtension(true, 0, true),
      new KeyUsagesExtension(KeyUsageFlags.keyCertSign, true),
    ],
  });
}

/** Whom {@linkcode issueMember} certifies. */
export interface Member {
  /** Its public key. */
  publicKey: CryptoKey;
  /** The name for people. */
  name: string;
  /** The name that peers check. */
  serverName: string;
}

/** Makes a member's certificate under the authority. */
export function issueMember(
  ca: X509Certificate,
  signingKey: CryptoKey,
  { publicKey, name, serverName }: Member,
): Promise<X509Certificate> {
  return X509CertificateGenerator.create({
    ...VALIDITY,
    issuer: ca.subject,
    subject: [{ CN: [name] }],
    signingAlgorithm: ED25519,
    publicKey,
    signingKey,
    extensions: [
      new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
      new ExtendedKeyUsageExtension([ExtendedKeyUsage.serverAuth, ExtendedKeyUsage.clientAuth]),
      new SubjectAlternativeNameExtension([{ type: "dns", value: serverName }]),
    ],
  });
}
