// Watches over one workerd for serve.mjs: when that process is gone (its end of our stdin closes, whatever killed it),
// kills workerd, which would hold the port, and removes its directory. Over `wrangler dev` for start.mjs likewise: that one
// is told to end, so that it ends its own processes.
//
//   node guard.mjs PID SIGNAL [DIRECTORY]

import { rmSync } from "node:fs";

const [pid, signal, dir] = process.argv.slice(2);

// A signal to the whole process group must not end the guard before workerd.
for (const ignored of ["SIGTERM", "SIGINT", "SIGHUP"]) process.on(ignored, () => {});

process.stdin.resume().on("close", () => {
  try {
    process.kill(Number(pid), signal);
  } catch {
    // It is gone already.
  }
  if (dir) rmSync(dir, { recursive: true, force: true });
});
