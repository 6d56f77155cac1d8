// One sender, everyone else in the room hears: the server's CPU for each delivery.

import { Crowd } from "../crowd.mjs";
import { cpuSeconds } from "../measure.mjs";
import { interleave } from "../rounds.mjs";

const LOADS = [
  { key: "one", name: "one at a time", inFlight: 1 },
  { key: "saturated", name: "64 in flight", inFlight: 64 },
];

const fanOut = (size) => ({
  id: `fan-out-${size}`,
  title: `Fan-out, ${size.toLocaleString("en")} sockets`,
  unit: "µs of CPU per delivery",
  columns: LOADS.map(({ key, name }) => ({ key, name })),
  contenders: ["raw-js", "raw-js-insert", "raw-js-turns", "partyserver", "node", "node-recovery", "socketioxide", "ours-plain", "ours-batch", "ours-home", "ours-lobby"],
  async run({ contenders, start, rounds, deliveries, say }) {
    const runners = [];
    for (const contender of contenders) {
      const server = await start(contender);
      runners.push({ server, crowd: await Crowd.join(contender, server, { size }) });
      say(`${contender.id} is up with ${size} sockets`);
    }
    return interleave({
      runners,
      rounds,
      say,
      async body({ server, crowd }) {
        const figure = {};
        for (const { key, inFlight } of LOADS) {
          // It may have gone to sleep while the others had their turns.
          await crowd.publish((sent) => sent < 2, 1);
          const events = Math.ceil(deliveries[key] / size);
          const before = cpuSeconds(server.pid);
          await crowd.publish((sent) => sent < events, inFlight);
          figure[key] = ((cpuSeconds(server.pid) - before) * 1e6) / (events * (size - 1));
        }
        return figure;
      },
    }).finally(() => runners.forEach(({ crowd }) => crowd.close()));
  },
});

export const fanOuts = [fanOut(100), fanOut(1000)];
