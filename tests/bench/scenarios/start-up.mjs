// From starting the process to its first answer, and to its first client in a room.

import { gzipSync } from "node:zlib";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "../../tools/tools.mjs";
import { Crowd } from "../crowd.mjs";
import { interleave } from "../rounds.mjs";

export const startUp = {
  id: "start-up",
  title: "Start-up: from starting the process to its first answer over HTTP, and to its first client in a room; the Worker's size, gzip",
  columns: [
    { key: "answer", name: "first answer", unit: "ms", against: "raw-js" },
    { key: "client", name: "first client", unit: "ms", against: "raw-js" },
    { key: "kilobytes", name: "size", unit: "KB" },
  ],
  contenders: ["raw-js", "partyserver", "node", "socketioxide", "ours-plain", "ours-lobby"],
  sockets: (contenders) => contenders,
  full: { rounds: 5, seconds: 25 },
  quick: { rounds: 2, seconds: 10 },
  async run({ contenders, start, rounds, say }) {
    const gzipped = (name) => gzipSync(readFileSync(join(ROOT, "build", name)), { level: 9 }).length;
    const ours = (gzipped("index.js") + gzipped("index_bg.wasm")) / 1000;
    return interleave({
      runners: contenders.map((contender) => ({ contender })),
      rounds,
      say,
      async body({ contender }) {
        const server = await start(contender);
        if (!server) return undefined;
        const crowd = await Crowd.join(contender, server, { size: 1 });
        const client = performance.now() - server.started;
        crowd.close();
        await server.stop();
        return { answer: server.startMs, client, ...(contender.id.startsWith("ours") ? { kilobytes: ours } : {}) };
      },
    });
  },
};
