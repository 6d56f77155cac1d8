// `npm test`: everything that CI checks, in the order in which it is quickest to hear of a mistake.
//
//   npm test [-- --only lint|audit|core|fuzz|build|e2e[,…]]

import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { advisories, cargoDeny, npmAudit } from "./audit.mjs";
import { build } from "./build.mjs";
import { findChromium } from "./chromium.mjs";
import { fuzz, whyNot } from "./fuzz.mjs";
import { setup } from "./setup.mjs";
import { Complaint, elapsed, main, node22, ROOT, run, toolEnv, wrangler } from "./tools.mjs";

const WASM = ["--target", "wasm32-unknown-unknown"];
const DENY_WARNINGS = ["--", "-D", "warnings"];

/** A target: enough to notice what a change breaks at once. */
const FUZZ_SECONDS = 10;

const STEPS = [
  { group: "lint", name: "rustfmt", body: () => run("cargo", ["fmt", "--all", "--check"]) },
  { group: "lint", name: "clippy, host", body: () => run("cargo", ["clippy", "--workspace", "--all-targets", ...DENY_WARNINGS]) },
  { group: "lint", name: "clippy, wasm32", body: () => run("cargo", ["clippy", "--workspace", "--lib", ...WASM, ...DENY_WARNINGS]) },
  {
    group: "lint",
    name: "rustdoc",
    body: () => run("cargo", ["doc", "--no-deps", "--workspace"], { env: toolEnv({ RUSTDOCFLAGS: "-D warnings" }) }),
  },
  { group: "audit", name: "cargo deny: licences, bans, sources", body: cargoDeny },
  { group: "audit", name: "cargo deny: advisories", body: advisories },
  { group: "audit", name: "npm audit", body: npmAudit },
  { group: "core", name: "cargo test", body: () => run("cargo", ["test", "--workspace"]) },
  { group: "fuzz", name: "fuzz", body: shortFuzz },
  { group: "build", also: "e2e", name: "build", body: () => build() },
  { group: "build", name: "wrangler deploy --dry-run", body: deployDryRun },
  { group: "e2e", name: "end to end", body: endToEnd }, // last: CI reads the count of tests from its summary
];

/** Where there is what it takes; a machine without it has the seeds, in `cargo test`. */
async function shortFuzz() {
  const reason = whyNot();
  if (reason) console.log(`fuzz: SKIPPED, not passed: ${reason}`);
  else await fuzz({ seconds: FUZZ_SECONDS, seed: 1 }); // the same inputs each time: what is new is found by `npm run fuzz`
}

/** The upload is made and checked, not sent. */
async function deployDryRun() {
  const dir = mkdtempSync(join(tmpdir(), "dialtone-deploy-"));
  try {
    await run(node22(), [wrangler(), "deploy", "--dry-run", "--outdir", dir]);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

/** One file at a time: they start servers and measure times. */
async function endToEnd() {
  const files = readdirSync(join(ROOT, "tests/e2e"), { recursive: true })
    .filter((name) => name.endsWith(".test.mjs"))
    .sort()
    .map((name) => `tests/e2e/${name}`);
  if (files.length === 0) throw new Complaint("tests/e2e/ has no *.test.mjs.");
  const chromium = findChromium();
  const env = toolEnv(chromium ? { CHROMIUM_PATH: chromium } : {});
  await run(node22(), ["--test", "--test-reporter=spec", "--test-concurrency=1", ...files], { env });
}

main(import.meta.url, async (args) => {
  const { values } = parseArgs({ args, options: { only: { type: "string" } } });
  const groups = ["lint", "audit", "core", "fuzz", "build", "e2e"];
  const only = values.only?.split(",") ?? groups;
  const unknown = only.find((group) => !groups.includes(group));
  if (unknown !== undefined) throw new Complaint(`--only is one of ${groups.join(", ")}, not ${unknown}`);

  await setup({ e2e: only.includes("e2e"), audit: only.includes("audit") });
  for (const { group, also, name, body } of STEPS) {
    if (!only.includes(group) && !only.includes(also)) continue;
    console.log(`\n── ${name} ──`);
    const start = Date.now();
    await body();
    if (group !== "e2e") console.log(`── ${name}: ${elapsed(start)}`);
  }
});
