// What a connection that does nothing weighs: the process's resident memory with them, less what it had before, by their number.

import { Crowd } from "../crowd.mjs";
import { residentBytes } from "../measure.mjs";
import { interleave } from "../rounds.mjs";
import { setTimeout as sleep } from "node:timers/promises";

const SIZE = 5000;
const SETTLE_MS = 2000;

export const memory = {
  id: "memory",
  title: `Resident memory for each of ${SIZE.toLocaleString("en")} idle connections in one room`,
  columns: [{ key: "kilobytes", name: "memory", unit: "KB", against: "raw-js" }],
  contenders: ["raw-js", "partyserver", "node", "socketioxide", "ours-plain", "ours-home", "ours-lobby"],
  sockets: () => SIZE,
  full: { rounds: 1, seconds: 120 },
  quick: "fewer connections would say something else: what is allocated once would count as theirs",
  async run({ contenders, start, rounds, say }) {
    return interleave({
      runners: contenders.map((contender) => ({ contender })),
      rounds,
      say,
      warmsUp: false,
      async body({ contender }) {
        const server = await start(contender);
        if (!server) return undefined;
        // The room is there and has been spoken in.
        const first = await Crowd.join(contender, server, { size: 2 });
        await first.publish((sent) => sent < 2, 1);
        first.close();
        await sleep(SETTLE_MS);
        const before = residentBytes(server.pid);
        const crowd = await Crowd.join(contender, server, { size: SIZE });
        await sleep(SETTLE_MS);
        const kilobytes = (residentBytes(server.pid) - before) / SIZE / 1000;
        crowd.close();
        await server.stop();
        return { kilobytes };
      },
    });
  },
};
