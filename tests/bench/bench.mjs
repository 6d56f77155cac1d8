// `npm run bench`: CPU of the server process per delivery, all contenders in one run, rounds interleaved, on bare workerd.
//
//   npm run bench [-- --quick] [--json FILE]
//
// One process owns all the clocks; the CPU is the operating system's count for the server's process (Linux).

import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { parseArgs } from "node:util";
import WebSocket from "ws";
import { main } from "../tools/tools.mjs";
import { contenders } from "./contenders.mjs";

const SOCKETS = 100;
const EVENT = { event: "note", data: { text: "x".repeat(60) } };
const TICKS_PER_SECOND = Number(execFileSync("getconf", ["CLK_TCK"], { encoding: "utf8" }));

/** CPU seconds that a process has used, user and system. */
function cpuSeconds(pid) {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").replace(/^.*\) /, "").split(" ");
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}

/** A room full of sockets; `publish(n)` sends n events, `inFlight` at a time, and resolves when all have heard all. */
async function fill(contender) {
  const sockets = await Promise.all(
    Array.from({ length: SOCKETS }, async (_, n) => {
      const socket = new WebSocket(contender.url(n));
      await once(socket, "open");
      return socket;
    }),
  );
  await new Promise((resolve) => setTimeout(resolve, 500));
  let count = 0;
  let acked = 0;
  let check = () => {};
  sockets.forEach((socket, n) =>
    socket.on("message", (data) => {
      if (n === 0 && data.includes('"ack"')) acked++;
      else if (data.includes('"note"')) count++;
      else return;
      check();
    }),
  );
  let id = 0;
  const publish = (events, inFlight) =>
    new Promise((resolve) => {
      let sent = 0;
      count = acked = 0;
      check = () => {
        const heard = Math.min(acked, Math.floor(count / (SOCKETS - 1)));
        while (sent < events && sent - heard < inFlight) {
          sent++;
          sockets[0].send(JSON.stringify({ ...EVENT, id: `b${++id}` }));
        }
        if (heard === events) resolve();
      };
      check();
    });
  return { publish, close: () => sockets.forEach((socket) => socket.terminate()) };
}

const median = (numbers) => numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)];

main(import.meta.url, async (args) => {
  const { values } = parseArgs({ args, options: { quick: { type: "boolean" }, json: { type: "string" } } });
  const rounds = values.quick ? 3 : 5;
  const scenarios = [
    { name: "one at a time", inFlight: 1, events: values.quick ? 200 : 500 },
    { name: "64 in flight", inFlight: 64, events: values.quick ? 500 : 1500 },
  ];
  const running = [];
  for (const [index, { name, start }] of contenders.entries()) {
    const contender = await start(8600 + index);
    running.push({ name, contender, room: await fill(contender), samples: scenarios.map(() => []) });
    console.error(`bench: ${name} is up with ${SOCKETS} sockets`);
  }
  for (let round = 0; round <= rounds; round++) {
    for (const [index, { inFlight, events }] of scenarios.entries()) {
      for (const { contender, room, samples } of running) {
        const before = cpuSeconds(contender.pid);
        await room.publish(events, inFlight);
        const perDelivery = ((cpuSeconds(contender.pid) - before) * 1e6) / (events * SOCKETS);
        // The first round warms up the JIT.
        if (round > 0) samples[index].push(perDelivery);
      }
    }
    console.error(round ? `bench: round ${round} of ${rounds}` : "bench: warm");
  }
  const rows = running.map(({ name, samples }) => ({ name, microseconds: samples.map(median) }));
  const base = rows[0].microseconds;
  console.log(`CPU of the server process per delivery, ${SOCKETS} sockets, medians of ${rounds} interleaved rounds, ${cpus().length} × ${cpus()[0].model}\n`);
  console.log(`| | ${scenarios.map((s) => s.name).join(" | ")} |\n|---|${scenarios.map(() => "---|").join("")}`);
  for (const { name, microseconds } of rows) {
    const cells = microseconds.map((us, n) => `${us.toFixed(1)} µs (${(us / base[n]).toFixed(2)} ×)`);
    console.log(`| ${name} | ${cells.join(" | ")} |`);
  }
  if (values.json) writeFileSync(values.json, JSON.stringify({ date: new Date().toISOString(), scenarios, rows }, null, 1));
  for (const { contender, room } of running) {
    room.close();
    await contender.stop();
  }
});
