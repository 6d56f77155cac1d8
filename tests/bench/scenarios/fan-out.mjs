// One sender, everyone else in the room hears: the server's CPU for each delivery.

import { crowds } from "../crowd.mjs";
import { cpuSeconds } from "../measure.mjs";
import { interleave } from "../rounds.mjs";

export const LOADS = [
  { key: "one", name: "one event at a time", inFlight: 1 },
  { key: "saturated", name: "64 in flight", inFlight: 64 },
];

/** The CPU of `server` in microseconds for each delivery of `events` to all of the crowd of `size` but the sender. */
export async function cpuPerDelivery({ server, crowd, size, events, inFlight }) {
  // It may have gone to sleep while the others had their turns.
  await crowd.publish((sent) => sent < 2, 1);
  const before = cpuSeconds(server.pid);
  await crowd.publish((sent) => sent < events, inFlight);
  return ((cpuSeconds(server.pid) - before) * 1e6) / (events * (size - 1));
}

const fanOut = (size, settings) => ({
  id: `fan-out-${size}`,
  title: `Fan-out, ${size.toLocaleString("en")} sockets: the server's CPU for each delivery`,
  columns: LOADS.map(({ key, name }) => ({ key, name, unit: "µs", against: "raw-js" })),
  contenders: ["raw-js", "raw-js-insert", "raw-js-turns", "partyserver", "node", "node-recovery", "socketioxide", "ours-plain", "ours-batch", "ours-home", "ours-lobby"],
  sockets: (contenders) => contenders * size,
  ...settings,
  async run({ contenders, start, rounds, deliveries, scale, say }) {
    const runners = await crowds({ contenders, start, size, say });
    return interleave({
      runners,
      rounds,
      say,
      async body({ server, crowd }) {
        const figures = {};
        for (const { key, inFlight } of LOADS) {
          const events = Math.ceil((deliveries[key] * scale) / size);
          figures[key] = await cpuPerDelivery({ server, crowd, size, events, inFlight });
        }
        return figures;
      },
    });
  },
});

export const fanOuts = [
  fanOut(100, {
    full: { rounds: 5, deliveries: { one: 30_000, saturated: 90_000 }, seconds: 200 },
    quick: { rounds: 2, deliveries: { one: 10_000, saturated: 30_000 }, seconds: 45 },
  }),
  fanOut(1000, { full: { rounds: 5, deliveries: { one: 30_000, saturated: 90_000 }, seconds: 260 }, quick: "it takes minutes" }),
];
