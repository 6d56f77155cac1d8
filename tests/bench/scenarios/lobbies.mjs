// The same number of sockets on more lobbies: what the hop between objects adds.

import { metrics } from "../contenders.mjs";
import { crowds } from "../crowd.mjs";
import { interleave } from "../rounds.mjs";
import { cpuPerDelivery, LOADS } from "./fan-out.mjs";

const SIZE = 400;

export const lobbies = {
  id: "lobbies",
  title: `Fan-out to ${SIZE} Socket.IO clients on 1, 2 and 8 lobbies: CPU for each delivery, requests between objects for each event`,
  columns: LOADS.flatMap(({ key, name }) => [
    { key, name, unit: "µs", against: "ours-lobby" },
    { key: `${key}Hops`, name: `requests, ${name}` },
  ]),
  contenders: ["ours-home", "ours-lobby", "ours-lobbies-2", "ours-lobbies-8"],
  sockets: (contenders) => contenders * SIZE,
  full: { rounds: 5, deliveries: { one: 30_000, saturated: 90_000 }, seconds: 90 },
  quick: { rounds: 1, deliveries: { one: 10_000, saturated: 30_000 }, seconds: 15 },
  async run({ contenders, start, rounds, deliveries, scale, say }) {
    const runners = await crowds({ contenders, start, size: SIZE, say });
    return interleave({
      runners,
      rounds,
      say,
      async body({ server, crowd }) {
        const figures = {};
        for (const { key, inFlight } of LOADS) {
          const events = Math.ceil((deliveries[key] * scale) / SIZE);
          const { hops } = await metrics(server);
          figures[key] = await cpuPerDelivery({ server, crowd, size: SIZE, events, inFlight });
          // Two more went to wake it.
          figures[`${key}Hops`] = ((await metrics(server)).hops - hops) / (events + 2);
        }
        return figures;
      },
    });
  },
};
