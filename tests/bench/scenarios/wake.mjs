// A room that sleeps with its sockets open is woken by one event: how long until the last has heard it.

import { setTimeout as sleep } from "node:timers/promises";
import { crowds } from "../crowd.mjs";
import { interleave } from "../rounds.mjs";

/** workerd evicts an object that has been idle for 10 s. */
const FALL_ASLEEP_MS = 13_000;
/** An alarm may have woken it in between, such as the one after which a session must be connected. */
const TRIES = 4;
/** The heartbeat would wake the Socket.IO ones in between, and all wait for one another. */
const VARS = { PING_INTERVAL_MS: 1_800_000 };

export const wake = {
  id: "wake",
  title: "From one event that wakes a sleeping room to the last delivery",
  columns: [{ key: "ms", name: "time", unit: "ms", against: "raw-js" }],
  contenders: ["raw-js", "partyserver", "ours-plain", "ours-home"],
  sockets: (contenders, { size, together }) => Math.min(contenders, together) * size,
  full: { rounds: 3, size: 5000, together: 3, seconds: 170 },
  quick: { rounds: 1, size: 500, together: 4, seconds: 22, smaller: "500 sockets, not 5,000" },
  async run({ contenders, start, rounds, size, together, say }) {
    const results = [];
    // No more at once than the open files of one process allow.
    for (let from = 0; from < contenders.length; from += together) {
      const asked = contenders.slice(from, from + together);
      const runners = await crowds({ contenders: asked, start: (contender) => start(contender, VARS), size, say });
      let slept = -1;
      const group = await interleave({
        runners,
        rounds,
        say,
        warmsUp: false,
        async body({ contender, server, crowd }, round) {
          for (let tries = 0; tries < TRIES; tries++) {
            // They fall asleep together.
            if (slept !== round || tries > 0) await sleep(FALL_ASLEEP_MS);
            slept = round;
            const made = await contender.timesMade(server);
            const start = performance.now();
            await crowd.publish((sent) => sent < 1, 1);
            const ms = performance.now() - start;
            if ((await contender.timesMade(server)) === made + 1) return { ms };
            say(`${contender.id} was not asleep, once more`);
          }
          throw new Error(`${contender.id} does not sleep`);
        },
      });
      results.push(...group);
      for (const { server, crowd } of runners) {
        crowd.close();
        await server.stop();
      }
    }
    return results;
  },
};
