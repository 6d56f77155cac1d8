// Where the tools of this project are and how they are run. Node's own modules only: set-up imports
// this before anything is installed.

import { spawn } from "node:child_process";
import { existsSync, readFileSync, realpathSync } from "node:fs";
import { homedir } from "node:os";
import { delimiter, dirname, join, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

/** The repository. */
export const ROOT = resolve(dirname(fileURLToPath(import.meta.url)), "../..");

/** worker-build checks that this matches the `worker` crate in Cargo.lock (same minor). */
export const WORKER_BUILD_VERSION = "0.8.7";

/** `npm run fuzz` alone needs it. */
const CARGO_FUZZ_VERSION = "0.13.2";
/** It judges the licences, sources and versions of our crates (deny.toml). */
export const CARGO_DENY_VERSION = "0.20.2";

const NODE_MODULES = join(ROOT, "node_modules");

/** An error whose message says all there is to say; `main` prints it without a stack. */
export class Complaint extends Error {}

/** Where tools built with cargo are kept, per user, so that a second clone has them already. */
export function cacheDir() {
  return join(process.env.XDG_CACHE_HOME || join(homedir(), ".cache"), "dialtone");
}

/** The version that Cargo.lock has for a crate; wasm-bindgen's command must match its library exactly. */
export function lockedVersion(crate) {
  const file = join(ROOT, "Cargo.lock");
  if (!existsSync(file)) throw new Complaint("Cargo.lock is missing: it belongs to the repository, restore it with git.");
  const block = readFileSync(file, "utf8").split("[[package]]").find((b) => b.includes(`\nname = "${crate}"\n`));
  const version = block?.match(/\nversion = "([^"]+)"/)?.[1];
  if (!version) throw new Complaint(`Cargo.lock names no ${crate}.`);
  return version;
}

/** A tool that is built with `cargo install`: its directory, its command. */
export const cargoTools = {
  workerBuild: () => cargoTool("worker-build", WORKER_BUILD_VERSION, "worker-build"),
  cargoFuzz: () => cargoTool("cargo-fuzz", CARGO_FUZZ_VERSION, "cargo-fuzz"),
  wasmBindgen: () => cargoTool("wasm-bindgen-cli", lockedVersion("wasm-bindgen"), "wasm-bindgen"),
  cargoDeny: () => cargoTool("cargo-deny", CARGO_DENY_VERSION, "cargo-deny"),
};

function cargoTool(crate, version, command) {
  const dir = join(cacheDir(), `${crate}-${version}`);
  return { crate, version, dir, command: join(dir, "bin", command) };
}

/** Node 22: wrangler needs it, and the system's may be 20. npm's `node` package holds the command itself. */
export function node22() {
  const installed = join(NODE_MODULES, "node/bin/node");
  if (existsSync(installed)) return installed;
  const [major, minor] = process.versions.node.split(".").map(Number);
  if (major > 22 || (major === 22 && minor >= 12)) return process.execPath;
  throw new Complaint("Node 22 is not installed yet: run `npm run setup`.");
}

/** workerd's native command, without the JavaScript launcher around it (which would be a process of its own). */
export const workerd = () => installed(`@cloudflare/workerd-${process.platform}-${process.arch === "x64" ? "64" : process.arch}/bin/workerd`);
/** esbuild's native command. */
export const esbuild = () => installed(`@esbuild/${process.platform}-${process.arch}/bin/esbuild`);
export const wasmOpt = () => installed("binaryen/bin/wasm-opt");
/** wrangler's script: run it with `node22()`. */
export const wrangler = () => installed("wrangler/bin/wrangler.js");

function installed(path) {
  const file = join(NODE_MODULES, path);
  if (!existsSync(file)) throw new Complaint(`node_modules/${path} is missing: run \`npm run setup\`.`);
  return file;
}

/**
 * The environment for child processes: Node 22 and the installed commands first on PATH; wrangler asks no questions and
 * fetches no sample of `Request.cf`, which Dialtone does not read, so that it starts offline without complaint.
 */
export function toolEnv(extra = {}) {
  const path = [join(NODE_MODULES, ".bin"), process.env.PATH ?? ""].join(delimiter);
  return { ...process.env, PATH: path, WRANGLER_SEND_METRICS: "false", CLOUDFLARE_CF_FETCH_ENABLED: "false", ...extra };
}

/**
 * Runs a command to its end and resolves with its output (empty unless `stdio` pipes it). Rejects with a
 * `Complaint` when it fails. SIGINT and SIGTERM are passed on, so that no child outlives this process. `onSpawn` gets the child.
 */
export function run(command, args, { allowFailure = false, onSpawn, ...options } = {}) {
  return new Promise((done, fail) => {
    const child = spawn(command, args, { cwd: ROOT, stdio: "inherit", env: toolEnv(), ...options });
    onSpawn?.(child);
    let stdout = "";
    let stderr = "";
    child.stdout?.on("data", (chunk) => (stdout += chunk));
    child.stderr?.on("data", (chunk) => (stderr += chunk));
    const forward = (signal) => child.kill(signal);
    process.on("SIGINT", forward).on("SIGTERM", forward);
    const end = (settle) => {
      process.off("SIGINT", forward).off("SIGTERM", forward);
      settle();
    };
    child.on("error", (error) =>
      end(() => (allowFailure ? done({ code: 127, stdout, stderr: error.message }) : fail(new Complaint(`${command}: ${error.message}`)))),
    );
    child.on("close", (code, signal) =>
      end(() => {
        if (code === 0 || allowFailure) return done({ code: code ?? 128, stdout, stderr });
        const what = [command, ...args].join(" ").replaceAll(`${ROOT}/`, "");
        fail(new Complaint(`${what} ended with ${signal ?? `exit code ${code}`}.${stderr && `\n${stderr.trimEnd()}`}`));
      }),
    );
  });
}

/** The development values, as wrangler reads them. Empty where the file is not there. */
export function readDevVars() {
  const file = join(ROOT, ".dev.vars");
  return existsSync(file) ? readVars(file) : {};
}

/** The `NAME="value"` lines of a file; the quotes may be missing. */
export function readVars(file) {
  const vars = {};
  for (const line of readFileSync(file, "utf8").split(/\r?\n/)) {
    const [, name, value] = line.match(/^\s*([A-Za-z_]\w*)\s*=\s*(.*?)\s*$/) ?? [];
    if (name) vars[name] = value.replace(/^(["'])(.*)\1$/, "$2");
  }
  return vars;
}

/** "4.2 s", "3 min 05 s" since `start` (a `Date.now()`). */
export function elapsed(start) {
  const seconds = (Date.now() - start) / 1000;
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  return `${Math.floor(seconds / 60)} min ${String(Math.floor(seconds % 60)).padStart(2, "0")} s`;
}

/** Runs `body` if the module at `url` is the one node was started with; complaints become one line and exit code 1. */
export async function main(url, body) {
  if (!process.argv[1] || url !== pathToFileURL(realpathSync(process.argv[1])).href) return;
  try {
    await body(process.argv.slice(2));
  } catch (error) {
    console.error(error instanceof Complaint || error?.code?.startsWith?.("ERR_PARSE_ARGS") ? error.message : error);
    process.exitCode = 1;
  }
}
