// `npm run serve`: the built artefact on bare workerd, in the foreground. No wrangler, no build, no configuration but
// what the command line says. For tests, benchmarks, and whoever wants to run Dialtone on a machine of their own.
//
//   npm run serve -- --port P [--persist DIR] [--var NAME=VALUE]… [--vars-file FILE] [--build DIR] [--public DIR]
//                    [--analytics HOST:PORT] [--verbose]
//
// `--vars-file` has NAME=VALUE lines: secrets that are not to be seen in the list of processes. `--var` wins.
//
// However this process ends, workerd ends with it; however it ended, the same command starts again.

import { spawn } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { Complaint, main, readVars, ROOT, workerd } from "./tools.mjs";
import { VENDORED } from "./vendor.mjs";
import { workerdConfig } from "./workerd-config.mjs";

const HERE = dirname(fileURLToPath(import.meta.url));
/** workerd waits for open connections when it is told to end; sockets stay open for ever. */
const STOP_TIMEOUT_MS = 1000;
const PARENT_POLL_INTERVAL_MS = 250;

/** Serves until workerd ends or a signal says so; resolves with the exit code. `onListening` gets the port. */
export function serve({ port, persist, vars = [], buildDir = "build", publicDir = "public", analytics, verbose = false, onListening }) {
  const dir = mkdtempSync(join(realpathSync(tmpdir()), "dialtone-"));
  const removeDir = () => rmSync(dir, { recursive: true, force: true });
  let child;
  try {
    writeConfig({ dir, port, persist, vars, buildDir, publicDir: resolve(ROOT, publicDir), analytics });
    // Descriptor 3 is where workerd reports that it listens. Its logs all go to stderr: stdout is for one line.
    const args = ["serve", ...(verbose ? ["--verbose"] : []), ...(analytics ? ["--experimental"] : []), "--control-fd=3", join(dir, "config.capnp")];
    child = spawn(workerd(), args, { stdio: ["ignore", 2, 2, "pipe"] });
  } catch (error) {
    removeDir();
    throw error;
  }
  const guard = guarded(child, "SIGKILL", dir);

  reportListening(child.stdio[3], onListening);

  let stopping = false;
  const stop = () => {
    if (stopping) return child.kill("SIGKILL");
    stopping = true;
    child.kill("SIGTERM");
    setTimeout(() => child.kill("SIGKILL"), STOP_TIMEOUT_MS).unref();
  };
  process.on("SIGTERM", stop).on("SIGINT", stop).on("SIGHUP", stop);
  const watch = npmIsGone(stop);

  return new Promise((done) => {
    const end = (code) => {
      clearInterval(watch);
      for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"]) process.off(signal, stop);
      guard.kill("SIGKILL");
      removeDir();
      done(code);
    };
    child.on("error", (error) => {
      console.error(`workerd could not be started: ${error.message}`);
      end(1);
    });
    child.on("exit", (code, signal) => {
      if (!stopping) console.error(`workerd ended with ${signal ?? `exit code ${code}`}`);
      end(stopping ? 0 : 1);
    });
  });
}

/** Something that ends `child` and removes `dir` when this process is killed and cannot do it. To be killed when `child` has ended. */
export function guarded(child, signal, dir = "") {
  const guard = spawn(process.execPath, [join(HERE, "guard.mjs"), String(child.pid), signal, dir], { stdio: ["pipe", "ignore", "ignore"] });
  guard.on("error", () => {});
  guard.stdin.on("error", () => {});
  return guard;
}

/** Everything that workerd reads is copied, but the page's files: a build while it runs changes nothing under it. */
export function writeConfig({ dir, port, persist, vars, buildDir, publicDir, analytics }) {
  const storageDir = persist ? resolve(persist) : join(dir, "storage");
  mkdirSync(storageDir, { recursive: true });
  for (const name of ["index.js", "index_bg.wasm"]) copyFileSync(join(ROOT, buildDir, name), join(dir, name));
  copyFileSync(join(HERE, "assets.mjs"), join(dir, "assets.mjs"));
  const headers = join(publicDir, "_headers");
  const headerRules = existsSync(headers) ? readFileSync(headers, "utf8") : "";
  const config = workerdConfig({ port, publicDir, headerRules, storageDir, vars, analytics });
  // The values may be secrets.
  writeFileSync(join(dir, "config.capnp"), config, { mode: 0o600 });
}

function reportListening(control, onListening) {
  let text = "";
  control.setEncoding("utf8");
  control.on("data", (chunk) => {
    text += chunk;
    for (let end; (end = text.indexOf("\n")) >= 0; text = text.slice(end + 1)) {
      const message = JSON.parse(text.slice(0, end));
      if (message.event === "listen" && message.socket === "http") onListening?.(message.port);
    }
  });
  control.on("error", () => {});
}

/**
 * Under npm, the command is npm's process: when it is killed, this one is to end as well. (package.json says
 * `exec node`, so that no shell is between the two, which would also keep SIGTERM to itself.)
 */
export function npmIsGone(stop) {
  if (!process.env.npm_lifecycle_event) return undefined;
  const parent = process.ppid;
  const watch = setInterval(() => process.ppid !== parent && (clearInterval(watch), stop()), PARENT_POLL_INTERVAL_MS);
  return watch;
}

/** The options that `serve` takes, from the command line. */
export function parseCommandLine(args) {
  const { values } = parseArgs({
    args,
    options: {
      port: { type: "string" },
      persist: { type: "string" },
      var: { type: "string", multiple: true, default: [] },
      "vars-file": { type: "string" },
      build: { type: "string", default: "build" },
      public: { type: "string", default: "public" },
      analytics: { type: "string" },
      verbose: { type: "boolean", default: false },
    },
  });
  const port = Number(values.port);
  if (!/^\d+$/.test(values.port ?? "") || port < 1 || port > 65535) throw new Complaint("--port is a number from 1 to 65535.");
  const vars = new Map(Object.entries(varsOfFile(values["vars-file"])));
  for (const pair of values.var) {
    const [, name, value] = pair.match(/^([A-Za-z_]\w*)=(.*)$/s) ?? [];
    if (!name) throw new Complaint(`--var is NAME=VALUE, not ${pair}`);
    vars.set(name, value); // the last one counts
  }
  return { port, persist: values.persist, vars: [...vars], buildDir: values.build, publicDir: values.public, analytics: values.analytics, verbose: values.verbose };
}

function varsOfFile(file) {
  try {
    return file === undefined ? {} : readVars(file);
  } catch (error) {
    throw new Complaint(`--vars-file cannot be read: ${error.message}`);
  }
}

/** The one line of stdout. */
export const sayListening = (port) => console.log(`listening on http://127.0.0.1:${port}`);

main(import.meta.url, async (args) => {
  const options = parseCommandLine(args);
  if (!["index.js", "index_bg.wasm"].every((name) => existsSync(join(ROOT, options.buildDir, name)))) {
    throw new Complaint("There is no build to serve: run `npm run build` first.");
  }
  if (!existsSync(resolve(ROOT, options.publicDir, "index.html"))) throw new Complaint(`--public is a folder with an index.html, not ${options.publicDir}`);
  if (!existsSync(resolve(ROOT, options.publicDir, VENDORED))) {
    console.error(`The page's Socket.IO client, ${join(options.publicDir, VENDORED)}, is missing: run \`npm run build\`. All else works.`);
  }
  process.exitCode = await serve({ ...options, onListening: sayListening });
});
