// Finds a Chromium for the browser tests, and installs Debian's where that is possible.

import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { delimiter, join } from "node:path";
import { Complaint, elapsed, run } from "./tools.mjs";

const COMMANDS = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
const MAC = ["/Applications/Google Chrome.app/Contents/MacOS/Google Chrome", "/Applications/Chromium.app/Contents/MacOS/Chromium"];

export const browserHint = "the browser tests need Chromium: install it, or name it with CHROMIUM_PATH.";

/** The path of a Chromium or Chrome, or undefined. */
export function findChromium() {
  const named = process.env.CHROMIUM_PATH;
  if (named) {
    if (!existsSync(named)) throw new Complaint(`CHROMIUM_PATH names ${named}, which does not exist.`);
    return named;
  }
  const dirs = ["/usr/bin", ...(process.env.PATH ?? "").split(delimiter)];
  const candidates = COMMANDS.flatMap((command) => dirs.map((dir) => join(dir, command)));
  return [...candidates, ...MAC].find((path) => existsSync(path));
}

/** Only where nobody has to be asked for a password. */
export async function installChromium(say) {
  if (process.getuid?.() !== 0 || spawnSync("apt-get", ["--version"]).error) return;
  say("installing Debian's chromium for the browser tests…");
  const start = Date.now();
  const options = { env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" }, stdio: ["ignore", "pipe", "pipe"], allowFailure: true };
  await run("apt-get", ["update", "-q"], options);
  const { code, stderr } = await run("apt-get", ["install", "-qy", "--no-install-recommends", "chromium"], options);
  say(code === 0 ? `chromium installed (${elapsed(start)})` : `chromium could not be installed: ${stderr.trim().split("\n").at(-1)}`);
}
