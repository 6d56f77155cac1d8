// Finds Schemathesis, which judges the HTTP API by its OpenAPI document, and installs it from PyPI where that is possible.

import { createHash } from "node:crypto";
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { withLock } from "./lock.mjs";
import { cacheDir, elapsed, ROOT, run } from "./tools.mjs";

const PACKAGES = join(ROOT, "tests/tools/schemathesis.txt");

export const schemathesisHint = "the OpenAPI document's test needs Schemathesis: Python 3.10 or newer with venv and pip, and PyPI.";

/** The path of the command, or undefined. */
export function findSchemathesis() {
  const { command, stamp } = venv();
  return existsSync(stamp) ? command : undefined;
}

/** Only where there is a Python that can do it. */
export async function installSchemathesis(say) {
  const { dir, stamp } = venv();
  const quietly = { stdio: ["ignore", "pipe", "pipe"], allowFailure: true };
  await withLock(dir, say, async () => {
    if (existsSync(stamp)) return;
    say("installing Schemathesis from PyPI for the OpenAPI document's test…");
    const start = Date.now();
    rmSync(dir, { recursive: true, force: true }); // what an interrupted set-up left
    const steps = [
      ["python3", "-m", "venv", dir],
      [join(dir, "bin/pip"), "install", "--no-input", "--disable-pip-version-check", "--only-binary=:all:", "-r", PACKAGES],
    ];
    for (const [command, ...args] of steps) {
      const { code, stdout, stderr } = await run(command, args, quietly);
      if (code !== 0) return say(`Schemathesis could not be installed: ${(stderr || stdout).trim().split("\n").at(-1)}`);
    }
    writeFileSync(stamp, "");
    say(`Schemathesis installed (${elapsed(start)})`);
  });
}

/** One for each set of packages; it is whole once its stamp is there. */
function venv() {
  const packages = createHash("sha256").update(readFileSync(PACKAGES)).digest("hex").slice(0, 16);
  const dir = join(cacheDir(), `schemathesis-${packages}`);
  return { dir, command: join(dir, "bin/schemathesis"), stamp: join(dir, ".ready") };
}
