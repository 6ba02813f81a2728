/**
 * GPT-2's way to write any bytes as printable characters, so that a vocabulary of byte strings is one of
 * texts: printable Latin-1 stands for itself, the other 68 bytes are U+0100 and on in order (a space is
 * "Ġ"). Source: `bytes_to_unicode` in the encoder.py of openai/gpt-2.
 */

const BYTE_OF = new Map<string, number>();
let substitute = 0x100;
for (let byte = 0; byte < 0x100; byte++) {
  const printable = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte !== 0xad);
  BYTE_OF.set(String.fromCharCode(printable ? byte : substitute++), byte);
}

/** The bytes of a piece; undefined where a character of it stands for none, so it is plain text. */
export function bytesOfByteLevel(piece: string): Uint8Array | undefined {
  const bytes = new Uint8Array(piece.length);
  for (let i = 0; i < piece.length; i++) {
    const byte = BYTE_OF.get(piece[i]!);
    if (byte === undefined) return undefined;
    bytes[i] = byte;
  }
  return bytes;
}
