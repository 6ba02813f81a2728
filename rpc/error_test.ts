import { assert, assertEquals, assertStrictEquals } from "@std/assert";
import { Code, ConnectError } from "@connectrpc/connect";
import { MdiError, type MdiErrorCode } from "../wasm/error.ts";
import { fromConnectError, isMdiErrorCode, lossReason, toConnectError } from "./error.ts";
import { plainText } from "./plain_text.ts";

const CODES: MdiErrorCode[] = [
  "model_missing",
  "model_corrupt",
  "model_unsupported",
  "context_exceeded",
  "address_in_use",
  "peer_unreachable",
  "peer_lost",
  "protocol",
  "refused_token",
  "refused_version",
  "busy",
  "memory",
  "disk",
  "cancelled",
  "internal",
];

/** What arrives of an error that was sent. */
function arrived(sent: ConnectError): ConnectError {
  return new ConnectError(sent.rawMessage, sent.code, sent.metadata);
}

for (const code of CODES) {
  Deno.test(`toConnectError() carries ${code} to the other side`, () => {
    assert(isMdiErrorCode(code));
    const error = fromConnectError(
      arrived(toConnectError(new MdiError(code, "Cannot do it"))),
      "b",
    );
    assertEquals(error.code, code);
    assertEquals(error.message, "From b: Cannot do it");
    assertEquals(error.details, { peer: "b" });
  });
}

Deno.test("toConnectError() calls what is not an MdiError internal", () => {
  const sent = toConnectError(new TypeError("x is not a function"));
  assertEquals(sent.code, Code.Internal);
  assertEquals(fromConnectError(arrived(sent), "b").code, "internal");
  assertEquals(fromConnectError(arrived(toConnectError("thrown text")), "b").code, "internal");
});

Deno.test("fromConnectError() takes a broken connection as a lost peer, whatever its code", () => {
  for (const code of [Code.Unknown, Code.Internal, Code.Aborted, Code.Canceled, Code.DataLoss]) {
    assertEquals(fromConnectError(new ConnectError("reset", code), "b").code, "peer_lost");
  }
  assertEquals(fromConnectError(new Error("ECONNRESET"), "b").code, "peer_lost");
});

Deno.test("fromConnectError() reads Connect's own codes", () => {
  const read = (code: Code) => fromConnectError(new ConnectError("", code), "b").code;
  assertEquals(read(Code.ResourceExhausted), "protocol");
  assertEquals(read(Code.Unimplemented), "refused_version");
  assertEquals(read(Code.Unavailable), "peer_unreachable");
});

Deno.test("fromConnectError() keeps an MdiError, also as a cause", () => {
  const error = new MdiError("refused_token", "Cannot join");
  assertStrictEquals(fromConnectError(error, "b"), error);
  const wrapped = new ConnectError("x", Code.Unavailable, undefined, undefined, error);
  assertStrictEquals(fromConnectError(wrapped, "b"), error);
});

Deno.test("fromConnectError() says cancelled where the caller's signal is aborted", () => {
  const signal = AbortSignal.abort();
  const error = fromConnectError(new ConnectError("gone", Code.Canceled), "b", { signal });
  assertEquals(error.code, "cancelled");
});

Deno.test("fromConnectError() does not trust a code's name", () => {
  for (const name of ["__proto__", "toString", "BUSY", "", "no such code"]) {
    const error = new ConnectError("x", Code.Unknown, { "mdi-code": name });
    assertEquals(fromConnectError(error, "b").code, "peer_lost");
  }
});

Deno.test("plainText() bounds a text and removes what a terminal would obey", () => {
  assertEquals(plainText("a\u001b[31mb\r\nc\u202ed\u009b"), "a [31mb c d ");
  const long = plainText("é".repeat(100_000));
  assertEquals(long.length, 1024);
  assert(plainText("😀".repeat(1000)).isWellFormed());
  assertEquals(plainText("Grüße, 世界"), "Grüße, 世界");
});

Deno.test("lossReason() has one wording for a connection that the other side ended", () => {
  const coded = (code: string) => Object.assign(new Error("x"), { code });
  const closed = [
    undefined,
    new Error("Premature close"),
    new Error("read ECONNRESET"),
    new Error("socket hang up"),
    new Error("The pending stream has been canceled (caused by: )"),
    new Error("The session has been destroyed"),
    new ConnectError("http/2 stream closed with error code CANCEL (0x8)", Code.Canceled),
    new ConnectError("protocol error: missing EndStreamResponse", Code.InvalidArgument),
    coded("ERR_STREAM_PREMATURE_CLOSE"),
    coded("EPIPE"),
  ];
  for (const cause of closed) assertEquals(lossReason(cause), "it closed the connection");
  assertEquals(lossReason(new Error("no\u001b[2J memory")), "no [2J memory");
  assertEquals(lossReason(new Error("")), "it gave no reason");
});
