// `npm run soak`: well-behaved clients whose every message is checked, beside hostile ones, for a while. Exit code 1 where a
// message is lost, doubled or out of order, or where the server's memory grows.
//
//   npm run soak -- [--minutes 10] [--clients 50] [--hostile 20] [--tolerance 10]
//
// --hostile: how many of a hundred clients are. --tolerance: how many percent memory may grow in the second half, by a line
// that is fitted to it.

import { parseArgs } from "node:util";
import { freePort, persistDir, serve, sleep, workerdOf } from "../e2e/harness.mjs";
import { quantile, residentBytes } from "../bench/measure.mjs";
import { Complaint, main } from "../tools/tools.mjs";
import { ASSAULTS } from "./hostile.mjs";
import { crowd, Traffic } from "./traffic.mjs";

const MB = 1_000_000;
const PROGRESS_MS = 15_000;
/** However loaded the server is: who is not answered within this never is. */
const ANSWER_MS = 60_000;
const ROOMS = 4;
const LINE = "+15550100077";

/** How much a line that is fitted to `[x, y]` rises from the first x to the last. */
export function rise(points) {
  const mean = (of) => points.reduce((sum, point) => sum + of(point), 0) / points.length;
  const [x, y] = [mean(([x]) => x), mean(([, y]) => y)];
  const slope = points.reduce((sum, [px, py]) => sum + (px - x) * (py - y), 0) / points.reduce((sum, [px]) => sum + (px - x) ** 2, 0);
  return slope * (points.at(-1)[0] - points[0][0]);
}

/** Runs it; `say` gets a line now and then. Gives what came of it. */
export async function soak({ minutes, clients, hostile, everyMs = 250, say = () => {} }) {
  const ends = [];
  const lifetime = { after: (end) => ends.unshift(end) };
  try {
    const vars = { LOBBIES: "2", PING_INTERVAL_MS: "10000", PING_TIMEOUT_MS: "10000", CONNECT_TIMEOUT_MS: "10000", HISTORY_MAX_MESSAGES: "10000000" };
    const server = await serve(lifetime, { persist: persistDir(), port: await freePort(), vars });
    const pid = workerdOf(server);
    const traffic = new Traffic(server, { everyMs });
    lifetime.after(() => traffic.close());
    const bad = Math.round((clients * hostile) / 100);
    await traffic.start(crowd(traffic, { count: clients - bad, rooms: ROOMS, line: LINE }));

    const start = Date.now();
    const until = start + minutes * 60_000;
    const answers = new Map();
    const kinds = Object.keys(ASSAULTS);
    const assaults = Array.from({ length: bad }, async (_, n) => {
      for (let turn = n; Date.now() < until; turn++) {
        const kind = kinds[turn % kinds.length];
        const counts = answers.get(kind) ?? new Map();
        answers.set(kind, counts);
        const note = (what) => counts.set(what, (counts.get(what) ?? 0) + 1);
        const room = `demo:good-${turn % ROOMS}`;
        const assault = ASSAULTS[kind]({ server, room, sub: `bad-${n}`, note, nextKey: () => traffic.nextKey() });
        const late = sleep(ANSWER_MS).then(() => "late");
        if ((await Promise.race([assault, late])) === "late") traffic.wrong.push(`${kind}: was not answered in ${ANSWER_MS / 1000} s`);
        await sleep(50);
      }
    });
    const memory = [];
    const resident = () => memory.push([(Date.now() - start) / 1000, residentBytes(pid) / MB]);
    const sampling = setInterval(resident, Math.min(5_000, minutes * 1_000));
    const telling = setInterval(() => {
      const total = [...answers.values()].flatMap((counts) => [...counts.values()]).reduce((sum, n) => sum + n, 0);
      const [seconds, mb] = memory.at(-1) ?? [0, 0];
      say(`${Math.round(seconds)} s: ${traffic.accepted} accepted, ${traffic.heard} heard, ${total} hostile answers, ${Math.round(mb)} MB, wrong: ${traffic.wrong.length}`);
    }, PROGRESS_MS);
    lifetime.after(() => (clearInterval(sampling), clearInterval(telling)));

    await Promise.all([...assaults, sleep(until - Date.now())]);
    clearInterval(sampling);
    clearInterval(telling);
    await traffic.finish();
    const { messages, wrong } = await traffic.check();
    const half = memory.filter(([seconds]) => seconds > minutes * 30);
    const panic = /panicked|unreachable|RuntimeError/.exec(server.logs.join(""));
    if (panic) wrong.push(`the server's log says ${panic[0]}`);
    return {
      minutes,
      good: clients - bad,
      bad,
      accepted: traffic.accepted,
      messages,
      heard: traffic.heard,
      refusals: Object.fromEntries(traffic.refusals),
      wrong,
      answers: Object.fromEntries([...answers].map(([kind, counts]) => [kind, Object.fromEntries([...counts].sort(([, a], [, b]) => b - a))])),
      p50: quantile(traffic.latencies, 0.5),
      p99: quantile(traffic.latencies, 0.99),
      memory: { first: memory[0][1], mean: half.reduce((sum, [, mb]) => sum + mb, 0) / half.length, last: memory.at(-1)[1], rise: rise(half) },
    };
  } finally {
    for (const end of ends) await end();
  }
}

/** By how many percent memory grew in the second half. */
export const growth = ({ memory: { mean, rise } }) => (rise / mean) * 100;

main(import.meta.url, async (args) => {
  const { values } = parseArgs({
    args,
    options: Object.fromEntries(Object.entries({ minutes: "10", clients: "50", hostile: "20", tolerance: "10" }).map(([name, value]) => [name, { type: "string", default: value }])),
  });
  const [minutes, clients, hostile, tolerance] = ["minutes", "clients", "hostile", "tolerance"].map((name) => {
    if (!(Number(values[name]) >= 0)) throw new Complaint(`--${name} is a number, not ${values[name]}.`);
    return Number(values[name]);
  });
  const result = await soak({ minutes, clients, hostile, say: (line) => console.error(line) });
  const grown = growth(result);
  const round = (n) => Math.round(n * 10) / 10;
  console.log(`${result.good} who behave, ${result.bad} who do not, ${minutes} min`);
  for (const [kind, counts] of Object.entries(result.answers)) console.log(`  ${kind}: ${Object.entries(counts).map(([what, n]) => `${n} × ${what}`).join(", ")}`);
  console.log(`accepted ${result.accepted}, in the histories ${result.messages}, heard ${result.heard}; refused meanwhile ${JSON.stringify(result.refusals)}`);
  console.log(`ack: p50 ${round(result.p50)} ms, p99 ${round(result.p99)} ms`);
  console.log(`memory: ${round(result.memory.first)} MB at first, ${round(result.memory.mean)} MB in the second half, ${round(result.memory.last)} MB at last; there it grew by ${round(grown)} % (${tolerance} % may be)`);
  console.log(`lost, twice or out of order: ${result.wrong.length}`);
  for (const what of result.wrong.slice(0, 20)) console.log(`  ${what}`);
  process.exitCode = result.wrong.length > 0 || grown > tolerance ? 1 : 0;
});
