/** Flags and addresses that are wrong, and tokens, whose text is never printed. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { newToken } from "../rpc/token.ts";
import { runMdi, startSecondary } from "./support/mdi_process.ts";
import {
  assertNothingHalfWritten,
  assertRefused,
  inPairs,
  type Refusal,
  temporaryDirectory,
} from "./support/refusal.ts";

const MODEL = fileURLToPath(
  new URL("./fixtures/tiny-llama-tied/gguf/model-f32.gguf", import.meta.url),
);
const RUN = ["--starter", "--model", MODEL, "--prompt", "Hi", "--tokens", "1"];

const usage = (message: RegExp): Refusal => ({ status: 2, code: "usage", message });

// Every flag with every kind of wrong value is in cli/program_test.ts; here is what a process makes of it.
Deno.test("mdi refuses flags that are wrong, before it loads anything", async () => {
  await using dir = await temporaryDirectory();
  const cases: [string[], RegExp][] = [
    [[], /Say what this node is: --starter, --secondary or --demo; see "mdi --help"/],
    [["--strater"], /Unknown option '--strater' \(Did you mean --starter\?\)/],
    [
      ["pul"],
      /no command "pul"; there are pull, inspect, plan, simulate, doctor, store, token, verify/,
    ],
    [["--starter", "hello"], /no command "hello".*goes after --prompt/],
    [["plan", "--fro"], /Unknown option '--fro'; see "mdi plan --help"/],
    [["store", "lst"], /no command "lst"; there are list, verify, remove/],
    [["store", "list", "x"], /too many arguments.*got 1: x/i],
    [["token"], /Say which: new/],
    [["store"], /Say which: list, verify, remove/],
    [["--starter", "pull"], /--starter does not go with pull; see "mdi pull --help"/],
    [["--starter", "--secondary"], /one of --starter, --secondary and --demo/],
    [[...RUN, "--tokens", "NaN"], /'NaN' is invalid. It must be a whole number from 1/],
    [[...RUN, "--temperature", "-1"], /'-1' is invalid. It must be a number from 0/],
    [[...RUN, "--layers", "4,-1"], /'4,-1' is invalid.*like 12,9,9/],
    [[...RUN, "--kv", "f64"], /'f64' is invalid. Allowed choices are f32, f16, int8/],
    [[...RUN, "--threads", "0"], /'0' is invalid. It must be a whole number from 1 to 64/],
    [["--secondary", "--backend", "gpu"], /'gpu' is invalid. Allowed choices are auto, simd, ort/],
    [[...RUN, "--kv", "f16", "--backend", "ort"], /as f16: backend "ort" has none; leave --kv or/],
    [[...RUN, "--peers", "a,,b"], /Cannot read address "": it is empty/],
    [[...RUN, "--peers", "127.0.0.1:7,127.0.0.1:7"], /peer 127.0.0.1:7 twice: leave one out/],
    [[...RUN, "--listen", "127.0.0.1:70000"], /port "70000".* from 0 to 65535/],
  ];
  await inPairs(cases, async ([args, message]) => {
    const home = join(dir.path, crypto.randomUUID());
    await assertRefused(args, { home }, usage(message));
    assertEquals(await Deno.stat(home).catch(() => undefined), undefined, "nothing was begun");
  });
});

Deno.test("mdi refuses layers that do not add up, and stays as it was", async () => {
  await using dir = await temporaryDirectory();
  const home = join(dir.path, "home");
  const cases: [string, RegExp][] = [
    ["3", /adds up to 3 and the model has 4 layers; give 4 for one/],
    ["2,2", /has 2 numbers and the ring 1 nodes/],
    ["0", /adds up to 0/],
    ["999999", /adds up to 999999/],
  ];
  await inPairs(cases, async ([layers, message]) => {
    await assertRefused([...RUN, "--layers", layers], { home }, usage(message));
  });
  assertEquals(await assertNothingHalfWritten(home), ["model-f32.gguf"]);
});

Deno.test("mdi says which address cannot be listened on or reached", async () => {
  await using dir = await temporaryDirectory();
  const home = (name: string) => join(dir.path, name);
  await using first = await startSecondary({ home: home("a") });
  const secondary = (listen: string) => ["--secondary", "--listen", listen];
  await assertRefused(secondary(first.address), { home: home("b") }, {
    status: 2,
    code: "address_in_use",
    message: new RegExp(
      `Cannot listen on ${first.address}: another program listens there; choose another with --listen`,
    ),
  });
  await assertRefused(secondary("203.0.113.1:0"), {
    home: home("c"),
    env: { MDI_TOKEN: newToken() },
  }, {
    status: 2,
    code: "address_in_use",
    message: /203\.0\.113\.1:0: it is no address of this device/,
  });
  await assertRefused([...RUN, "--peers", "nowhere.invalid"], {
    home: home("d"),
    env: { MDI_TOKEN: newToken() },
  }, {
    status: 4,
    code: "peer_unreachable",
    message: /Cannot reach "nowhere\.invalid": the name does not resolve/,
  });
  await assertRefused([...RUN, "--peers", "127.0.0.1:1"], { home: home("e") }, {
    status: 4,
    code: "peer_unreachable",
    message: /127\.0\.0\.1:1/,
  });
  // The one that listens took no harm.
  first.kill("SIGTERM");
  assertEquals((await first.ended).code, 143);
});

Deno.test("mdi never prints a token, wherever it was put and however it was mistyped", async () => {
  await using dir = await temporaryDirectory();
  const home = join(dir.path, "home");
  const token = newToken();
  const [, ...groups] = token.split("-");
  const wrong = token.slice(0, -1) + (token.endsWith("0") ? "1" : "0");
  const cases: [string[], Record<string, string>, number][] = [
    [["--secondary", "--token", wrong], {}, 5],
    [["--secondary", "--token", ""], {}, 5],
    [["--secondary", `--token=${groups.join("-")}`], {}, 5],
    [["--secondary", "--token", `${token} ${token}`], {}, 5],
    [["--secondary"], { MDI_TOKEN: wrong }, 5],
    [["--secondary", token], {}, 2],
    [[...RUN, "--tokens", token], {}, 2],
    [[...RUN, "--tokens", token.toUpperCase().replaceAll("-", "")], {}, 2],
    [["--secondary", "--listen", token], {}, 2],
    [["token", "new", token], {}, 2],
  ];
  await inPairs(cases, async ([args, env, status]) => {
    const { code, stdout, stderr } = await runMdi([...args, "--json"], { home, env });
    assertEquals(code, status, stderr);
    assertEquals(JSON.parse(stdout).type, "error");
    const said = (stdout + stderr).toLowerCase().replaceAll("-", "");
    for (const group of groups.slice(0, 7)) {
      assert(!said.includes(group), `${args.join(" ")}: ${stderr}`);
    }
  });
});

Deno.test("mdi refuses a token file that others may read", async () => {
  await using dir = await temporaryDirectory();
  const path = join(dir.path, "token");
  const made = await runMdi(["token", "new", "--json"], { home: dir.path });
  assertEquals(made.code, 0);
  assertEquals((await Deno.stat(path)).mode! & 0o777, 0o600);
  assertMatch(made.stderr, /mdi --secondary/);
  const token = String(made.records[0]!.token);
  assert(!made.stderr.includes(token));
  await assertRefused(["token", "new"], { home: dir.path }, {
    status: 5,
    code: "refused_token",
    message: /this device has one already; "cat \S+token" shows it.* --force" replaces it/,
  });
  await Deno.chmod(path, 0o644);
  const ended = await assertRefused(RUN, { home: dir.path }, {
    status: 5,
    code: "refused_token",
    message: /others may read it \(mode 644\); type "chmod 600 /,
  });
  assert(!(ended.stdout + ended.stderr).includes(token));
});

Deno.test("mdi names --memory where that is what leaves no room for the weights", async () => {
  await using dir = await temporaryDirectory();
  const found = await assertRefused([...RUN, "--memory", "68MB"], { home: dir.path }, {
    status: 6,
    code: "memory",
    message: /take 1 MB, and the limit of --memory, 68 MB, leaves 0 MB .*; raise it, or give/,
  });
  assert(!found.stderr.includes("close other programs"));
});
