// People who do nothing wrong, through whatever happens to their connections and to the server; and what is true of what they
// said and heard, if the server keeps its word.

import { randomBytes } from "node:crypto";
import WebSocket from "ws";
import { call, eventually, history, inbound, io, messageSid, SERVICE, sleep, token } from "../e2e/harness.mjs";

/** Who waits so long for an ack takes it for lost, and sends again, with the same id. */
const PATIENCE_MS = 5_000;
/** A plain socket that has not been heard of for so long is given up. */
const SILENCE_MS = 3_000;
/** What may be refused to someone who does nothing wrong: the server, or another object of it, was killed or has no room on its disk. */
const TRANSIENT = new Set(["internal", "unavailable", "not_in_room"]);

const claims = (sub) => ({ sub, rooms: ["*"], exp: Math.floor(Date.now() / 1000) + 7_200 });

/** All of it: the people, and what they have had accepted. */
export class Traffic {
  people = [];
  /** Milliseconds from an event to its ack. */
  latencies = [];
  /** Refusals that were no one's fault, by code. */
  refusals = new Map();
  /** Promises that were broken, in words. */
  wrong = [];
  /** Everyone leaves. */
  isGone = false;
  #over = false;
  #ends = [];
  #keys = 0;
  #running = [];

  /** `server` is `{url, ws}`; each person speaks `everyMs`. */
  constructor(server, { everyMs }) {
    Object.assign(this, { server, everyMs });
  }

  /** What marks one message for good. */
  nextKey() {
    return ++this.#keys;
  }

