// `npm run build`: build/index.js and build/index_bg.wasm, by worker-build, with every tool that it would
// otherwise download given to it, and the page's Socket.IO client (vendor.mjs). Does nothing when nothing that goes into
// them has changed.
//
//   npm run build [-- [--force] [--names] [--out-dir DIR] [cargo build arguments, such as --features …]]
//
// `--names` keeps the functions' names, for profilers and for stack traces: nearly half as many bytes again.

import { createHash } from "node:crypto";
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { arranged, withOwnNames } from "./arrange.mjs";
import { setup } from "./setup.mjs";
import { cargoTools, Complaint, elapsed, esbuild, main, ROOT, run, toolEnv, wasmOpt, WORKER_BUILD_VERSION } from "./tools.mjs";
import { vendor } from "./vendor.mjs";

const SOURCES = ["Cargo.toml", "Cargo.lock", "rust-toolchain.toml", "core", "durable", "src"];
const RESULTS = ["index.js", "index_bg.wasm"];
/** What is uploaded, gzipped, may not grow past this unnoticed. The goal is 400. */
const MAX_GZIP_KB = 630;
// wasm-bindgen catches by exceptions that its target_features do not name.
const WASM_FEATURES = "--enable-exception-handling";
// Inlining after LLVM's own makes what gzip leaves a sixth larger.
const WASM_OPT_PASSES = ["--no-inline=*", "-O"];

/** Sets up, then builds into `outDir` (inside the repository). `cargoArgs` go to `cargo build`. */
export async function build({ outDir = "build", cargoArgs = [], names = false, force = false, log = console.log } = {}) {
  await setup({ log });
  vendor({ log });
  const start = Date.now();
  const out = join(ROOT, outDir);
  const stamp = join(out, ".inputs");
  const inputs = inputHash(cargoArgs, names);
  const isBuilt = RESULTS.every((name) => existsSync(join(out, name)));
  if (!force && isBuilt && existsSync(stamp) && readFileSync(stamp, "utf8") === inputs) {
    log(`build: ${outDir}/ is up to date (${size(out)})`);
    return;
  }
  log("build: compiling with worker-build…");
  rmSync(stamp, { force: true }); // what is interrupted from here on is not up to date
  await run(cargoTools.workerBuild().command, ["--release", "--out-dir", outDir, "--", ...cargoArgs], {
    stdio: ["ignore", 2, 2], // stdout may be promised to something else (serve:conformance)
    env: toolEnv({ WASM_BINDGEN_BIN: cargoTools.wasmBindgen().command, ESBUILD_BIN: esbuild() }),
  });
  for (const name of RESULTS) {
    if (!existsSync(join(out, name))) throw new Complaint(`worker-build ended well, but made no ${outDir}/${name}.`);
  }
  await guard(out);
  const wasm = join(out, "index_bg.wasm");
  await optimise(wasm, { names });
  if (!names && gzipBytes(out) > MAX_GZIP_KB * 1000) {
    throw new Complaint(`build: ${size(out)}: more than the ${MAX_GZIP_KB} KB that tests/tools/build.mjs allows; the goal is 400.`);
  }
  writeFileSync(stamp, inputs);
  log(`build: ${outDir}/ is ready in ${elapsed(start)} (${size(out)})`);
}

/** Puts durable/guard.js around the module that worker-build has made. */
async function guard(out) {
  const [index, inner] = [join(out, "index.js"), join(out, "worker-build.js")];
  renameSync(index, inner);
  const options = ["--bundle", "--format=esm", "--minify", "--external:cloudflare:workers", "--external:./index_bg.wasm", "--log-level=warning"];
  await run(esbuild(), [join(ROOT, "durable/guard.js"), ...options, `--alias:worker-build=${inner}`, `--outfile=${index}`], { stdio: ["ignore", 2, 2] });
  rmSync(inner);
}

async function optimise(wasm, { names }) {
  const pass = (...passes) => run(wasmOpt(), [wasm, "-o", wasm, WASM_FEATURES, ...passes], { stdio: ["ignore", 2, 2] });
  await pass(...WASM_OPT_PASSES, "--debuginfo");
  writeFileSync(wasm, arranged(readFileSync(wasm)));
  await pass("--reorder-functions-by-name", names ? "--debuginfo" : "--strip-debug");
  if (names) writeFileSync(wasm, withOwnNames(readFileSync(wasm)));
}

/** What is uploaded, gzipped. */
export const gzipBytes = (out) =>
  RESULTS.map((name) => gzipSync(readFileSync(join(out, name)), { level: 9 }).length).reduce((sum, bytes) => sum + bytes);

function size(out) {
  const kb = (bytes) => `${Math.round(bytes / 1000)} KB`;
  return `${kb(gzipBytes(out))} gzip, index_bg.wasm alone ${kb(statSync(join(out, "index_bg.wasm")).size)}`;
}

/** By content: `git checkout` touches files without changing them. */
function inputHash(cargoArgs, names) {
  const rustc = spawnSync("rustc", ["-vV"], { cwd: ROOT, encoding: "utf8" }).stdout;
  const packages = readFileSync(join(ROOT, "package-lock.json")); // esbuild, wasm-opt
  const hash = createHash("sha256");
  const add = (name, content) => hash.update(`${name}\0${content.length}\0`).update(content);
  add("tools", JSON.stringify([WORKER_BUILD_VERSION, rustc, cargoArgs, WASM_OPT_PASSES, names, process.env.RUSTFLAGS ?? ""]));
  add("packages", packages);
  add("arrange", readFileSync(join(ROOT, "tests/tools/arrange.mjs")));
  for (const file of SOURCES.flatMap(filesUnder)) add(file, readFileSync(join(ROOT, file)));
  return hash.digest("hex");
}

function filesUnder(path) {
  const full = join(ROOT, path);
  if (!existsSync(full)) return [];
  if (statSync(full).isFile()) return [path];
  return readdirSync(full)
    .sort()
    .flatMap((name) => filesUnder(`${path}/${name}`));
}

main(import.meta.url, async (args) => {
  const options = { cargoArgs: [] };
  for (let i = 0; i < args.length; i++) {
    if (args[i] === "--force") options.force = true;
    else if (args[i] === "--names") options.names = true;
    else if (args[i] === "--out-dir") options.outDir = args[++i];
    else options.cargoArgs.push(args[i]);
  }
  await build(options);
});
