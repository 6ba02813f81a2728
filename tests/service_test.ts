/** `mdi service` as its users run it; nothing of this device's own systemd is touched. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { join } from "node:path";
import { unitText } from "../cli/service/unit.ts";
import { type Ended, runMdi } from "./support/mdi_process.ts";
import { isThere } from "./support/programs.ts";
import { temporaryDirectory } from "./support/refusal.ts";

const LINUX = Deno.build.os === "linux";

Deno.test({
  name: "mdi service writes, replaces and removes its own unit and nobody else's",
  ignore: !LINUX,
  async fn() {
    await using directory = await temporaryDirectory();
    const units = join(directory.path, "systemd", "user");
    const path = join(units, "mdi.service");
    const service = (...args: string[]): Promise<Ended> =>
      runMdi(["service", ...args, "--dir", units], { home: directory.path });

    const printed = await service("print", "--memory", "2GB", "--name", "my pi");
    assertEquals(printed.code, 0, printed.stderr);
    assertMatch(
      printed.stdout,
      /^ExecStart=:\S+ run .*cli\/main\.ts --secondary "--name=my pi" --memory=2000000000$/m,
    );

    const installed = await service("install", "--memory", "2GB", "--name", "my pi");
    assertEquals(installed.code, 0, installed.stderr);
    assertMatch(installed.stdout, /^wrote .*mdi\.service\n$/);
    assertMatch(installed.stderr, /systemctl --user enable --now mdi\.service/);
    assertMatch(installed.stderr, /loginctl enable-linger/);
    assertEquals(await Deno.readTextFile(path), printed.stdout);
    assertEquals((await Deno.stat(path)).mode! & 0o777, 0o644);
    assertEquals((await service("install")).code, 0, "its own is replaced");
    assertEquals([...Deno.readDirSync(units)].map(({ name }) => name), ["mdi.service"]);

    const wants = join(units, "default.target.wants");
    await Deno.mkdir(wants);
    await Deno.symlink(path, join(wants, "mdi.service"));
    const removed = await service("uninstall", "--json");
    assertEquals(removed.records, [{ type: "service", action: "uninstall", path, found: true }]);
    assertEquals([...Deno.readDirSync(wants)], []);
    assertEquals((await service("uninstall", "--json")).records[0]?.found, false);

    await Deno.writeTextFile(path, "[Service]\nExecStart=/bin/true\n");
    for (const action of ["install", "uninstall"]) {
      const { code, stderr } = await service(action);
      assertEquals(code, 2);
      assertMatch(stderr, /mdi has not written what is there; move it away/);
    }
    await Deno.remove(path);
    await Deno.symlink("/dev/null", path); // as systemctl mask does
    assertEquals((await service("install")).code, 2);
    assertEquals(await Deno.readLink(path), "/dev/null");
  },
});

Deno.test("--log-level says the least that is logged", async () => {
  await using directory = await temporaryDirectory();
  const lines = async (...args: string[]) => {
    const node = ["--secondary", "--listen", "127.0.0.1:0", "--log", "json", "--end-with-stdin"];
    const { stderr, code } = await runMdi([...node, ...args], { home: directory.path });
    assertEquals(code, 0, stderr);
    return stderr.trim().split("\n").filter(Boolean).map((line) => JSON.parse(line).level);
  };
  assertEquals(await lines(), ["info", "warn"]);
  assertEquals(await lines("--log-level", "warn"), ["warn"]);
  assertEquals(await lines("--log-level", "error"), []);
});

Deno.test({
  name: "the unit's command is a secondary that listens",
  ignore: !LINUX,
  async fn() {
    await using directory = await temporaryDirectory();
    const home = directory.path;
    const { stdout } = await runMdi(
      ["service", "print", "--listen", "127.0.0.1:0", "--name", "pi"],
      { home },
    );
    const [program, ...words] = /^ExecStart=:(.*)$/m.exec(stdout)![1]!.split(" ");
    await using child = new Deno.Command(program!, {
      args: [...words, "--end-with-stdin", "--json"],
      env: { MDI_HOME: home },
      stdin: "piped",
      stdout: "piped",
      stderr: "null",
    }).spawn();
    const [line] = await Array.fromAsync(firstChunk(child.stdout));
    assertMatch(line!, /"type":"ready".*"name":"pi"/);
    await child.stdin.close();
    assert((await child.status).success);
  },
});

async function* firstChunk(stream: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  for await (const text of stream.pipeThrough(new TextDecoderStream())) {
    yield text;
    return;
  }
}

const ANALYZE = LINUX && isThere("systemd-analyze");

Deno.test({
  name: `systemd takes the units${ANALYZE ? "" : " (no systemd-analyze here)"}`,
  ignore: !ANALYZE,
  async fn() {
    await using directory = await temporaryDirectory();
    const place = join(directory.path, "a b%S$HOME ü");
    await Deno.mkdir(place);
    const program = join(place, "mdi");
    await Deno.writeTextFile(program, "#!/bin/sh\n", { mode: 0o755 });
    const odd = ["--secondary", "--name=x \"y\" 'z' $HOME ${HOME} %n \\ ;", ";", ""];
    for (const scope of ["system", "user"] as const) {
      const path = join(directory.path, `mdi-${scope}.service`);
      const home = join(place, 'h"o\\me');
      for (
        const more of [{}, { home, memoryBytes: 1e9, ...(scope === "system" && { user: "root" }) }]
      ) {
        await Deno.writeTextFile(path, unitText({ scope, command: [program, ...odd], ...more }));
        const { code, stderr } = await new Deno.Command("systemd-analyze", {
          args: ["verify", "--man=no", ...(scope === "user" ? ["--user"] : []), path],
          env: { XDG_RUNTIME_DIR: directory.path },
        }).output();
        const said = new TextDecoder().decode(stderr).split("\n").filter((line) =>
          // What only newer releases know.
          line !== "" && !/Unknown key.*'?(RestartSteps|RestartMaxDelaySec)/.test(line)
        );
        assertEquals([code, said], [0, []], scope);
      }
    }
  },
});
