// tests/CONTRACT.md says which test proves which promise; this says that those tests exist.

import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { ROOT } from "../tools/tools.mjs";

const read = (path) => readFileSync(join(ROOT, path), "utf8");

/** The text of the tests that a proof's file stands for. */
function source(file) {
  if (file !== "core") return read(`tests/e2e/${file}.test.mjs`);
  const files = readdirSync(join(ROOT, "core/src"), { recursive: true }).filter((name) => name.endsWith(".rs"));
  return files.map((name) => read(`core/src/${name}`)).join("\n");
}

test("every promise in CONTRACT.md is proven by a test that exists", () => {
  const rows = read("tests/CONTRACT.md").split("\n").filter((line) => /^\| (?!promise )/.test(line));
  assert.ok(rows.length > 50, `${rows.length} rows`);
  for (const row of rows) {
    const [promise, proof] = row.split(/(?<!\\)\|/).slice(1, 3);
    const proofs = [...proof.matchAll(/(`+) ?(.+?) ?\1(?!`)/g)].map(([, , text]) => text);
    assert.ok(proofs.length > 0, `nothing proves:${promise}`);
    for (const text of proofs) {
      const [, file, name] = text.match(/^([a-z-]+): (.+)$/) ?? assert.fail(`not "file: test name": ${text}`);
      const spellings = file === "core" ? [`fn ${name}(`] : [`"${name}"`, `\`${name}\``];
      const found = spellings.some((spelling) => source(file).includes(spelling));
      assert.ok(found, `${file} has no test "${name}", which is to prove:${promise}`);
    }
  }
});
