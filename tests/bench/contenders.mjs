// Who is measured: how each starts, how a client speaks to it, and what it gives.

import { createHmac } from "node:crypto";
import { join } from "node:path";
import { ROOT } from "../tools/tools.mjs";
import { plain, socketIo } from "./dialects.mjs";
import { launchNode, launchOurs, launchWorker } from "./launch.mjs";

const SECRET = "a secret of the benchmark, of more than 32 bytes";
/** The limit on events is for people, not for a load. All else is as it is by default. */
const VARS = { JWT_SECRET: SECRET, RATE_EVENTS_PER_SECOND: 1_000_000, RATE_BURST: 1_000_000 };

const source = (name) => join(ROOT, "tests/bench/contenders", name);

/** A token for every room of the benchmark. */
export function token(sub, claims = {}) {
  const part = (json) => Buffer.from(JSON.stringify(json)).toString("base64url");
  const signed = `${part({ alg: "HS256" })}.${part({ sub, rooms: ["bench:*"], exp: Math.floor(Date.now() / 1000) + 3600, ...claims })}`;
  return `${signed}.${createHmac("sha256", SECRET).update(signed).digest("base64url")}`;
}

const own = (n) => token(`u${n}`);

const raw = { dialect: plain({ greets: false }), path: (room) => `/rooms/${room}` };
const stock = { dialect: socketIo({ recovers: false }), path: () => "/socket.io/?EIO=4&transport=websocket", isSocketIo: true };
const ours = { isOurs: true, gives: "all", launch: (vars) => launchOurs({ ...VARS, ...vars }) };
const oursPlain = { ...ours, dialect: plain({ greets: true }) };
const oursSocketIo = { ...ours, dialect: socketIo({ recovers: true }), token: own, isSocketIo: true };

/**
 * `launch(vars)` starts it. `path(room, n)` is where socket `n` of a room connects. `gives` are its guarantees.
 */
export const CONTENDERS = [
  { id: "raw-js", name: "raw JS object", gives: "hibernates", ...raw, launch: () => launchWorker(source("raw-js.mjs"), { LOG: "0" }) },
  {
    id: "raw-js-insert",
    name: "raw JS object, one insert a message",
    gives: "hibernates; log, order, ack after the commit",
    ...raw,
    launch: () => launchWorker(source("raw-js.mjs"), { LOG: "1" }),
  },
  {
    id: "raw-js-turns",
    name: "raw JS object, one transaction a turn",
    gives: "hibernates; log, order, ack after the commit",
    ...raw,
    launch: () => launchWorker(source("raw-js-turns.mjs")),
  },
  { id: "node", name: "Node socket.io", gives: "order", ...stock, launch: () => launchNode(source("socket-io.mjs"), "0") },
  {
    id: "node-recovery",
    name: "Node socket.io, with recovery",
    gives: "order, recovery from memory",
    ...stock,
    dialect: socketIo({ recovers: true }),
    launch: () => launchNode(source("socket-io.mjs"), "1"),
  },
  { id: "ours-plain", name: "Dialtone, plain WebSocket", ...oursPlain, path: (room, n) => `/rooms/${room}?token=${own(n)}` },
  { id: "ours-batch", name: "Dialtone, plain WebSocket, `?batch=1`", ...oursPlain, path: (room, n) => `/rooms/${room}?batch=1&token=${own(n)}` },
  { id: "ours-home", name: "Dialtone, Socket.IO with a home", ...oursSocketIo, path: (room) => `${stock.path()}&room=${room}` },
  { id: "ours-lobby", name: "Dialtone, Socket.IO through a lobby", ...oursSocketIo, path: stock.path },
];
