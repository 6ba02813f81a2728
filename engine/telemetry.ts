/**
 * OpenTelemetry spans of generations, where Deno was started with OTEL_DENO=true: one for each generation
 * with a child for its prefill and one for its decoding. Deno exports them itself, so there is no package
 * and nothing to allow; `Deno.telemetry` has the interfaces of @opentelemetry/api 1.
 */

/** A span as @opentelemetry/api has it, as far as it is used here. Times are in ms since the epoch. */
interface OtelSpan {
  setAttribute(name: string, value: string | number): unknown;
  setStatus(status: { code: number; message?: string }): unknown;
  end(time: number): void;
}

interface OtelContext {
  setValue(key: symbol, value: unknown): OtelContext;
}

interface OtelTracer {
  startSpan(
    name: string,
    options: { startTime: number; attributes?: Record<string, string | number> },
    context?: OtelContext,
  ): OtelSpan;
}

interface OtelApi {
  tracerProvider: { getTracer(name: string): OtelTracer };
  contextManager: { active(): OtelContext };
}

/** Where @opentelemetry/api keeps a context's span. */
const SPAN_KEY = Symbol.for("OpenTelemetry Context Key SPAN");
/** SpanStatusCode.ERROR */
const STATUS_ERROR = 2;

/** The spans of one generation. */
export interface GenerationSpans {
  /** The first token was drawn. */
  firstToken(): void;
  /** It ended, with so many tokens and why, or with an error. */
  ended(tokens: number, outcome: string | Error): void;
}

interface Api {
  telemetry: OtelApi;
  tracer: OtelTracer;
}

/** Undefined before it is known, null where telemetry is off. */
let api: Api | null | undefined;

/** Starts the spans of a generation; null where telemetry is off. */
export function generationSpans(
  attributes: Record<string, string | number>,
): GenerationSpans | null {
  if (api === undefined) api = findApi();
  return api && new RunningSpans(api.telemetry, api.tracer, attributes);
}

function findApi(): Api | null {
  try {
    const telemetry = Deno.telemetry as OtelApi;
    const tracer = telemetry.tracerProvider.getTracer("mdi");
    // It throws where telemetry is off. A span that does not end is not exported.
    tracer.startSpan("mdi", { startTime: now() });
    return { telemetry, tracer };
  } catch {
    return null;
  }
}

class RunningSpans implements GenerationSpans {
  readonly #tracer: OtelTracer;
  readonly #whole: OtelSpan;
  readonly #inside: OtelContext;
  #phase: OtelSpan;

  constructor(
    telemetry: OtelApi,
    tracer: OtelTracer,
    attributes: Record<string, string | number>,
  ) {
    const startTime = now();
    this.#tracer = tracer;
    this.#whole = tracer.startSpan("generation", { startTime, attributes });
    this.#inside = telemetry.contextManager.active().setValue(SPAN_KEY, this.#whole);
    this.#phase = tracer.startSpan("prefill", { startTime }, this.#inside);
  }

  firstToken(): void {
    const time = now();
    this.#phase.end(time);
    this.#phase = this.#tracer.startSpan("decode", { startTime: time }, this.#inside);
  }

  ended(tokens: number, outcome: string | Error): void {
    const time = now();
    this.#phase.end(time);
    this.#whole.setAttribute("mdi.tokens", tokens);
    if (outcome instanceof Error) {
      this.#whole.setStatus({ code: STATUS_ERROR, message: outcome.message });
    } else this.#whole.setAttribute("mdi.finish_reason", outcome);
    this.#whole.end(time);
  }
}

function now(): number {
  return performance.timeOrigin + performance.now();
}
