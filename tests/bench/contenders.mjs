// Who is measured: how each starts, how a client speaks to it, and what it gives.

import { createHmac } from "node:crypto";
import { join } from "node:path";
import { ROOT } from "../tools/tools.mjs";
import { plain, socketIo } from "./dialects.mjs";
import { bundled, cargoBuilt, launchNative, launchNode, launchOurs, launchWorker } from "./launch.mjs";

const SECRET = "a secret of the benchmark, of more than 32 bytes";
/** The limit on events is for people, not for a load. All else is as it is by default. */
const VARS = { JWT_SECRET: SECRET, RATE_EVENTS_PER_SECOND: 1_000_000, RATE_BURST: 1_000_000 };

/** `make`, once for all scenarios. */
const once = (make) => {
  let made;
  return () => (made ??= make());
};
const partyserver = once(() => bundled(source("partyserver.mjs")));
const socketioxide = once(() => cargoBuilt(source("socketioxide"), "bench-socketioxide"));

const source = (name) => join(ROOT, "tests/bench/contenders", name);

/** A token for every room of the benchmark. */
export function token(sub, claims = {}) {
  const part = (json) => Buffer.from(JSON.stringify(json)).toString("base64url");
  const signed = `${part({ alg: "HS256" })}.${part({ sub, rooms: ["bench:*"], exp: Math.floor(Date.now() / 1000) + 3600, ...claims })}`;
  return `${signed}.${createHmac("sha256", SECRET).update(signed).digest("base64url")}`;
}

/** A hundred people, with as many connections each as it takes. */
const person = (n) => token(`u${n % 100}`);

/** The counters of `GET /metrics`, by name and label; reading them wakes no room. */
export async function metrics({ port }) {
  const response = await fetch(`http://127.0.0.1:${port}/metrics`, { headers: { authorization: `Bearer ${token("bench", { role: "service" })}` } });
  if (!response.ok) throw new Error(`/metrics answers ${response.status}`);
  const samples = (await response.text()).matchAll(/^dialtone_(\w+?)(?:_total)?(?:\{\w+="(\w+)"\})? (\d+)$/gm);
  return Object.fromEntries([...samples].map(([, name, label, value]) => [label ? `${name}.${label}` : name, Number(value)]));
}

const raw = {
  dialect: plain({ greets: false }),
  path: (room) => `/rooms/${room}`,
  timesMade: async ({ port }) => Number(await (await fetch(`http://127.0.0.1:${port}/`)).text()),
};
const SOCKET_IO = "/socket.io/?EIO=4&transport=websocket";
const stock = { dialect: socketIo({ recovers: false }), path: () => SOCKET_IO };
const ours = {
  gives: "log, order, dedupe by id, ack after the commit, recovery; hibernates",
  timesMade: async (server) => (await metrics(server))["wakes.constructor"],
};
const launchWith = (vars) => (more) => launchOurs({ ...VARS, ...vars, ...more });
const oursPlain = { ...ours, dialect: plain({ greets: true }), launch: launchWith({}) };
const oursSocketIo = (lobbies, room) => ({
  ...ours,
  dialect: socketIo({ recovers: true }),
  path: (name) => (room ? `${SOCKET_IO}&room=${name}` : SOCKET_IO),
  token: person,
  launch: launchWith({ LOBBIES: lobbies }),
});

/**
 * `launch(vars)` starts it. `path(room, n)` is where socket `n` of a room connects; `token(n)` goes into Socket.IO's CONNECT.
 * `gives` are its guarantees. `timesMade(server)` is how often its object was made, where it may sleep.
 */
export const CONTENDERS = [
  {
    id: "raw-js",
    name: "raw JS object",
    gives: "hibernates",
    ...raw,
    launch: () => launchWorker(source("raw-js.mjs"), { LOG: "0" }),
  },
  {
    id: "raw-js-insert",
    name: "raw JS object, one insert a message",
    gives: "log, order, ack after the commit; hibernates",
    ...raw,
    launch: () => launchWorker(source("raw-js.mjs"), { LOG: "1" }),
  },
  {
    id: "raw-js-turns",
    name: "raw JS object, one transaction a turn",
    gives: "log, order, ack after the commit; hibernates",
    ...raw,
    launch: () => launchWorker(source("raw-js-turns.mjs")),
  },
  {
    id: "raw-js-heartbeat",
    name: "raw JS object, Engine.IO's heartbeat alone",
    gives: "hibernates",
    ...stock,
    launch: () => launchWorker(source("raw-js-heartbeat.mjs")),
  },
  {
    id: "partyserver",
    name: "partyserver",
    gives: "hibernates",
    ...raw,
    path: (room) => `/parties/rooms/${room}`,
    launch: async () => launchWorker(await partyserver()),
  },
  {
    id: "node",
    name: "Node socket.io",
    gives: "order",
    ...stock,
    launch: () => launchNode(source("socket-io.mjs"), "0"),
  },
  {
    id: "node-recovery",
    name: "Node socket.io with recovery",
    gives: "order, recovery from memory",
    ...stock,
    dialect: socketIo({ recovers: true }),
    launch: () => launchNode(source("socket-io.mjs"), "1"),
  },
  {
    id: "socketioxide",
    name: "socketioxide",
    gives: "order (on one thread)",
    ...stock,
    launch: async () => launchNative(await socketioxide()),
  },
  { id: "ours-plain", name: "Dialtone, plain WebSocket", ...oursPlain, path: (room, n) => `/rooms/${room}?token=${person(n)}` },
  { id: "ours-batch", name: "Dialtone, plain WebSocket, `?batch=1`", ...oursPlain, path: (room, n) => `/rooms/${room}?batch=1&token=${person(n)}` },
  { id: "ours-home", name: "Dialtone, Socket.IO with a home", ...oursSocketIo(1, true) },
  { id: "ours-lobby", name: "Dialtone, Socket.IO through a lobby", ...oursSocketIo(1) },
  { id: "ours-lobbies-2", name: "Dialtone, Socket.IO through 2 lobbies", ...oursSocketIo(2) },
  { id: "ours-lobbies-8", name: "Dialtone, Socket.IO through 8 lobbies", ...oursSocketIo(8) },
];
