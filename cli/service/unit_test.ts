import { assert, assertEquals, assertMatch, assertThrows } from "@std/assert";
import { unitOf } from "../service.ts";
import { MARK, unitText } from "./unit.ts";

const COMPILED = { words: ["/usr/local/bin/mdi"], made: "deno compile" as const };

/** The lines of a unit's settings. */
function settings(text: string): string[] {
  return text.split("\n").filter((line) => /^\w+=/.test(line));
}

Deno.test("unitOf() makes a system unit of a user of its own", () => {
  const lines = settings(
    unitOf({ system: true, memory: 2e9, name: "my pi", log: "json" }, COMPILED),
  );
  for (
    const line of [
      'ExecStart=:/usr/local/bin/mdi --secondary "--name=my pi" --memory=2000000000 --log=json',
      "Environment=MDI_HOME=%S/mdi MALLOC_ARENA_MAX=2 DENO_NO_UPDATE_CHECK=1",
      ...["DynamicUser=yes", "StateDirectory=mdi", "MemoryMax=2000000000", "ProtectHome=yes"],
      ...["NoNewPrivileges=yes", "PrivateTmp=yes", "ProtectSystem=strict", "LimitNOFILE=65536"],
      ...["MemoryDenyWriteExecute=no", "Restart=on-failure", "WantedBy=multi-user.target"],
    ]
  ) assert(lines.includes(line), line);
});

Deno.test("unitOf() makes a unit of one's own, without what takes root", () => {
  const text = unitOf({ home: "/mnt/usb disk/mdi" }, COMPILED);
  const lines = settings(text);
  assertEquals(text.split("\n")[0], MARK);
  for (const line of ["ProtectHome=read-only", "PrivateUsers=yes", "WantedBy=default.target"]) {
    assert(lines.includes(line), line);
  }
  assert(lines.includes('ReadWritePaths="/mnt/usb disk/mdi"'));
  assertMatch(text, /^Environment="MDI_HOME=\/mnt\/usb disk\/mdi" /m);
  assert(!/DynamicUser|Capability|StateDirectory|network-online|MemoryMax/.test(text));
});

Deno.test("unitOf() hides home directories only where nothing in them is used", () => {
  const protection = (text: string) => /^ProtectHome=(.*)$/m.exec(text)?.[1];
  const own = { words: ["/home/pi/mdi"], made: "deno compile" as const };
  assertEquals(protection(unitOf({ system: true, user: "pi" }, own)), "read-only");
  assertEquals(protection(unitOf({ system: true, home: "/srv/mdi" }, COMPILED)), "yes");
});

Deno.test("unitOf() refuses units that could not work", () => {
  const refused: [Parameters<typeof unitOf>, RegExp][] = [
    [
      [{ system: true }, { words: ["/home/pi/mdi"], made: "deno compile" as const }],
      /\/usr\/local\/bin/,
    ],
    [[{ system: true }, { words: ["/opt/deno"], made: "source" as const }], /--user NAME/],
    [[{ user: "pi" }, COMPILED], /without --system/],
    [[{ system: true, user: "pi\nroot" }, COMPILED], /no user's name/],
    [[{ name: "a\nb" }, COMPILED], /control character/],
    [[{}, { words: ['/opt/"mdi"'], made: "deno compile" as const }], /without quotes/],
    [[{ system: true, pace: "/home/pi/slow.json" }, COMPILED], /--user NAME/],
    [
      [{}, { words: ["/tmp/mdi"], made: "deno compile" as const }],
      /uses \/tmp\/mdi: a service sees/,
    ],
    [[{ home: "/srv/../var/tmp" }, COMPILED], /uses \/var\/tmp: a service sees/],
    [[{ pace: "/tmp/slow.json" }, COMPILED], /uses \/tmp\/slow.json: a service sees/],
    [[{}, { words: ["mdi"], made: "deno compile" as const }], /absolute path/],
  ];
  for (const [args, message] of refused) {
    assertMatch(assertThrows(() => unitOf(...args), RangeError).message, message);
  }
});

Deno.test("unitOf() lets a file that unpacks itself do so where it may write", () => {
  const own = { words: ["/usr/local/bin/mdi"], made: "self-extracting" as const };
  assertMatch(unitOf({ system: true }, own), /^Environment=.* XDG_CACHE_HOME=%S\/mdi /m);
  assert(!unitOf({ system: true }, COMPILED).includes("XDG_CACHE_HOME"));
});

Deno.test("unitText() has no setting twice", () => {
  for (const scope of ["system", "user"] as const) {
    const names = settings(unitText({ scope, command: ["/bin/mdi"] })).map((line) =>
      line.split("=")[0]
    );
    assertEquals(new Set(names).size, names.length);
  }
});
