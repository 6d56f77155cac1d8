// Round trips of one event at a time in an idle room, all contenders in one run, rounds interleaved.
//
//   node tests/bench/roundtrip.mjs [--quick] [--json FILE]
//
// Stock socket.io-client over WebSocket (raw JS: `ws`), on this machine, all clocks in this process. The server is a
// process of its own, the clients are not: what they cost is in every number.

import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { parseArgs } from "node:util";
import { io } from "socket.io-client";
import WebSocket from "ws";
import { main } from "../tools/tools.mjs";
import { dialtone, nodeSocketIo, rawJs, token } from "./contenders.mjs";

const ROOM = "bench:1";
const DATA = { text: "x".repeat(60) };

const SCENARIOS = [
  { name: "echo, acked", run: ({ echo }) => echo() },
  { name: "send, acked", run: ({ send }) => send() },
  { name: "A → B", run: ({ deliver }) => deliver() },
];

const CONTENDERS = [
  { name: "Node socket.io 4.8 (no log)", start: async (port) => stock(await nodeSocketIo(port), port) },
  { name: "raw JS object, plain WebSocket, one insert a message", start: async (port) => plain(await rawJs(port, "1")) },
  { name: "Dialtone, plain WebSocket (logged)", start: async (port) => plain(await dialtone(port)) },
  { name: "Dialtone, Socket.IO with a home (logged)", start: async (port) => stock(await dialtone(port), port, { query: { room: ROOM } }) },
  { name: "Dialtone, Socket.IO through a lobby (logged)", start: async (port) => stock(await dialtone(port), port) },
];

/** Two stock clients, A and B, in the room. */
async function stock({ stop }, port, options) {
  const connect = async (sub) => {
    const socket = io(`http://127.0.0.1:${port}`, { transports: ["websocket"], forceNew: true, auth: { token: token(sub) }, ...options });
    await new Promise((resolve, reject) => socket.on("connect", resolve).on("connect_error", reject));
    const answer = await socket.emitWithAck("join", ROOM);
    if (!answer.ok) throw new Error(`join: ${JSON.stringify(answer)}`);
    return socket;
  };
  const [a, b] = [await connect("a"), await connect("b")];
  const acked = async (event, data) => {
    const answer = await a.emitWithAck(event, data);
    if (!answer.ok) throw new Error(`${event}: ${JSON.stringify(answer)}`);
  };
  const send = () => acked("send", { room: ROOM, event: "note", data: DATA });
  const deliver = async (both) => {
    const heard = new Promise((resolve) => b.once("note", resolve));
    const sent = send();
    await heard;
    both(performance.now());
    await sent; // the next begins in an idle room
  };
  const close = () => [a, b].forEach((socket) => socket.disconnect());
  return { echo: () => acked("test", DATA), send, deliver, stop: () => (close(), stop()) };
}

/** The same with bare WebSockets; an event and its ack are the echo. */
async function plain({ url, stop }) {
  const sockets = [];
  for (const n of [0, 1]) {
    const socket = new WebSocket(url(n));
    await once(socket, "open");
    sockets.push(socket);
  }
  const [a, b] = sockets;
  const next = (socket, word) =>
    new Promise((resolve) => {
      const hear = (data) => data.includes(word) && (socket.off("message", hear), resolve());
      socket.on("message", hear);
    });
  let id = 0;
  const post = () => a.send(JSON.stringify({ event: "note", data: DATA, id: `r${++id}` }));
  const send = () => (post(), next(a, '"ack"'));
  const deliver = async (both) => {
    const [heard, sent] = [next(b, '"note"'), next(a, '"ack"')];
    post();
    await heard;
    both(performance.now());
    await sent;
  };
  return { echo: undefined, send, deliver, stop: () => (sockets.forEach((socket) => socket.terminate()), stop()) };
}

/** Milliseconds of `trips` round trips, one after the other. */
async function measure(scenario, contender, trips) {
  const times = [];
  for (let n = 0; n < trips; n++) {
    const start = performance.now();
    let end;
    await scenario.run({ ...contender, deliver: () => contender.deliver((at) => (end = at)) });
    times.push((end ?? performance.now()) - start);
  }
  return times;
}

const quantile = (sorted, q) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))];

main(import.meta.url, async (args) => {
  const { values } = parseArgs({ args, options: { quick: { type: "boolean" }, json: { type: "string" } } });
  const [rounds, trips] = values.quick ? [3, 100] : [10, 200];
  const running = [];
  for (const [index, { name, start }] of CONTENDERS.entries()) {
    running.push({ name, contender: await start(8650 + index), samples: SCENARIOS.map(() => []) });
    console.error(`roundtrip: ${name} is up`);
  }
  for (let round = 0; round <= rounds; round++) {
    for (const [index, scenario] of SCENARIOS.entries()) {
      for (const { contender, samples } of running) {
        if (index === 0 && !contender.echo) continue;
        const times = await measure(scenario, contender, trips);
        // The first round warms up the JIT.
        if (round > 0) samples[index].push(...times);
      }
    }
    console.error(round ? `roundtrip: round ${round} of ${rounds}` : "roundtrip: warm");
  }
  const rows = running.map(({ name, samples }) => ({
    name,
    scenarios: samples.map((times) => {
      if (times.length === 0) return undefined;
      const sorted = times.toSorted((a, b) => a - b);
      return { p50: quantile(sorted, 0.5), p99: quantile(sorted, 0.99) };
    }),
  }));
  const base = rows[0].scenarios;
  console.log(`Round trip in ms, p50 / p99 (p50 against Node's), ${rounds} interleaved rounds of ${trips}, ${cpus().length} × ${cpus()[0].model}\n`);
  console.log(`| | ${SCENARIOS.map(({ name }) => name).join(" | ")} |\n|---|${SCENARIOS.map(() => "---|").join("")}`);
  for (const { name, scenarios } of rows) {
    const cells = scenarios.map((times, n) => (times ? `${times.p50.toFixed(2)} / ${times.p99.toFixed(2)} (${(times.p50 / base[n].p50).toFixed(2)} ×)` : "–"));
    console.log(`| ${name} | ${cells.join(" | ")} |`);
  }
  if (values.json) writeFileSync(values.json, JSON.stringify({ date: new Date().toISOString(), rounds, trips, rows }, null, 1));
  for (const { contender } of running) await contender.stop();
});
