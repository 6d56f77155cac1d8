// `npm run fuzz`: libFuzzer, by cargo-fuzz, on the bodies of tests/fuzz. It takes a nightly Rust; cargo-fuzz is built
// into the cache folder where it is missing.
//
//   npm run fuzz -- [--seconds N] [--seed N] [target…]        60 seconds a target, all targets
//
// It starts from the repository's seeds and from what it has found to be of interest before (target/fuzz/corpus).
// What panics is printed as a line for tests/fuzz/seeds/{target}.txt, where `cargo test` guards it.

import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { cargoInstall } from "./setup.mjs";
import { cargoTools, Complaint, elapsed, main, ROOT, run } from "./tools.mjs";

const FUZZ = join(ROOT, "tests/fuzz/libfuzzer");
const TARGET_DIR = join(ROOT, "target/fuzz");
const CORPUS = join(TARGET_DIR, "corpus");
const FOUND = join(TARGET_DIR, "found");
/** Enough to build objects in; what is longer is more of the same. */
const MAX_INPUT_BYTES = 4096;
const NIGHTLY = { ...process.env, RUSTUP_TOOLCHAIN: "nightly", CARGO_TARGET_DIR: TARGET_DIR };

/** Why there is no fuzzing here; nothing where there is. */
export function whyNot() {
  const rustc = spawnSync("rustc", ["--print", "sysroot"], { cwd: ROOT, env: NIGHTLY, encoding: "utf8" });
  if (rustc.status !== 0) return "no nightly Rust here (`rustup toolchain install nightly`)";
  const host = spawnSync("rustc", ["-vV"], { cwd: ROOT, env: NIGHTLY, encoding: "utf8" }).stdout.match(/host: (.*)/)[1];
  if (!existsSync(join(rustc.stdout.trim(), "lib/rustlib", host))) return `the nightly Rust here has no standard library for ${host}`;
  if (spawnSync("c++", ["--version"]).status !== 0) return "no C++ compiler here, which libFuzzer is built with";
}

/** Each target's name. */
export const targets = () => readdirSync(join(FUZZ, "targets")).map((name) => name.replace(/\.rs$/, ""));

/** Fuzzes `only`, or all, so many seconds each, with chance from `seed` where it is given. A `Complaint` says what was found. */
export async function fuzz({ only = [], seconds = 60, seed, log = console.log } = {}) {
  const all = targets();
  const unknown = only.find((name) => !all.includes(name));
  if (unknown !== undefined) throw new Complaint(`${unknown} is no target: they are ${all.join(", ")}`);
  const chosen = only.length > 0 ? only : all;
  await cargoInstall(cargoTools.cargoFuzz(), ["--locked"], (line) => log(`setup: ${line}`));

  const start = Date.now();
  log("fuzz: building the targets…");
  await run("cargo", ["run", "--quiet", "-p", "dialtone-fuzz", "--bin", "seeds", "--", CORPUS]);
  await cargoFuzz(["build", ...(chosen.length === 1 ? chosen : [])]);
  log(`fuzz: built in ${elapsed(start)}`);

  const waiting = [...chosen];
  const found = [];
  const worker = async () => {
    for (let name = waiting.shift(); name; name = waiting.shift()) found.push(...(await one(name, seconds, seed, log)));
  };
  await Promise.all(Array.from({ length: Math.min(availableParallelism(), chosen.length) }, worker));
  if (found.length > 0) throw new Complaint(`fuzz: these inputs are not borne; add each line to its file, then mend what it shows:\n\n${found.join("\n")}`);
}

async function one(name, seconds, seed, log) {
  const dir = join(FOUND, name);
  rmSync(dir, { recursive: true, force: true });
  mkdirSync(dir, { recursive: true });
  const options = [`-max_total_time=${seconds}`, `-max_len=${MAX_INPUT_BYTES}`, "-timeout=20", "-print_final_stats=1", `-artifact_prefix=${dir}/`];
  if (seed !== undefined) options.push(`-seed=${seed}`);
  const { code, stderr } = await cargoFuzz(["run", name, join(CORPUS, name), "--", ...options], { stdio: ["ignore", "ignore", "pipe"], allowFailure: true });
  const written = join(TARGET_DIR, `${name}.log`);
  writeFileSync(written, stderr);
  const runs = Number(stderr.match(/stat::number_of_executed_units: (\d+)/)?.[1] ?? 0);
  const edges = stderr.match(/cov: (\d+)(?![\s\S]*cov: )/)?.[1] ?? "?";
  log(`fuzz: ${name}: ${runs.toLocaleString("en")} inputs, ${edges} edges covered`);
  if (code === 0) return [];
  const inputs = readdirSync(dir);
  if (inputs.length === 0) throw new Complaint(`fuzz: ${name} ended with exit code ${code}:\n${stderr.split("\n").slice(-30).join("\n")}`);
  const why = stderr.match(/panicked at [^\n]*\n[^\n]*/)?.[0] ?? "see the log";
  const lines = inputs.map((input) => {
    const seeds = ["run", "--quiet", "-p", "dialtone-fuzz", "--bin", "seeds", "--", "--line", join(dir, input)];
    return spawnSync("cargo", seeds, { cwd: ROOT, encoding: "utf8" }).stdout.trimEnd();
  });
  return [`# ${name} (${why.replaceAll("\n", " ")}; ${written.replace(`${ROOT}/`, "")})`, ...lines, ""];
}

/** Without a sanitizer: there is no `unsafe` of ours, and it would halve the speed. */
function cargoFuzz([command, ...args], options = {}) {
  const all = [command, "--fuzz-dir", FUZZ, "--sanitizer", "none", "--release", ...args];
  return run(cargoTools.cargoFuzz().command, all, { cwd: ROOT, env: NIGHTLY, ...options });
}

main(import.meta.url, async (args) => {
  const { values, positionals } = parseArgs({ args, options: { seconds: { type: "string", default: "60" }, seed: { type: "string" } }, allowPositionals: true });
  const seconds = Number(values.seconds);
  if (!Number.isInteger(seconds) || seconds < 1) throw new Complaint(`--seconds is a number of seconds, not ${values.seconds}`);
  const reason = whyNot();
  if (reason) throw new Complaint(`fuzz: ${reason}`);
  await fuzz({ only: positionals, seconds, seed: values.seed });
});
