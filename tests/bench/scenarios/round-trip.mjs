// One event at a time, from a client that is alone in a room, to its ack.

import { crowds } from "../crowd.mjs";
import { cpuSeconds, quantile } from "../measure.mjs";
import { interleave } from "../rounds.mjs";

/** The first may have to wake the object. */
const WAKING = 5;

const KINDS = [
  // Where nothing is stored, any event is ephemeral; where everything is, none is.
  {
    key: "ephemeral",
    name: "ephemeral event (`typing`)",
    against: "raw-js",
    has: ({ id }) => !id.startsWith("raw-js-"),
    trip: (crowd) => crowd.echo(),
  },
  {
    key: "stored",
    name: "stored event",
    against: "raw-js-insert",
    has: ({ gives }) => gives.includes("log"),
    trip: (crowd) => crowd.publish((sent) => sent < 1, 1),
  },
];

export const roundTrip = {
  id: "round-trip",
  title: "Round trip in an idle room, from an event to its ack: p50 / p99, the server's CPU for each",
  columns: KINDS.flatMap(({ key, name, against }) => [
    { key, name, unit: "ms", tail: `${key}99`, against },
    { key: `${key}Cpu`, name: "CPU", unit: "µs", against },
  ]),
  contenders: ["raw-js", "raw-js-insert", "raw-js-turns", "partyserver", "node", "socketioxide", "ours-plain", "ours-home", "ours-lobby"],
  sockets: (contenders) => contenders,
  full: { rounds: 10, trips: 150, seconds: 60 },
  quick: { rounds: 3, trips: 60, seconds: 10 },
  async run({ contenders, start, rounds, trips, scale, say }) {
    const runners = await crowds({ contenders, start, size: 1, say });
    return interleave({
      runners,
      rounds,
      say,
      async body({ contender, server, crowd }) {
        const figures = {};
        for (const { key, trip } of KINDS.filter(({ has }) => has(contender))) {
          for (let n = 0; n < WAKING; n++) await trip(crowd);
          const times = [];
          const before = cpuSeconds(server.pid);
          for (let n = 0; n < trips * scale; n++) {
            const start = performance.now();
            await trip(crowd);
            times.push(performance.now() - start);
          }
          figures[`${key}Cpu`] = ((cpuSeconds(server.pid) - before) * 1e6) / times.length;
          figures[key] = quantile(times, 0.5);
          figures[`${key}99`] = quantile(times, 0.99);
        }
        return figures;
      },
    });
  },
};
