// `npm run setup`: makes a fresh checkout ready to build, run and test. Every command that needs
// something calls this first, so nobody has to know it exists; when all is there it takes no time.

import { spawnSync } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { existsSync, mkdirSync, openSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { delimiter, dirname, join } from "node:path";
import { browserHint, findChromium, installChromium } from "./chromium.mjs";
import { withLock } from "./lock.mjs";
import { findSchemathesis, installSchemathesis, schemathesisHint } from "./schemathesis.mjs";
import { cacheDir, cargoTools, Complaint, elapsed, main, ROOT, run } from "./tools.mjs";

const TARGET = "wasm32-unknown-unknown";
const PROGRESS_INTERVAL_MS = 15_000;

/**
 * Sets up whatever is missing. `e2e`: what the end-to-end tests need, too; `audit`: what judges our dependencies. `log` gets the lines that say what is
 * happening; there are none when nothing is missing.
 */
export async function setup({ e2e = false, audit = false, log = console.log } = {}) {
  const say = (line) => log(`setup: ${line}`);
  checkNode();
  await checkRust(say);
  await npmPackages(say);
  await cargoInstall(cargoTools.workerBuild(), ["--locked"], say);
  // Not --locked: the locked webpki-roots may have been withdrawn from the registry.
  await cargoInstall(cargoTools.wasmBindgen(), [], say);
  if (audit) await cargoInstall(cargoTools.cargoDeny(), ["--locked"], say);
  devVars(say);
  if (e2e && !findChromium()) {
    await installChromium(say);
    if (!findChromium()) say(browserHint);
  }
  if (e2e && !findSchemathesis()) {
    await installSchemathesis(say);
    if (!findSchemathesis()) say(schemathesisHint);
  }
}

function checkNode() {
  if (Number(process.versions.node.split(".")[0]) < 20) {
    throw new Complaint(`Dialtone needs Node 20 or newer (this is ${process.versions.node}): install it from nodejs.org.`);
  }
}

/** Rust by rustup, or any other cargo that has the target. rust-toolchain.toml makes rustup fetch the right version. */
async function checkRust(say) {
  if (spawnSync("cargo", ["--version"], { cwd: ROOT }).error) {
    throw new Complaint("Dialtone needs Rust: install rustup as described on rust-lang.org/tools/install, then run this again.");
  }
  const rustc = spawnSync("rustc", ["--print", "sysroot"], { cwd: ROOT, encoding: "utf8" });
  if (rustc.status !== 0) throw new Complaint(`Dialtone needs a working rustc: ${rustc.error?.message ?? rustc.stderr.trim()}`);
  if (existsSync(join(rustc.stdout.trim(), "lib/rustlib", TARGET))) return;
  if (spawnSync("rustup", ["--version"], { cwd: ROOT }).error) {
    throw new Complaint(`Dialtone needs Rust's ${TARGET} target: install rustup as described on rust-lang.org/tools/install, or add the target to your Rust.`);
  }
  say(`adding Rust's ${TARGET} target…`);
  await run("rustup", ["target", "add", TARGET], { stdio: ["ignore", 2, 2] });
}

/** `npm ci`, unless what package-lock.json asks for is what was last installed. */
async function npmPackages(say) {
  const stamp = join(ROOT, "node_modules/.dialtone-setup");
  const wanted = createHash("sha256")
    .update(readFileSync(join(ROOT, "package-lock.json")))
    .update(`${process.platform} ${process.arch}`)
    .digest("hex");
  const isCurrent = () => existsSync(stamp) && readFileSync(stamp, "utf8") === wanted;
  if (isCurrent()) return;
  if (process.env.WRANGLER_COMMAND && existsSync(join(ROOT, "node_modules/wrangler"))) {
    // wrangler is building us: it runs from the node_modules that `npm ci` would delete.
    say("package-lock.json has changed since the last `npm run setup`; going on with the packages that are there");
    return;
  }
  const lock = join(cacheDir(), `npm-${createHash("sha256").update(ROOT).digest("hex").slice(0, 16)}`);
  await withLock(lock, say, async () => {
    if (isCurrent()) return;
    say("installing npm packages…");
    const start = Date.now();
    // Not with the `node` of node_modules, which is about to be replaced.
    const path = (process.env.PATH ?? "").split(delimiter).filter((dir) => !dir.includes("node_modules"));
    const { code, stdout, stderr } = await run("npm", ["ci", "--no-fund", "--no-audit", "--loglevel=error"], {
      env: { ...process.env, PATH: [dirname(process.execPath), ...path].filter((dir) => !dir.includes("node_modules")).join(delimiter) },
      stdio: ["ignore", "pipe", "pipe"],
      allowFailure: true,
    });
    if (code !== 0) throw new Complaint(`npm ci failed:\n${stdout}${stderr}`);
    writeFileSync(stamp, wanted);
    say(`npm packages installed (${elapsed(start)})`);
  });
}

/** Builds a tool once per machine and version; a quick build matters more here than a quick tool. */
export async function cargoInstall({ crate, version, dir, command }, flags, say) {
  if (existsSync(command)) return;
  mkdirSync(cacheDir(), { recursive: true });
  await withLock(dir, say, async () => {
    if (existsSync(command)) return;
    say(`building ${crate} ${version} (a few minutes, once per machine)…`);
    const start = Date.now();
    const target = `${dir}.target`; // kept when interrupted: the next try goes on from there
    const staging = `${dir}.tmp`;
    const log = `${dir}.log`;
    rmSync(staging, { recursive: true, force: true });
    const progress = setInterval(() => say(`… ${elapsed(start)}${lastCrate(log)}`), PROGRESS_INTERVAL_MS);
    try {
      const out = openSync(log, "w");
      const { code } = await run("cargo", ["install", crate, "--version", `=${version}`, ...flags, "--root", staging], {
        env: {
          ...process.env,
          CARGO_TARGET_DIR: target,
          CARGO_PROFILE_RELEASE_OPT_LEVEL: "1",
          CARGO_PROFILE_RELEASE_LTO: "off",
          CARGO_PROFILE_RELEASE_CODEGEN_UNITS: "16",
        },
        stdio: ["ignore", out, out],
        allowFailure: true,
      });
      if (code !== 0) throw new Complaint(`${crate} ${version} could not be built:\n${readFileSync(log, "utf8").split("\n").slice(-30).join("\n")}`);
      // Whole or not there at all: an interrupted install is never taken for a complete one.
      rmSync(dir, { recursive: true, force: true });
      renameSync(staging, dir);
      for (const rest of [target, log]) rmSync(rest, { recursive: true, force: true });
    } finally {
      clearInterval(progress);
      rmSync(staging, { recursive: true, force: true });
    }
    say(`${crate} ${version} is ready (${elapsed(start)})`);
  });
}

function lastCrate(log) {
  const crate = readFileSync(log, "utf8").match(/Compiling (\S+ v\S+)(?![\s\S]*Compiling )/)?.[1];
  return crate ? ` (compiling ${crate})` : "";
}

/** Random secrets for development, so that `npm start` needs no configuration and no secret is ever in git. */
export function devVars(say = () => {}) {
  const vars = {
    JWT_SECRET: randomBytes(48).toString("base64url"),
    TWILIO_ACCOUNT_SID: `AC${randomBytes(16).toString("hex")}`,
    TWILIO_AUTH_TOKEN: randomBytes(16).toString("hex"),
    OPEN_KINDS: "ticket,job,brand",
  };
  const text = Object.entries(vars).map(([name, value]) => `${name}="${value}"\n`).join("");
  try {
    writeFileSync(join(ROOT, ".dev.vars"), `# Made by \`npm run setup\` for this checkout alone. Never commit it.\n${text}`, { flag: "wx", mode: 0o600 });
    say("wrote .dev.vars with random development secrets");
  } catch (error) {
    if (error.code !== "EEXIST") throw error;
  }
}

main(import.meta.url, async (args) => {
  const start = Date.now();
  await setup({ e2e: args.includes("--e2e"), audit: args.includes("--audit") });
  console.log(`setup: everything is ready (${elapsed(start)})`);
});
