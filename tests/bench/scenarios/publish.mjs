// How many acknowledged events one room takes in a second: one sender with 64 in flight, one listener.

import { Crowd } from "../crowd.mjs";
import { cpuSeconds } from "../measure.mjs";
import { interleave } from "../rounds.mjs";

export const publish = {
  id: "publish",
  title: "Publishing into one room, 64 in flight, one listener",
  unit: "acknowledged events per second; µs of the server's CPU for each",
  columns: [
    { key: "rate", name: "events per second" },
    { key: "cpu", name: "µs of CPU per event" },
  ],
  contenders: ["raw-js", "raw-js-insert", "raw-js-turns", "node", "socketioxide", "ours-plain", "ours-batch", "ours-home", "ours-lobby"],
  async run({ contenders, start, rounds, seconds, say }) {
    const runners = [];
    for (const contender of contenders) {
      const server = await start(contender);
      runners.push({ server, crowd: await Crowd.join(contender, server, { size: 2 }) });
    }
    return interleave({
      runners,
      rounds,
      say,
      async body({ server, crowd }) {
        await crowd.publish((sent) => sent < 2, 1);
        const [start, before] = [performance.now(), cpuSeconds(server.pid)];
        const until = start + seconds * 1000;
        const sent = await crowd.publish(() => performance.now() < until, 64);
        const cpu = cpuSeconds(server.pid) - before;
        return { rate: (sent * 1000) / (performance.now() - start), cpu: (cpu * 1e6) / sent };
      },
    }).finally(() => runners.forEach(({ crowd }) => crowd.close()));
  },
};
