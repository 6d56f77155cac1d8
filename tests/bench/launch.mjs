// Starts the process of a contender, on a port that is free. Whatever ends the benchmark ends it too.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { createInterface } from "node:readline";
import { withLock } from "../tools/lock.mjs";
import { guarded, writeConfig } from "../tools/serve.mjs";
import { Complaint, esbuild, node22, ROOT, run, workerd } from "../tools/tools.mjs";

/**
 * `{pid, port, started, startMs, stop}` once `command` has answered a first request, `startMs` after it was `started`. It says
 * its port in the first line that it writes to descriptor `fd`.
 */
async function launch(command, args, { fd = 1, readPort = Number, dir }) {
  const started = performance.now();
  const stdio = ["ignore", "ignore", "inherit"];
  stdio[fd] = "pipe";
  const child = spawn(command, args, { cwd: dir, stdio });
  const guard = guarded(child, "SIGKILL", dir);
  const ended = once(child, "exit");
  const stop = async () => {
    child.kill("SIGKILL");
    await ended;
    guard.kill("SIGKILL");
    rmSync(dir, { recursive: true, force: true });
  };
  const said = once(createInterface(child.stdio[fd]), "line").then(([line]) => readPort(line));
  const port = await Promise.race([said, ended.then(() => undefined)]);
  if (!port) throw new Complaint(`${command} ended before it listened.`);
  child.stdio[fd].resume();
  const response = await fetch(`http://127.0.0.1:${port}/health`);
  await response.arrayBuffer();
  return { pid: child.pid, port, started, startMs: performance.now() - started, stop };
}

/** Where what is built for the benchmark is kept; git ignores it. */
const BUILT = join(ROOT, "target/bench");

/** A contender that this machine cannot have: the benchmark says so and goes on. */
export class Unavailable extends Error {}

const scratch = () => mkdtempSync(join(realpathSync(tmpdir()), "dialtone-bench-"));

const serveConfig = (dir) =>
  // The control descriptor says {"event":"listen","socket":"http","port":…}.
  launch(workerd(), ["serve", "--control-fd=3", join(dir, "config.capnp")], { fd: 3, readPort: (line) => JSON.parse(line).port, dir });

/** The build on bare workerd, as `npm run serve` runs it. */
export async function launchOurs(vars) {
  const dir = scratch();
  writeConfig({ dir, port: 0, vars: Object.entries(vars).map(([name, value]) => [name, String(value)]), buildDir: "build", publicDir: join(ROOT, "public") });
  return serveConfig(dir);
}

/** A Worker of one module, with an object class `Room` in `ROOMS`, under the same date and flags as ours. */
export async function launchWorker(module, vars = {}) {
  const dir = scratch();
  mkdirSync(join(dir, "storage"));
  copyFileSync(module, join(dir, "index.js"));
  const toml = readFileSync(join(ROOT, "wrangler.toml"), "utf8");
  const [date, flags] = [/^compatibility_date\s*=\s*"([^"]+)"/m, /^compatibility_flags\s*=\s*\[([^\]]*)\]/m].map((key) => toml.match(key)[1]);
  const bindings = Object.entries(vars).map(([name, value]) => `, (name = "${name}", text = "${value}")`);
  writeFileSync(
    join(dir, "config.capnp"),
    `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [(name = "main", worker = .main), (name = "storage", disk = (path = "${dir}/storage", writable = true))],
  sockets = [(name = "http", address = "127.0.0.1:0", http = (), service = "main")],
);
const main :Workerd.Worker = (
  modules = [(name = "index.js", esModule = embed "index.js")],
  compatibilityDate = "${date}",
  compatibilityFlags = [${flags}],
  bindings = [(name = "ROOMS", durableObjectNamespace = "Room")${bindings.join("")}],
  durableObjectNamespaces = [(className = "Room", uniqueKey = "bench", enableSql = true)],
  durableObjectStorage = (localDisk = "storage"),
);
`,
  );
  return serveConfig(dir);
}

/** A Worker's module with the packages that it imports, in one file. */
export async function bundled(module) {
  const file = join(BUILT, basename(module));
  await run(esbuild(), [module, "--bundle", "--format=esm", "--external:cloudflare:*", "--log-level=warning", `--outfile=${file}`]);
  return file;
}

/** The release binary of the Cargo package in `dir`. Built when it is not there; throws `Unavailable` where that fails. */
export async function cargoBuilt(dir, name) {
  const args = ["build", "--release", "--locked", "--manifest-path", join(dir, "Cargo.toml"), "--target-dir", join(BUILT, name)];
  const binary = join(BUILT, name, "release", name);
  await withLock(join(BUILT, name), console.error, async () => {
    if (!existsSync(binary)) console.error(`bench: building ${name} (a minute or two, once)…`);
    const { code, stderr } = await run("cargo", args, { stdio: ["ignore", 2, "pipe"], allowFailure: true });
    if (code !== 0) throw new Unavailable(`${name} could not be built: ${stderr.trim().split("\n").at(-1)}`);
  });
  return binary;
}

/** A script that prints its port, on our Node. */
export const launchNode = (script, ...args) => launch(node22(), [script, ...args], { dir: scratch() });

/** A native command that prints its port. */
export const launchNative = (command) => launch(command, [], { dir: scratch() });
