/**
 * What is measured, the same for every peer. Plain JavaScript: pages in a browser load it as it is.
 *
 * @typedef {object} FedModel a model with one cache
 * @property {(length: number) => unknown} truncate keeps the first tokens of the cache
 * @property {(ids: number[]) => unknown} feed appends tokens, and has the logits of the last of them
 *   when it is done
 */

/** The token at a position: made up, because the time of a token does not depend on which it is. */
export function tokenAt(/** @type {number} */ position) {
  return 1000 + (position * 7919) % 40000;
}

/** The first tokens from a position on. */
export function tokensFrom(/** @type {number} */ position, /** @type {number} */ count) {
  return Array.from({ length: count }, (_, i) => tokenAt(position + i));
}

/**
 * Measures a model by feeding it.
 * @param {FedModel} model
 */
export function measured(model) {
  let length = 0;
  return {
    /**
     * Decodes tokens one by one from a cache that holds `at` tokens.
     * @param {number} at
     * @param {number} tokens
     * @returns {Promise<number>} ms per token
     */
    async decode(at, tokens) {
      if (length < at) {
        await model.feed(tokensFrom(length, at - length));
      } else {
        await model.truncate(at);
      }
      const start = performance.now();
      for (let i = 0; i < tokens; i++) await model.feed([tokenAt(at + i)]);
      length = at + tokens;
      return (performance.now() - start) / tokens;
    },
    /**
     * Computes a prompt from an empty cache.
     * @param {number} tokens
     * @returns {Promise<number>} ms
     */
    async prefill(tokens) {
      const ids = tokensFrom(0, tokens);
      await model.truncate(0);
      const start = performance.now();
      await model.feed(ids);
      length = tokens;
      return performance.now() - start;
    },
  };
}
