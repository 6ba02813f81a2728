/** Requests to a hub: bounded in time, redirects followed by hand so that a token stays with its host. */
import { MdiError, messageOf } from "../../wasm/error.ts";
import { requireClock } from "./preconditions.ts";

const MAX_REDIRECTS = 5;
const REDIRECTS = [301, 302, 303, 307, 308];

/** How requests are made. */
export interface HttpOptions {
  /**
   * Sends the requests.
   * @default {globalThis.fetch}
   */
  fetch?: typeof fetch | undefined;
  /** Sent to the first address's origin only. */
  token?: string | undefined;
  /** Until an answer's headers are there, for each hop, in ms. @default {5000} */
  connectMs?: number | undefined;
  /** Longest silence within an answer's body, in ms. @default {30000} */
  stallMs?: number | undefined;
  /** Attempts in a row that bring nothing. @default {4} */
  attempts?: number | undefined;
  /** Pause before the second attempt in ms; doubled for each one after it. @default {500} */
  backoffMs?: number | undefined;
  /** Ends the request and all waiting. */
  signal?: AbortSignal | undefined;
}

/** A failure that another attempt may cure: no answer, a broken connection, a busy server. */
export class TransientError extends Error {
  /** The class's name. */
  override readonly name = "TransientError";
  /** What the server asked to wait, in ms. */
  readonly retryAfterMs: number | undefined;

  /** Makes one. */
  constructor(message: string, options: ErrorOptions & { retryAfterMs?: number } = {}) {
    super(message, options);
    this.retryAfterMs = options.retryAfterMs;
  }
}

/** An answer whose body stays readable until `done` is called. */
export interface HttpAnswer {
  /** Status and headers; its body is read with `body()`. */
  response: Response;
  /** Address that answered, after redirects. */
  url: URL;
  /** The body; ends with a {@linkcode TransientError} where the connection breaks or stalls. */
  body(): AsyncGenerator<Uint8Array>;
  /** Closes the connection. */
  done(): Promise<void>;
}

/**
 * Sends a GET request and follows redirects.
 * @throws {TransientError} where no answer came, or one of the statuses 408, 429 and 5xx.
 * @throws {MdiError} model_missing for any other status that is not a success.
 */
export async function get(
  address: string,
  headers: Record<string, string>,
  options: HttpOptions,
): Promise<HttpAnswer> {
  const { token } = options;
  let url = new URL(address);
  const origin = url.origin;
  for (let hop = 0; hop <= MAX_REDIRECTS; hop++) {
    const sent: Record<string, string> = { "user-agent": "mdi", ...headers };
    if (token && url.origin === origin) sent.authorization = `Bearer ${token}`;
    const answer = await getOnce(url, sent, options);
    if (!REDIRECTS.includes(answer.response.status)) return await checkStatus(answer, options);
    const location = answer.response.headers.get("location") ?? "";
    await answer.done();
    const next = URL.parse(location, url);
    const downgrade = url.protocol === "https:" && next?.protocol !== "https:";
    if (!next || !["http:", "https:"].includes(next.protocol) || downgrade) {
      throw new MdiError(
        "model_missing",
        `Cannot fetch ${address}: it is redirected to "${
          location.slice(0, 200)
        }", which is not safe`,
      );
    }
    url = next;
  }
  throw new MdiError(
    "model_missing",
    `Cannot fetch ${address}: it is redirected more than ${MAX_REDIRECTS} times`,
  );
}

async function getOnce(
  url: URL,
  headers: Record<string, string>,
  options: HttpOptions,
): Promise<HttpAnswer> {
  const { fetch = globalThis.fetch, connectMs = 5000, stallMs = 30_000, signal } = options;
  signal?.throwIfAborted();
  requireClock(url);
  const timeout = new AbortController();
  const abort = signal ? AbortSignal.any([signal, timeout.signal]) : timeout.signal;
  const timer = setTimeout(
    () => timeout.abort(new TransientError(`${url.host} did not answer in ${connectMs} ms`)),
    connectMs,
  );
  let response: Response;
  try {
    response = await fetch(url, { headers, redirect: "manual", signal: abort });
  } catch (error) {
    throw failureOf(error, url, timeout, signal);
  } finally {
    clearTimeout(timer);
  }
  return {
    response,
    url,
    body: () => readBody(response, url, stallMs, timeout, signal),
    done: async () => {
      if (response.body && !response.body.locked) await response.body.cancel().catch(() => {});
    },
  };
}

