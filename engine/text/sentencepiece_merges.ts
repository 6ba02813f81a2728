/**
 * The merges of a SentencePiece BPE vocabulary. SentencePiece has scores only: of all neighbours whose
 * concatenation is a piece it merges those with the best score first. BPE as Hugging Face's tokenizers
 * have it wants a ranked list of pairs. Source: `generate_merges` in transformers'
 * convert_slow_tokenizer.py.
 */

/** A piece that may be merged from others. */
export interface ScoredPiece {
  /** Its text. */
  text: string;
  /** Its id. */
  id: number;
  /** Higher merges earlier. */
  score: number;
}

interface Merge {
  left: string;
  right: string;
  score: number;
  leftLength: number;
  rightLength: number;
}

/**
 * All pairs of pieces that make another piece: by falling score, then by falling length of the left and
 * of the right piece in code points, then by the order of the vocabulary.
 */
export function mergesOfScores(pieces: readonly ScoredPiece[]): [string, string][] {
  const idOf = new Map(pieces.map((piece) => [piece.text, piece.id]));
  const merges: Merge[] = [];
  for (const { text, score } of pieces) {
    const characters = Array.from(text);
    const local: Merge[] = [];
    let left = "";
    for (let length = 1; length < characters.length; length++) {
      left += characters[length - 1];
      const right = text.slice(left.length);
      if (!idOf.has(left) || !idOf.has(right)) continue;
      local.push({
        left,
        right,
        score,
        leftLength: length,
        rightLength: characters.length - length,
      });
    }
    local.sort((a, b) =>
      idOf.get(a.left)! - idOf.get(b.left)! || idOf.get(a.right)! - idOf.get(b.right)!
    );
    for (const merge of local) merges.push(merge);
  }
  merges.sort((a, b) =>
    b.score - a.score || b.leftLength - a.leftLength || b.rightLength - a.rightLength
  );
  return merges.map(({ left, right }) => [left, right]);
}
