// One event at a time in an idle room, from sending it to its ack.

import { Crowd } from "../crowd.mjs";
import { quantile } from "../measure.mjs";
import { interleave } from "../rounds.mjs";

export const roundTrip = {
  id: "round-trip",
  title: "Round trip in an idle room",
  unit: "ms, p50 / p99",
  columns: [
    { key: "ephemeral", name: "ephemeral event, acked", parts: ["ephemeral50", "ephemeral99"] },
    { key: "durable", name: "stored event, acked", parts: ["durable50", "durable99"] },
  ],
  contenders: ["raw-js", "raw-js-insert", "raw-js-turns", "partyserver", "node", "socketioxide", "ours-plain", "ours-home", "ours-lobby"],
  async run({ contenders, start, rounds, trips, say }) {
    const runners = [];
    for (const contender of contenders) {
      const server = await start(contender);
      runners.push({ crowd: await Crowd.join(contender, server, { size: 1 }) });
    }
    return interleave({
      runners,
      rounds,
      say,
      async body({ crowd }) {
        const figure = {};
        for (const [key, trip] of [
          ["ephemeral", () => crowd.echo()],
          ["durable", () => crowd.publish((sent) => sent < 1, 1)],
        ]) {
          const times = [];
          for (let n = 0; n < trips + 5; n++) {
            const start = performance.now();
            await trip();
            // The first may have to wake it.
            if (n >= 5) times.push(performance.now() - start);
          }
          figure[`${key}50`] = quantile(times, 0.5);
          figure[`${key}99`] = quantile(times, 0.99);
        }
        return figure;
      },
    }).finally(() => runners.forEach(({ crowd }) => crowd.close()));
  },
};
