// Watches over one workerd for serve.mjs: when that process is gone (its end of our stdin closes, whatever killed it),
// kills workerd, which would hold the port, and removes its directory.
//
//   node guard.mjs PID DIRECTORY

import { rmSync } from "node:fs";

const [pid, dir] = process.argv.slice(2);

// A signal to the whole process group must not end the guard before workerd.
for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"]) process.on(signal, () => {});

process.stdin.resume().on("close", () => {
  try {
    process.kill(Number(pid), "SIGKILL");
  } catch {
    // It is gone already.
  }
  rmSync(dir, { recursive: true, force: true });
});
