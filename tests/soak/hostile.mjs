// Who means harm, and what each of them is answered. Each assault is a bounded piece of it; `note` counts an answer.

import { connect } from "node:net";
import { createHmac, randomBytes } from "node:crypto";
import WebSocket from "ws";
import { call, engine, INBOUND, sleep, token, webhook } from "../e2e/harness.mjs";

const MB = 1_000_000;
const JSON_HEADERS = { "content-type": "application/json" };
const EIO = "EIO=4&transport=websocket";

/** A WebSocket for a while: notes how it was refused or closed, and which errors it was sent. */
function socket({ server, note }, path, { protocols, headers } = {}) {
  const ws = new WebSocket(server.ws + path, protocols ?? [], { headers, handshakeTimeout: 20_000 });
  const refused = new Promise((resolve) =>
    ws.on("unexpected-response", (request, response) => {
      note(`HTTP ${response.statusCode}`);
      request.destroy();
      resolve(false);
    }),
  );
  ws.on("error", () => {});
  ws.on("close", (code) => code !== 1006 && note(`closed with ${code}`));
  ws.answers = 0;
  ws.on("message", (data) => {
    const text = data.toString("latin1", 0, 400);
    const [, code] = text.match(/"code":"(\w+)"/) ?? [];
    if (code) note(code);
    if (code || /^(\{"ack"|43)/.test(text)) ws.answers++;
  });
  /** It was answered so often, or is over; or it takes too long. */
  ws.answered = async (times) => {
    for (const end = Date.now() + 10_000; ws.answers < times && ws.readyState === WebSocket.OPEN && Date.now() < end; ) await sleep(20);
  };
  const failed = new Promise((resolve) => ws.on("close", () => resolve(false)).on("error", () => resolve(false)));
  ws.over = Promise.race([refused, failed]);
  ws.opened = Promise.race([new Promise((resolve) => ws.on("open", () => resolve(true))), ws.over]);
  return ws;
}

const plainPath = ({ room, sub }) => `/rooms/${room}?token=${token({ sub, rooms: ["*"] })}`;
const connectFrame = (sub, namespace = "") => `40${namespace}${JSON.stringify({ token: token({ sub, rooms: ["*"] }) })}`;

/** A Socket.IO connection that has connected to `/`. */
async function socketIo(assault) {
  const ws = socket(assault, `/socket.io/?${EIO}`);
  if (!(await ws.opened)) return ws;
  ws.send(connectFrame(assault.sub));
  await Promise.race([new Promise((resolve) => ws.on("message", (data) => data.toString("latin1", 0, 2) === "40" && resolve())), ws.over, sleep(5_000)]);
  return ws;
}

/** The status and code of an answer over HTTP. */
const answered = ({ note }) => ({ status, body }) => note(body?.code ? `${status} ${body.code}` : `HTTP ${status}`);
const gone = ({ note }) => () => note("no answer");

/** Raw bytes on a TCP connection, which is dropped after a while; gives what came back. */
function tcp({ server, note }, bytes, ms) {
  return new Promise((resolve) => {
    const wire = connect(Number(new URL(server.url).port), "127.0.0.1");
    let text = "";
    wire.on("connect", () => wire.write(bytes));
    wire.on("data", (chunk) => (text += chunk));
    wire.on("error", () => {});
    wire.on("close", () => {
      note(text ? `HTTP ${text.slice(9, 12)}` : "no answer");
      resolve(text);
    });
    setTimeout(() => wire.destroy(), ms);
  });
}

const part = (json) => Buffer.from(JSON.stringify(json)).toString("base64url");
const inAnHour = () => Math.floor(Date.now() / 1000) + 3_600;

/** `name: async (assault) => …`, where an assault is `{server, room, sub, note, nextKey}`. */
export const ASSAULTS = {
  async "garbage frames"(assault) {
    for (const path of [plainPath(assault), `/socket.io/?${EIO}`]) {
      const ws = socket(assault, path);
      if (!(await ws.opened)) continue;
      const junk = ["", "{", "[[[[", "null", "4", "42[", "451-[", "9", "\u0000", "x".repeat(70_000), randomBytes(100), '{"event":5}', '{"event":"note","id":1}'];
      for (const frame of junk) ws.send(frame);
      await ws.answered(junk.length);
      ws.terminate();
    }
  },

  async "oversize"(assault) {
    for (const path of [plainPath(assault), `/socket.io/?${EIO}`]) {
      const ws = socket(assault, path);
      if (!(await ws.opened)) continue;
      ws.send("x".repeat(MB + 1));
      await Promise.race([ws.over, sleep(5_000)]);
      ws.terminate();
    }
    const as = { sub: assault.sub, rooms: ["*"] };
    const body = JSON.stringify({ event: "note", data: "x".repeat(MB) });
    await call(assault.server, "POST", `/rooms/${assault.room}/events`, { as, body }).then(answered(assault), gone(assault));
  },

  async "past the rate"(assault) {
    const plain = socket(assault, plainPath(assault));
    const stock = await socketIo(assault);
    if (!(await plain.opened) || stock.readyState !== WebSocket.OPEN) return;
    for (let n = 0; n < 500; n++) plain.send(JSON.stringify({ event: "typing", data: { isTyping: n % 2 === 0 }, id: `t${n}` }));
    for (let n = 0; n < 500; n++) stock.send(`42${n}["test"]`);
    for (const ws of [plain, stock]) await ws.answered(500).finally(() => ws.terminate());
  },

  async "never reads"(assault) {
    for (const ws of [socket(assault, plainPath(assault)), await socketIo(assault)]) {
      if (!(await ws.opened)) continue;
      ws.send(`421["join","${assault.room}"]`);
      ws.pause();
      setTimeout(() => ws.terminate(), 20_000);
    }
    await sleep(1_000);
  },

  async "never answers"(assault) {
    const ws = await socketIo(assault);
    // `ws` answers WebSocket's pings; Engine.IO's nobody does. It stays until the server ends it.
    setTimeout(() => ws.terminate(), 60_000);
    ws.on("close", () => assault.note("ended by the server"));
    await sleep(200);
  },

  async "half handshakes"(assault) {
    const start = `GET /socket.io/?${EIO} HTTP/1.1\r\nHost: x\r\n`;
    const upgrade = `${start}Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n`;
    await Promise.all([tcp(assault, "", 500), tcp(assault, start, 500), tcp(assault, upgrade, 500), tcp(assault, `${upgrade}\x81`, 500), tcp(assault, "\x16\x03\x01\x02\x00\x01", 500)]);
    for (let n = 0; n < 20; n++) await engine(assault.server, "GET").then(({ status }) => assault.note(`HTTP ${status}`), gone(assault));
  },

  async "connects and goes"(assault) {
    await Promise.all(
      Array.from({ length: 15 }, async (_, n) => {
        const ws = n % 2 ? socket(assault, plainPath(assault)) : await socketIo(assault);
        await ws.opened;
        ws.terminate();
        assault.note("came and went");
      }),
    );
  },

  async "parallel polls"(assault) {
    const { text, status } = await engine(assault.server, "GET").catch(() => ({ status: 0, text: "" }));
    if (status !== 200) return assault.note(`HTTP ${status}`);
    const { sid } = JSON.parse(text.slice(1));
    await engine(assault.server, "POST", { sid }, { body: connectFrame(assault.sub) });
    const polls = Array.from({ length: 8 }, () => engine(assault.server, "GET", { sid }));
    const posts = Array.from({ length: 4 }, (_, n) => engine(assault.server, "POST", { sid }, { body: n % 2 ? "junk" : "4\x1e".repeat(20_000) }));
    for (const { status } of await Promise.all([...polls, ...posts])) assault.note(`HTTP ${status}`);
  },

  async "bad tokens"(assault) {
    const { sub, room } = assault;
    const none = `${part({ alg: "none" })}.${part({ sub, exp: inAnHour(), role: "admin" })}.`;
    const foreign = token({ sub, role: "admin" }, { secret: "another secret, which nobody has given to this server" });
    const payload = `${part({ alg: "HS512" })}.${part({ sub, exp: inAnHour() })}`;
    const other = `${payload}.${createHmac("sha512", "x").update(payload).digest("base64url")}`;
    for (const bad of [none, foreign, other, token({ sub, exp: 1 }), "x".repeat(7_000), "a.b.c", ""]) {
      const headers = { authorization: `Bearer ${bad}` };
      await call(assault.server, "GET", `/rooms/${room}/history`, { headers }).then(answered(assault), gone(assault));
      await call(assault.server, "POST", "/api/emit", { headers, body: { room, event: "note" } }).then(answered(assault), gone(assault));
      const ws = socket(assault, `/rooms/${room}?token=${bad}`);
      await ws.opened;
      ws.terminate();
    }
    const stock = socket(assault, `/socket.io/?${EIO}`);
    if (await stock.opened) stock.send(`40${JSON.stringify({ token: foreign })}`);
    await sleep(100);
    stock.terminate();
  },

  async "forged webhooks"(assault) {
    const fields = { MessageSid: `SM${randomBytes(16).toString("hex")}`, From: "+15559990000", To: "+15550100077", Body: "forged" };
    for (const options of [
      { authToken: "another account's token" },
      { tamper: (request) => (request.body += "&Body=other") },
      { tamper: (request) => delete request.headers["x-twilio-signature"] },
      { signed: "https://elsewhere.example/webhooks/twilio/inbound" },
      { tamper: (request) => (request.body = "x".repeat(MB + 1)) },
    ]) {
      await webhook(assault.server, INBOUND, { AccountSid: "AC0", NumMedia: "0", ...fields }, options).then(answered(assault), gone(assault));
    }
  },

  async "history scans"(assault) {
    const as = { sub: assault.sub, rooms: ["*"] };
    const queries = ["", "?limit=200", "?limit=201", "?limit=0", "?limit=-1", "?after=0&limit=200", "?after=99999999999999999999", "?before=1", "?after=5&before=6", "?limit=x", `?limit=${"9".repeat(3_000)}`];
    for (const query of queries) await call(assault.server, "GET", `/rooms/${assault.room}/history${query}`, { as }).then(answered(assault), gone(assault));
    await Promise.all(Array.from({ length: 20 }, (_, n) => call(assault.server, "GET", `/rooms/demo:scan-${n}/history?limit=200`, { as }).then(answered(assault), gone(assault))));
  },

  async "joins and leaves"(assault) {
    const ws = await socketIo(assault);
    for (let n = 0; n < 300 && ws.readyState === WebSocket.OPEN; n++) {
      ws.send(`42${n}["${n % 2 ? "leave" : "join"}","${n % 3 ? assault.room : `demo:storm-${n}`}"]`);
      if (n % 20 === 0) await sleep(50);
    }
    await Promise.race([ws.over, sleep(1_000)]);
    ws.terminate();
  },

  async "many namespaces"(assault) {
    const ws = socket(assault, `/socket.io/?${EIO}`);
    if (!(await ws.opened)) return;
    for (let n = 0; n < 200 && ws.readyState === WebSocket.OPEN; n++) ws.send(n % 2 ? `40/no${n},` : connectFrame(assault.sub, ["/chat,", "/jobs,", "/analytics,"][n % 3]));
    await Promise.race([ws.over, sleep(300)]);
    ws.terminate();
  },

  async "bad requests"(assault) {
    const { server, room, sub } = assault;
    const headers = { authorization: `Bearer ${token({ sub, rooms: ["*"] })}` };
    const requests = [
      ["GET", `/rooms/${"x".repeat(6_000)}/history`],
      ["GET", `/rooms/${room}/history?x=${"y".repeat(12_000)}`],
      ["DELETE", `/rooms/${room}/history`],
      ["POST", `/rooms/${room}/events`, "{"],
      ["POST", `/rooms/${room}/events`, "[".repeat(100_000)],
      ["POST", `/rooms/${room}/events`, JSON.stringify({ event: "connect" })],
      ["POST", "/api/emit", JSON.stringify(Array(101).fill({ event: "x" }))],
      ["GET", "/api/nothing"],
      ["GET", `/socket.io/?EIO=4&transport=polling&sid=${"s".repeat(5_000)}`],
    ];
    for (const [method, route, body] of requests) await call(server, method, route, { body, headers: { ...headers, ...(body && JSON_HEADERS) } }).then(answered(assault), gone(assault));
    await tcp(assault, `GET /health HTTP/1.1\r\nHost: x\r\n${"a: b\r\n".repeat(5_000)}\r\n`, 500);
    await tcp(assault, `GET /health HTTP/1.1\r\nHost: x\r\nx: ${"y".repeat(200_000)}\r\n\r\n`, 500);
  },

  async "says what it may"(assault) {
    const ws = socket(assault, plainPath(assault));
    if (!(await ws.opened)) return;
    // Large, and within the rate: the good ones hear it all, those that never read do not.
    for (let n = 0; n < 20; n++) ws.send(JSON.stringify({ event: "note", data: { k: assault.nextKey(), text: "z".repeat(50_000) }, id: `big-${randomBytes(6).toString("hex")}` }));
    await ws.answered(20);
    assault.note("accepted");
    ws.terminate();
  },
};
