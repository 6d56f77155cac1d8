// How many events one room takes and acknowledges in a second: one sender, one listener.

import { crowds } from "../crowd.mjs";
import { cpuSeconds } from "../measure.mjs";
import { interleave } from "../rounds.mjs";

const IN_FLIGHT = 64;

export const publish = {
  id: "publish",
  title: `Events that one room takes and acknowledges in a second, ${IN_FLIGHT} in flight, one listener; the server's CPU for each`,
  columns: [
    { key: "rate", name: "events", unit: "/s", against: "raw-js-insert" },
    { key: "cpu", name: "CPU", unit: "µs", against: "raw-js-insert" },
  ],
  contenders: ["raw-js", "raw-js-insert", "raw-js-turns", "node", "socketioxide", "ours-plain", "ours-batch", "ours-home", "ours-lobby"],
  sockets: (contenders) => contenders * 2,
  full: { rounds: 5, ms: 1000, seconds: 70 },
  quick: { rounds: 2, ms: 300, seconds: 13 },
  async run({ contenders, start, rounds, ms, scale, say }) {
    const runners = await crowds({ contenders, start, size: 2, say });
    return interleave({
      runners,
      rounds,
      say,
      async body({ server, crowd }) {
        await crowd.publish((sent) => sent < 2, 1); // awake
        const [start, before] = [performance.now(), cpuSeconds(server.pid)];
        const sent = await crowd.publish(() => performance.now() - start < ms * scale, IN_FLIGHT);
        const cpu = cpuSeconds(server.pid) - before;
        return { rate: (sent * 1000) / (performance.now() - start), cpu: (cpu * 1e6) / sent };
      },
    });
  },
};
