// tests/CONTRACT.md says which test proves which promise; this says that those tests exist, and that nothing is without a row.

import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { ROOT } from "../tools/tools.mjs";

const read = (path) => readFileSync(join(ROOT, path), "utf8");

/** Where Rust's tests are. */
const RUST = { core: "core", fuzz: "tests/fuzz", simulation: "tests/simulation" };

/** The text of the tests that a proof's file stands for. */
function source(file) {
  if (!(file in RUST)) return read(`tests/e2e/${file}.test.mjs`);
  const files = readdirSync(join(ROOT, RUST[file]), { recursive: true }).filter((name) => /^(src|tests).*\.rs$/.test(name));
  return files.map((name) => read(`${RUST[file]}/${name}`)).join("\n");
}

const CONTRACT = read("tests/CONTRACT.md");
/** `[promise, proof]` of every row. */
const ROWS = CONTRACT.split("\n").filter((line) => /^\| (?!promise )/.test(line)).map((row) => row.split(/(?<!\\)\|/).slice(1, 3));

/** The code spans of Markdown. */
const spans = (text) => [...text.matchAll(/(`+) ?(.+?) ?\1(?!`)/g)].map(([, , span]) => span);

/** `file: test name` names a test that is there. */
function assertTest(text, what) {
  const [, file, name] = text.match(/^([a-z0-9-]+): (.+)$/) ?? assert.fail(`not "file: test name": ${text}`);
  const spellings = file in RUST ? [`fn ${name}(`] : [`"${name}"`, `\`${name}\``];
  const found = spellings.some((spelling) => source(file).includes(spelling));
  assert.ok(found, `${file} has no test "${name}", which is to prove:${what}`);
}

test("every promise in CONTRACT.md is proven by a test that exists", () => {
  assert.ok(ROWS.length > 100, `${ROWS.length} rows`);
  for (const [promise, proof] of ROWS) {
    const proofs = spans(proof);
    assert.ok(proofs.length > 0, `nothing proves:${promise}`);
    for (const text of proofs) assertTest(text, promise);
  }
});

test("every proof that SECURITY.md names is a test that exists", () => {
  const proofs = spans(read("SECURITY.md")).filter((text) => /^[a-z0-9-]+: /.test(text) && !text.startsWith("file: "));
  assert.ok(proofs.length > 20, `${proofs.length} proofs`);
  for (const text of proofs) assertTest(text, " SECURITY.md");
});

/** Rust without comments and tests. */
const rust = (path) => read(path).split(/^#\[cfg\(test\)\]\nmod tests/m)[0].replace(/^\s*\/\/.*$/gm, "");
const all = (text, pattern) => [...text.matchAll(pattern)].map(([, name]) => name);

/** What clients, backends and people at the command line may name, as the code has it; and how much there must be at least. */
const NAMES = {
  routes: [30, () => [...rust("src/router.rs").matchAll(/^ {4}\("?(\w+)"?, +"([^"]+)", +Route::(?!EngineIo)/gm)].map(([, method, path]) => (method === "ANY" ? path : `${method} ${path}`))],
  variables: [25, () => all(rust("core/src/config.rs"), /vars\s*\.\w+\(\s*"([A-Z_]+)"/g)],
  codes: [20, () => all(rust("core/src/error.rs"), /=> \("(\w+)", \d{3},/g)],
  events: [50, eventNames],
  commands: [9, () => Object.keys(JSON.parse(read("package.json")).scripts).map((name) => (/^(start|test)$/.test(name) ? `npm ${name}` : `npm run ${name}`))],
};

/** What a namespace or a kind matches on, emits, or has in a list or a constant, a payload's words too; and what no client may send. */
function eventNames() {
  const namespaces = readdirSync(join(ROOT, "core/src/namespaces")).filter((name) => !/^(asking|board|conformance|mod)\.rs$/.test(name));
  return [...namespaces.map((name) => `core/src/namespaces/${name}`), "core/src/event.rs"].map(rust).flatMap((text) => [
    ...all(text, /"([a-z][a-z_:-]+)"(?: =>| \|)/g),
    ...all(text, /(?:emit\(|const [A-Z_]+: &str = )\s*"([a-z_:-]+)"/g),
    ...all(text, /&\[([^[\]]*)\]/g).flatMap((list) => all(list, /"([A-Za-z_:-]+)"/g)),
  ]);
}

for (const [what, [atLeast, names]] of Object.entries(NAMES)) {
  test(`CONTRACT.md has a row for each of the ${what}, or says that it is not built yet`, () => {
    const [, notBuilt] = CONTRACT.split("\n## Not built yet\n");
    const quoted = [...ROWS.map(([promise]) => promise), notBuilt].flatMap((text) => all(text, /`([^`]+)`/g));
    const promised = new Set(quoted.flatMap((code) => [code, ...code.split(/[^\w:-]+/)]));
    const found = [...new Set(names())];
    assert.ok(found.length >= atLeast, `found only ${found}`);
    assert.deepEqual(found.filter((name) => !promised.has(name)), [], `${what} without a row`);
  });
}
