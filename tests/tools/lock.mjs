// One process at a time does a long piece of set-up; the others wait and then find it done.

import { linkSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

const POLL_INTERVAL_MS = 500;
const POLLS_PER_LINE = 30;

/** Runs `body` while holding `{path}.lock`. A lock whose process is gone does not count. */
export async function withLock(path, say, body) {
  const lock = `${path}.lock`;
  mkdirSync(dirname(lock), { recursive: true });
  for (let polls = 0; !acquire(lock); polls++) {
    const owner = readOwner(lock);
    if (owner && !isAlive(owner)) rmSync(lock, { force: true });
    else {
      if (owner && polls % POLLS_PER_LINE === 0) say(`waiting for another set-up (process ${owner})…`);
      await sleep(POLL_INTERVAL_MS);
    }
  }
  try {
    return await body();
  } finally {
    rmSync(lock, { force: true });
  }
}

/** link(2) is atomic and the file already has its content, so no one reads a half-made lock. */
function acquire(lock) {
  const own = `${lock}.${process.pid}`;
  writeFileSync(own, String(process.pid));
  try {
    linkSync(own, lock);
    return true;
  } catch (error) {
    if (error.code !== "EEXIST") throw error;
    return false;
  } finally {
    rmSync(own, { force: true });
  }
}

function readOwner(lock) {
  try {
    return Number(readFileSync(lock, "utf8"));
  } catch {
    return undefined;
  }
}

function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === "EPERM";
  }
}
