/** Spans of OpenTelemetry, as Deno sends them to a collector: OTLP over HTTP with JSON, on loopback. */
import { assert, assertEquals } from "@std/assert";
import { fileURLToPath } from "node:url";
import { permissionFlags } from "../cli/permissions.ts";
import { MAIN, runMdi } from "./support/mdi_process.ts";

const MODEL = fileURLToPath(new URL("fixtures/tiny-llama-tied", import.meta.url));

/** A span of OTLP's JSON form, as far as it is looked at. */
interface OtlpSpan {
  name: string;
  traceId: string;
  spanId: string;
  parentSpanId: string;
  startTimeUnixNano: string;
  endTimeUnixNano: string;
  attributes: { key: string; value: Record<string, string | number> }[];
}

/** What a request of OTLP holds. */
interface OtlpRequest {
  resourceSpans: { scopeSpans: { scope: { name: string }; spans: OtlpSpan[] }[] }[];
}

/** A collector that keeps the spans of mdi. */
function startCollector(): { spans: OtlpSpan[]; endpoint: string } & AsyncDisposable {
  const spans: OtlpSpan[] = [];
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, async (request) => {
    const body = await request.text();
    if (new URL(request.url).pathname === "/v1/traces") {
      for (const { scopeSpans } of (JSON.parse(body) as OtlpRequest).resourceSpans) {
        for (const { scope, spans: all } of scopeSpans) {
          if (scope.name === "mdi") spans.push(...all);
        }
      }
    }
    return Response.json({});
  });
  return {
    spans,
    endpoint: `http://127.0.0.1:${server.addr.port}`,
    [Symbol.asyncDispose]: () => server.shutdown(),
  };
}

Deno.test("a starter sends a span for each generation and its phases where Deno's telemetry is on", async () => {
  const home = await Deno.makeTempDir();
  try {
    await using collector = startCollector();
    const args = [
      ...["--starter", "--json", "--model", MODEL],
      ..."--prompt-ids 1,2,3 --samples 2 --tokens 5 --ignore-eos --greedy".split(" "),
    ];
    const deno = ["run", "--no-prompt", ...permissionFlags("starter"), MAIN];
    const env = {
      OTEL_DENO: "true",
      OTEL_EXPORTER_OTLP_ENDPOINT: collector.endpoint,
      OTEL_EXPORTER_OTLP_PROTOCOL: "http/json",
    };
    const { code, stderr } = await runMdi(args, { home, env, deno });
    assertEquals(code, 0, stderr);

    const { spans } = collector;
    const named = (name: string) => spans.filter((span) => span.name === name);
    assertEquals(spans.length, 6);
    for (const generation of named("generation")) {
      const children = spans.filter(({ parentSpanId }) => parentSpanId === generation.spanId);
      assertEquals(children.map(({ name }) => name).sort(), ["decode", "prefill"]);
      assert(children.every(({ traceId }) => traceId === generation.traceId));
      const [decode, prefill] = ["decode", "prefill"].map((name) =>
        children.find((span) => span.name === name)!
      );
      assertEquals(prefill!.startTimeUnixNano, generation.startTimeUnixNano);
      assertEquals(prefill!.endTimeUnixNano, decode!.startTimeUnixNano);
      assertEquals(decode!.endTimeUnixNano, generation.endTimeUnixNano);
      assert(BigInt(prefill!.endTimeUnixNano) > BigInt(prefill!.startTimeUnixNano));
      const attributes = Object.fromEntries(
        generation.attributes.map(({ key, value }) => [key, Object.values(value)[0]]),
      );
      assertEquals(attributes, {
        "mdi.prompt_tokens": 3,
        "mdi.tokens": 5,
        "mdi.finish_reason": "length",
      });
    }
    assertEquals(named("generation").length, 2);
  } finally {
    await Deno.remove(home, { recursive: true });
  }
});