  get lifetime() {
    return { after: (end) => this.#ends.push(end) };
  }

  get isOver() {
    return this.#over;
  }

  get accepted() {
    return this.people.reduce((sum, { accepted }) => sum + accepted.size, 0);
  }

  get heard() {
    return this.people.reduce((sum, { segments }) => sum + segments.reduce((sum, { heard }) => sum + heard.length, 0), 0);
  }

  /** Everyone comes in and begins to speak. */
  async start(people) {
    this.people = people;
    for (const person of people) await within(person.come(), `${person.name} to come in`, 60_000);
    this.#running = people.map((person) => person.talk());
  }

  /** Nobody begins a message any more; all that was begun is accepted, and heard by all. */
  async finish(ms = 60_000) {
    this.#over = true;
    await Promise.race([Promise.all(this.#running), later(ms)]);
    for (const person of this.people) if (person.pending) this.wrong.push(`${person.name}: was never answered`);
    await Promise.race([Promise.all(this.people.map((person) => person.isIn())), later(ms)]);
  }

  /** What is wrong with what was accepted and heard, as `history` has it; nothing, one hopes. Asked at `server`. */
  async check(server = this.server, ms = 60_000) {
    const rooms = Map.groupBy(this.people, ({ room }) => room);
    const until = Date.now() + ms;
    let messages = 0;
    for (const [room, people] of rooms) {
      const log = await history(server, room);
      log.messages.forEach(({ offset }, at) => offset === at + 1 || this.wrong.push(`${room}: offset ${offset} where ${at + 1} was due`));
      const own = log.messages.map(({ data, offset }) => ({ offset, key: data?.k ?? data?.messageSid })).filter(({ key }) => key !== undefined);
      messages += own.length;
      const at = new Map();
      for (const { key, offset } of own) {
        if (at.has(key)) this.wrong.push(`${room}: ${key} is in the history twice, at ${at.get(key)} and ${offset}`);
        at.set(key, offset);
      }
      for (const person of people) {
        for (const [key, offset] of person.accepted) {
          if (!at.has(key)) this.wrong.push(`${person.name}: ${key} was accepted and is lost`);
          else if (offset !== undefined && at.get(key) !== offset) this.wrong.push(`${person.name}: ${key} was accepted as ${offset} and is ${at.get(key)}`);
        }
        if (person.segments.length === 0) continue;
        const others = own.filter(({ key }) => !person.said.has(key));
        const last = person.segments.at(-1);
        const due = others.filter(({ offset }) => offset > last.from).length;
        await eventually("the last of it", () => last.heard.length >= due, Math.max(0, until - Date.now())).catch(() => {});
        for (const segment of person.segments) {
          const expected = others.filter(({ offset }) => offset > segment.from);
          const differs = segment.heard.findIndex((key, n) => key !== expected[n]?.key);
          if (differs >= 0) {
            const again = segment.heard.indexOf(segment.heard[differs]) < differs;
            this.wrong.push(`${person.name}, who came at ${segment.from}: heard ${segment.heard[differs]}${again ? " again" : ""} where ${expected[differs]?.key} was due`);
          } else if (segment === last && segment.heard.length < expected.length) {
            this.wrong.push(`${person.name}: heard ${segment.heard.length} of ${expected.length} since ${segment.from}`);
          }
        }
      }
    }
    return { messages, wrong: this.wrong };
  }

  async close() {
    this.#over = true;
    this.isGone = true;
    await Promise.all(this.#ends.map((end) => end()));
  }
}

/** Someone who says one thing after the other, each until it is accepted. */
class Person {
  /** Accepted messages' keys, with their offsets where the answer had one. */
  accepted = new Map();
  said = new Set();
  pending;
  /** What was heard without a break, in order, from an offset on; another one begins where nothing could be recovered. */
  segments = [];

  constructor(traffic, name, room) {
    Object.assign(this, { traffic, name, room, claims: claims(name) });
  }

  async come() {}
  async isIn() {}

  async talk() {
    while (!this.traffic.isOver) {
      await sleep(this.traffic.everyMs * (0.5 + Math.random()));
      const key = this.key();
      this.said.add(key);
      this.pending = key;
      const start = performance.now();
      for (let tries = 1; this.pending; tries++) {
        const answer = await this.say(key).catch(() => undefined);
        if (answer?.refused && !TRANSIENT.has(answer.refused)) {
          this.traffic.wrong.push(`${this.name}: was refused ${key} with ${answer.refused}`);
          break;
        }
        if (answer?.refused) this.traffic.refusals.set(answer.refused, (this.traffic.refusals.get(answer.refused) ?? 0) + 1);
        else if (answer) {
          this.accepted.set(key, answer.offset);
          this.pending = undefined;
          if (tries === 1) this.traffic.latencies.push(performance.now() - start);
        }
        if (this.pending) await sleep(50 + Math.random() * 200);
        if (this.traffic.isGone) return;
      }
    }
  }

  key() {
    return this.traffic.nextKey();
  }

  /** What is heard; one's own is not. */
  hear(data) {
    if (data?.k === undefined || this.said.has(data.k)) return;
    const segment = this.segments.at(-1);
    if (segment) segment.heard.push(data.k);
    else this.traffic.wrong.push(`${this.name}: heard ${data.k} before being in the room`);
  }
}

/** Says it with `POST /rooms/…/events`, or as a backend with `POST /api/emit`. */
export class Poster extends Person {
  constructor(traffic, name, room, { backend = false } = {}) {
    super(traffic, name, room);
    this.backend = backend;
  }

  async say(key) {
    const body = { event: "note", data: { k: key }, id: `${this.name}-${key}` };
    const [as, route, item] = this.backend ? [SERVICE, "/api/emit", { room: this.room, ...body }] : [this.claims, `/rooms/${this.room}/events`, body];
    const answer = await within(call(this.traffic.server, "POST", route, { as, body: item }));
    if (answer.status === 200) return { offset: (answer.body.results?.[0] ?? answer.body).offset };
    return { refused: answer.body.code };
  }
}

/** Whether one is in, to wait for: who leaves before being in keeps those waiting who wait already. */
class Gate {
  #gate = Promise.withResolvers();

  /** Resolves as soon as one is in. */
  get opened() {
    return this.#gate.promise;
  }

  open() {
    this.isOpen = true;
    this.#gate.resolve();
  }

  close() {
    if (this.isOpen) this.#gate = Promise.withResolvers();
    this.isOpen = false;
  }
}

/** Someone who writes SMS to a line. Their conversation is the room. */
export class Texter extends Person {
  constructor(traffic, line, contact) {
    super(traffic, contact, `sms:${line}:${contact}`);
    Object.assign(this, { line, contact });
  }

  key() {
    return messageSid();
  }

  async say(key) {
    const answer = await within(inbound(this.traffic.server, { To: this.line, From: this.contact, Body: key, MessageSid: key }));
    return answer.status === 200 ? {} : { refused: answer.body.code };
  }
}

/** Someone on a plain WebSocket, who comes back with `?since=`. */
export class Plain extends Person {
  #socket;
  #acks = new Map();
  #position;
  #in = new Gate();

  constructor(traffic, name, room, { batch = false } = {}) {
    super(traffic, name, room);
    this.batch = batch;
    traffic.lifetime.after(() => this.#socket?.terminate());
  }

  come() {
    this.#connect();
    return this.#in.opened;
  }

  isIn() {
    return this.#in.opened;
  }

  #connect() {
    const { server, isGone } = this.traffic;
    if (isGone) return;
    const query = new URLSearchParams({ token: token(this.claims), ...(this.batch && { batch: 1 }), ...(this.#position && { since: this.#position.join(":") }) });
    const socket = new WebSocket(`${server.ws}/rooms/${encodeURIComponent(this.room)}?${query}`);
    this.#socket = socket;
    let alive = Date.now();
    const watch = setInterval(() => {
      if (Date.now() - alive > SILENCE_MS) socket.terminate();
      else if (socket.readyState === WebSocket.OPEN) socket.send("ping");
    }, 1_000);
    socket.on("message", (text) => {
      alive = Date.now();
      for (const line of text.toString().split("\n")) if (line !== "pong") this.#frame(JSON.parse(line));
    });
    socket.on("error", () => {});
    socket.on("close", () => {
      clearInterval(watch);
      this.#acks.forEach(({ reject }) => reject(new Error("closed")));
      this.#acks.clear();
      if (this.#socket === socket) this.#socket = undefined;
      this.#in.close();
      if (!this.traffic.isGone) setTimeout(() => this.#connect(), 50 + Math.random() * 300);
    });
  }

  #frame(frame) {
    if (frame.event === "connected") {
      const { epoch, offset, recovered } = frame.data;
      if (!recovered) {
        this.segments.push({ from: offset, heard: [] });
        this.#position = [epoch, offset];
      }
    } else if (frame.event === "presence_state") {
      this.#in.open();
    } else if (frame.ack) {
      this.#acks.get(frame.ack)?.resolve(frame.error ? { refused: frame.error.code } : { offset: frame.offset });
      this.#acks.delete(frame.ack);
    } else if (frame.offset !== undefined) {
      if (frame.offset <= this.#position[1]) this.traffic.wrong.push(`${this.name}: offset ${frame.offset} came after ${this.#position[1]}`);
      this.#position[1] = frame.offset;
      this.hear(frame.data);
    }
  }

  async say(key) {
    await within(this.#in.opened);
    const id = `${this.name}-${key}`;
    const ack = Promise.withResolvers();
    this.#acks.set(id, ack);
    this.#socket.send(JSON.stringify({ event: "note", data: { k: key }, id }));
    return within(ack.promise);
  }
}

/** Someone with the stock client; `home`: named as `?room=`, else on a lobby. */
export class Stock extends Person {
  #socket;
  #in = new Gate();

  constructor(traffic, name, room, { transports = ["websocket"], home = false } = {}) {
    super(traffic, name, room);
    Object.assign(this, { transports, home });
  }

  come() {
    const options = { transports: this.transports, reconnection: true, reconnectionDelay: 50, reconnectionDelayMax: 500, timeout: 4_000 };
    const client = io(this.traffic.lifetime, this.traffic.server, this.claims, { ...options, ...(this.home && { query: { room: this.room } }) });
    const { socket } = client;
    this.#socket = socket;
    socket.offAny(); // keeps nothing
    socket.on("note", (data) => this.hear(data));
    socket.on("connect", () => this.#connected());
    socket.on("disconnect", () => {
      this.#in.close();
      // What socket.io-client 4.8.4 keeps of a recovery that was cut it shows twice (README, "Known limits").
      socket.receiveBuffer = [];
    });
    return this.#in.opened;
  }

  isIn() {
    return this.#in.opened;
  }

  #connected() {
    const socket = this.#socket;
    if (socket.recovered && this.isJoined) return this.#in.open();
    // The ack of the join was lost: nobody knows from where on it hears.
    if (socket.recovered) return void socket.disconnect().connect();
    this.isJoined = false;
    const { id } = socket;
    const join = () =>
      socket.timeout(PATIENCE_MS).emit("join", { room: this.room }, (error, ack) => {
        if (socket.id !== id || this.isJoined) return;
        if (error || !ack.ok) return void setTimeout(() => socket.id === id && socket.disconnect().connect(), 200);
        this.isJoined = true;
        this.segments.push({ from: ack.offset, heard: [] });
        this.#in.open();
      });
    join();
  }

  async say(key) {
    await within(this.#in.opened);
    const answer = await this.#socket.timeout(PATIENCE_MS).emitWithAck("send", { room: this.room, event: "note", data: { k: key }, id: `${this.name}-${key}` });
    return answer.ok ? { offset: answer.offset } : { refused: answer.error.code };
  }
}

/** A time that nobody needs to wait for, once what it bounds is done. */
const later = (ms) => new Promise((resolve) => setTimeout(resolve, ms).unref());

/** What the promise resolves with, or an error after `ms`. */
function within(promise, what = "an answer", ms = PATIENCE_MS) {
  let timer;
  const late = new Promise((_, reject) => (timer = setTimeout(() => reject(new Error(`not within ${ms} ms: ${what}`)), ms)));
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** People of every sort, `count` of them, spread over `rooms` rooms that are named after `prefix`. */
export function crowd(traffic, { count, rooms, prefix = "demo:good", line }) {
  const sorts = [
    (name, room) => new Stock(traffic, name, room),
    (name, room) => new Plain(traffic, name, room),
    (name, room) => new Stock(traffic, name, room, { home: true }),
    (name, room) => new Stock(traffic, name, room, { transports: ["polling"] }),
    (name, room) => new Plain(traffic, name, room, { batch: true }),
    (name, room) => new Stock(traffic, name, room, { transports: ["polling", "websocket"] }),
    (name, room) => new Poster(traffic, name, room),
    (name, room) => new Poster(traffic, name, room, { backend: true }),
    (name, room, n) => new Texter(traffic, line, `+1555${String(2_000_000 + n)}`),
    (name, room) => new Stock(traffic, name, room, { transports: ["polling"], home: true }),
  ];
  const tag = randomBytes(3).toString("hex");
  return Array.from({ length: count }, (_, n) => sorts[n % sorts.length](`good-${tag}-${n}`, `${prefix}-${Math.floor(n / sorts.length) % rooms}`, n));
}
