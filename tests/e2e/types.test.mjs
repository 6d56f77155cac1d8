// public/types/dialtone.d.ts: the guides' clients compile against it (tests/types), what is wrong does not, and it says
// what the server says. The README's TypeScript is among what compiles.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { node22, ROOT } from "../tools/tools.mjs";
import { serve } from "./harness.mjs";

const TYPES = "public/types/dialtone.d.ts";
const read = (path) => readFileSync(join(ROOT, path), "utf8");

/** tsc in this folder: its exit code and what it says. */
function tsc(cwd, ...args) {
  const { status, stdout, stderr } = spawnSync(node22(), [join(ROOT, "node_modules/typescript/bin/tsc"), "--pretty", "false", ...args], { cwd, encoding: "utf8" });
  return { status, output: stdout + stderr };
}

/** A copy of what tsc reads, to be broken; deleted when `t` is over. */
function copy(t) {
  const dir = mkdtempSync(join(tmpdir(), "dialtone-types-"));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  for (const path of ["tests/types", "public/types"]) cpSync(join(ROOT, path), join(dir, path), { recursive: true });
  symlinkSync(join(ROOT, "node_modules"), join(dir, "node_modules"));
  const change = (file, from, to) => {
    const path = join(dir, "tests/types", file);
    const text = readFileSync(path, "utf8");
    const changed = text.replaceAll(from, to);
    assert.notEqual(changed, text, `${file} has ${from}`);
    writeFileSync(path, changed);
  };
  return { dir, change };
}

/** The code blocks of the README in this language. */
const blocks = (language) => [...read("README.md").matchAll(/^ *```(\w*)\n([^]*?)\n *```$/gm)].filter(([, of]) => of === language).map(([, , text]) => text);

test("the guides' clients compile against dialtone.d.ts with the stock Socket, and what is expected to be wrong is", () => {
  assert.deepEqual(tsc(ROOT, "-p", "tests/types"), { status: 0, output: "" });
});

test("dialtone.d.ts compiles on its own: it needs no package and no DOM", () => {
  assert.deepEqual(tsc(ROOT, "--ignoreConfig", "--noEmit", "--strict", "--lib", "ES2022", TYPES), { status: 0, output: "" });
});

test("a wrong snippet is refused, by its file and line: each line of errors.ts, and a typing error in a guide's client", (t) => {
  const { dir, change } = copy(t);
  const lines = read("tests/types/errors.ts").split("\n");
  const expected = lines.flatMap((line, n) => (/^ *\/\/ @ts-expect-error /.test(line) ? [n + 2] : []));
  assert.ok(expected.length > 50, `${expected.length} wrong lines`);
  change("errors.ts", /\/\/ @ts-expect-error/g, "//");
  change("customer-provider-chat.ts", 'emit("leave_chat"', 'emit("leave_chatt"');
  const { status, output } = tsc(dir, "-p", "tests/types");
  assert.notEqual(status, 0);
  const found = [...output.matchAll(/^tests\/types\/errors\.ts\((\d+),/gm)].map(([, line]) => Number(line));
  assert.deepEqual(found, expected, output);
  assert.match(output, /^tests\/types\/customer-provider-chat\.ts\(\d+,\d+\): error .*"leave_chatt"/m);
});

test("every TypeScript block of the README is in a file of tests/types", () => {
  // Inside a function it is indented.
  const flat = (text) => text.split("\n").map((line) => line.trim()).join("\n");
  const compiled = readdirSync(join(ROOT, "tests/types")).filter((file) => file.endsWith(".ts")).map((file) => flat(read(`tests/types/${file}`)));
  assert.ok(blocks("ts").length > 5);
  for (const block of blocks("ts")) assert.ok(compiled.some((file) => file.includes(flat(block))), `in no file of tests/types:\n${block}`);
});

test("dialtone.d.ts has the events that each namespace's clients may send, and every error code", () => {
  const types = read(TYPES);
  const register = read("core/src/namespaces/mod.rs").match(/fn namespace_of[^]*?^}/m)[0].replace(/#\[cfg\(.*\n.*\n/g, "");
  const namespaces = [...register.matchAll(/"\/\w*" => &(\w+)::\w+/g)].map(([, file]) => file);
  assert.ok(namespaces.includes("inbox") && namespaces.includes("chat"), namespaces.join());
  for (const file of namespaces) {
    const arms = read(`core/src/namespaces/${file}.rs`).match(/fn event\([^]*?unknown_event\(/)[0];
    const events = [...arms.matchAll(/"([\w-]+)"(?=(?: \| "[\w-]+")* =>)/g)].map(([, name]) => name);
    const name = file[0].toUpperCase() + file.slice(1);
    const sends = types.match(new RegExp(`^export namespace ${name} {[^]*?interface ClientToServerEvents extends SentEverywhere {\n([^]*?)\n  }`, "m"))[1];
    assert.deepEqual([...sends.matchAll(/^    "?([\w-]+)"?: /gm)].map(([, event]) => event).sort(), events.sort(), name);
  }
  const codes = [...read("core/src/error.rs").matchAll(/=> \("(\w+)", \d+,/g)].map(([, code]) => code);
  const union = types.match(/type ErrorCode =([^]*?);/)[1];
  assert.deepEqual([...union.matchAll(/"(\w+)"/g)].map(([, code]) => code).sort(), codes.sort());
});

test("the README's isGenuine takes a webhook that is signed as Standard Webhooks say, and no other", async () => {
  const block = blocks("js").find((text) => text.includes("isGenuine"));
  const { isGenuine } = await import(`data:text/javascript,${encodeURIComponent(block)}`);
  // The specification's own example; its secret in base64, and as the bytes that it stands for.
  const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
  const headers = {
    "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
    "webhook-timestamp": "1614265330",
    "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
  };
  const now = Date.now;
  const at = (seconds, ...args) => {
    Date.now = () => seconds * 1000;
    try {
      return isGenuine(...args);
    } finally {
      Date.now = now;
    }
  };
  const body = '{"test": 2432232314}';
  assert.equal(at(1614265330, headers, body, secret), true);
  assert.equal(at(1614265330, headers, body, "another"), false);
  assert.equal(at(1614265330, headers, body + " ", secret), false);
  assert.equal(at(1614265330, { ...headers, "webhook-id": "msg_2" }, body, secret), false);
  assert.equal(at(1614265330, { ...headers, "webhook-timestamp": "1614265331" }, body, secret), false);
  assert.equal(at(1614265330, {}, body, secret), false);
  assert.equal(at(1614265330 + 3600, headers, body, secret), false, "an old one");
});

test("dialtone.d.ts is served at /types/dialtone.d.ts", async (t) => {
  const server = await serve(t);
  const answer = await fetch(`${server.url}/types/dialtone.d.ts`);
  assert.equal(answer.status, 200);
  assert.equal(await answer.text(), read(TYPES));
});
