// Stock clients that do nothing: what their heartbeats cost.

import { fork } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { node22, ROOT } from "../../tools/tools.mjs";
import { metrics, token } from "../contenders.mjs";
import { cpuSeconds } from "../measure.mjs";

const CLIENTS = 2000;
/** Socket.IO's default, and ours. */
const PING_INTERVAL_MS = 25_000;
/** What joining leaves to do, presence's grace and leases, is over; and so is the first beat, which finds out that it is. */
const SETTLE_MS = 15_000 + PING_INTERVAL_MS;

/** A process with the clients and nothing else; resolves when all are connected. */
async function connect({ port }, contender) {
  const child = fork(join(ROOT, "tests/bench/stock-clients.mjs"), { execPath: node22() });
  const tokens = Array.from({ length: CLIENTS }, (_, n) => (contender.token ? token(`u${n}`) : undefined));
  child.send({ url: `http://127.0.0.1:${port}`, tokens });
  const [said] = await Promise.race([once(child, "message"), once(child, "exit")]);
  if (said !== "connected") throw new Error(`${contender.id}: the stock clients did not connect: ${said}`);
  return child;
}

export const idle = {
  id: "idle",
  title: `${CLIENTS.toLocaleString("en")} idle stock clients for a minute at a ping interval of ${PING_INTERVAL_MS / 1000} s: the server's CPU; how often our code ran`,
  columns: [
    { key: "cpu", name: "CPU", unit: "ms", against: "node" },
    { key: "alarms", name: "alarms a ping interval" },
    { key: "others", name: "all else a ping interval" },
  ],
  contenders: ["raw-js-heartbeat", "node", "socketioxide", "ours-lobby"],
  sockets: (contenders) => contenders * CLIENTS,
  full: { rounds: 1, intervals: 3, seconds: 155 },
  quick: "a ping interval alone takes 25 s",
  async run({ contenders, start, intervals, say }) {
    const runners = [];
    for (const contender of contenders) {
      say(`${contender.id} gets ${CLIENTS} stock clients`);
      const server = await start(contender);
      if (server) runners.push({ contender, server, child: await connect(server, contender) });
    }
    await sleep(SETTLE_MS);
    say(`${intervals} ping intervals, ${(intervals * PING_INTERVAL_MS) / 1000} s`);
    const wakes = async ({ contender, server }) => (contender.id.startsWith("ours") ? metrics(server) : undefined);
    const counted = await Promise.all(runners.map(wakes));
    const used = runners.map(({ server }) => cpuSeconds(server.pid));
    await sleep(intervals * PING_INTERVAL_MS);
    const cpu = runners.map(({ server }, n) => cpuSeconds(server.pid) - used[n]);
    const now = await Promise.all(runners.map(wakes));
    for (const { child } of runners) {
      const connected = once(child, "message");
      child.send("count");
      const [count] = await connected;
      if (count !== CLIENTS) throw new Error(`${CLIENTS - count} of the stock clients have lost their connection`);
      child.kill("SIGKILL");
    }
    return runners.map(({ contender }, n) => {
      const figures = { cpu: (cpu[n] * 1000 * 60_000) / (intervals * PING_INTERVAL_MS) };
      if (now[n]) {
        const causes = Object.keys(now[n]).filter((name) => name.startsWith("wakes."));
        const times = Object.fromEntries(causes.map((name) => [name.slice("wakes.".length), now[n][name] - counted[n][name]]));
        // A constructor runs where the alarm finds the object asleep: that is one and the same waking.
        const { alarm, constructor: _, ...others } = times;
        figures.alarms = alarm / intervals;
        figures.others = Object.values(others).reduce((sum, count) => sum + count, 0) / intervals;
        say(`our code ran: ${JSON.stringify(times)}`);
      }
      return { contender, rounds: [figures] };
    });
  },
};