async function* readBody(
  response: Response,
  url: URL,
  stallMs: number,
  timeout: AbortController,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array> {
  const reader = response.body?.getReader();
  if (!reader) return;
  try {
    while (true) {
      const timer = setTimeout(
        () => timeout.abort(new TransientError(`${url.host} was silent for ${stallMs} ms`)),
        stallMs,
      );
      try {
        const { done, value } = await reader.read();
        if (done) return;
        yield value;
      } catch (error) {
        throw failureOf(error, url, timeout, signal);
      } finally {
        clearTimeout(timer);
      }
    }
  } finally {
    await reader.cancel().catch(() => {});
  }
}

function failureOf(
  error: unknown,
  url: URL,
  timeout: AbortController,
  signal: AbortSignal | undefined,
): unknown {
  if (signal?.aborted) return signal.reason;
  if (timeout.signal.aborted) return timeout.signal.reason;
  if (error instanceof Deno.errors.NotCapable) {
    return new MdiError("model_missing", `Cannot reach ${url.host}: ${messageOf(error)}`, {
      cause: error,
    });
  }
  return new TransientError(`${url.host} cannot be reached (${failureReason(error)})`, {
    cause: error,
  });
}

/** What the parts of a client's nested message mean to a person. */
const FAILURES: readonly (readonly [RegExp, string])[] = [
  [/dns error|name resolution/i, "its name has no address here"],
  [/connection refused/i, "it refuses connections"],
  [/certificate/i, "its certificate is not trusted"],
  [/unreachable|no route/i, "no network leads there"],
  [/timed out/i, "it does not answer"],
];

/** Why a request failed, in a few words: the error itself names the address and every layer of the client. */
function failureReason(error: unknown): string {
  const cause = error instanceof Error && error.cause ? error.cause : error;
  const message = messageOf(cause).split("\n", 1)[0]!;
  const known = FAILURES.find(([pattern]) => pattern.test(message));
  return known?.[1] ?? message.split(": ").at(-1)!.slice(0, 100);
}

async function checkStatus(answer: HttpAnswer, options: HttpOptions): Promise<HttpAnswer> {
  const { response, url } = answer;
  const { status } = response;
  if (response.ok || status === 416) return answer;
  await answer.done();
  if (status === 408 || status === 429 || status >= 500) {
    const seconds = Number(response.headers.get("retry-after"));
    throw new TransientError(`${url.host} answered with status ${status}`, {
      ...(seconds > 0 ? { retryAfterMs: seconds * 1000 } : {}),
    });
  }
  throw new MdiError(
    "model_missing",
    `Cannot fetch ${url.href}: ${statusReason(status, options)}`,
    {
      details: { status, url: url.href },
    },
  );
}

function statusReason(status: number, { token }: HttpOptions): string {
  if (status === 401 || status === 403) {
    return token
      ? `status ${status}: the token in HF_TOKEN does not give access; accept the model's licence on its ` +
        "page with the account of that token"
      : `status ${status}: the model is gated, private or does not exist; accept its licence on its page ` +
        "and set HF_TOKEN to a token of that account";
  }
  if (status === 404) return "status 404: there is no such model, revision or file";
  return `status ${status}`;
}

/** Longest pause that a server's Retry-After is granted, in ms. */
const MAX_RETRY_AFTER_MS = 30_000;

/**
 * Runs `fn` until it succeeds, with a pause between attempts that doubles.
 * @param what for the message: "fetch model.gguf".
 * @param progressed whether the failed attempt brought something: such a one does not count.
 * @throws {MdiError} model_missing after the last attempt; other errors at once.
 */
export async function withRetries<T>(
  what: string,
  fn: () => Promise<T>,
  options: HttpOptions,
  progressed: () => boolean = () => false,
): Promise<T> {
  const { attempts = 4, backoffMs = 500, signal } = options;
  for (let attempt = 1;; attempt++) {
    try {
      return await fn();
    } catch (error) {
      if (!(error instanceof TransientError)) throw error;
      if (progressed()) attempt = 0;
      if (attempt >= attempts) {
        throw new MdiError("model_missing", `Cannot ${what}: ${error.message}`, { cause: error });
      }
      const pause = Math.min(error.retryAfterMs ?? 0, MAX_RETRY_AFTER_MS);
      await sleep(Math.max(pause, backoffMs * 2 ** (attempt - 1)), signal);
    }
  }
}

/** Waits; ends with the signal's reason where it fires. */
export async function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  signal?.throwIfAborted();
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, ms);
  const onAbort = () => reject(signal?.reason);
  signal?.addEventListener("abort", onAbort, { once: true });
  try {
    await promise;
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", onAbort);
  }
}
