// The sockets of a room: raw ones, so that the load is cheap. Every delivery is checked as it comes: each socket gets each
// event once and in order, or the benchmark ends.

import WebSocket from "ws";
import { FIRST } from "./dialects.mjs";

const CONNECTING_AT_ONCE = 50;
/** Nothing came for so long: something is lost. */
const STALL_MS = 30_000;

/** A socket of the crowd. Its dialect tells it what it hears. */
class Client {
  /** The number of the event that is due. */
  next = FIRST;
  /** The ids of the last request and of the last one that was acknowledged; acks come in order. */
  asked = 0;
  acked = 0;

  constructor(crowd, n) {
    const { contender, server, room } = crowd;
    this.crowd = crowd;
    this.room = room;
    this.token = contender.token?.(n);
    this.name = `${contender.id}, socket ${n}`;
    const { dialect } = contender;
    this.joined = new Promise((resolve) => (this.ready = resolve));
    this.socket = new WebSocket(`ws://127.0.0.1:${server.port}${contender.path(room, n)}`, { perMessageDeflate: false, skipUTF8Validation: true });
    this.socket.on("open", () => dialect.opened(this));
    this.socket.on("message", (data) => dialect.hear(this, data));
    this.socket.on("error", (error) => this.fail(error.message));
    this.socket.on("close", (code, reason) => this.fail(`closed with ${code} ${reason}`));
  }

  send(text) {
    this.socket.send(text);
  }

  event(number) {
    if (number !== this.next) return this.fail(`event ${number} came where ${this.next} was due`);
    this.next++;
    this.crowd.delivered++;
    this.crowd.check();
  }

  ack(id) {
    if (id !== this.acked + 1) return this.fail(`the ack of ${id} came where that of ${this.acked + 1} was due`);
    this.acked = id;
    this.crowd.check();
  }

  refused(text) {
    this.fail(`refused: ${text}`);
  }

  fail(text) {
    this.crowd.fail(new Error(`${this.name}: ${text}`));
  }
}

export class Crowd {
  /** The first failure of any crowd, for those that come when nobody waits any more. */
  static failed;
  static #open = new Set();
  delivered = 0;
  check = () => {};
  #clients = [];
  #published = 0;
  #failure = Promise.withResolvers();
  #closed = false;
  #stallMs = STALL_MS;

  constructor(contender, server, room) {
    Object.assign(this, { contender, server, room });
    this.#failure.promise.catch(() => {});
    Crowd.#open.add(this);
  }

  static closeAll() {
    for (const crowd of Crowd.#open) crowd.close();
  }

  /** `size` clients in `room`; the first of them is who publishes. */
  static async join(contender, server, { room = "bench:1", size, stallMs = STALL_MS }) {
    const crowd = new Crowd(contender, server, room);
    crowd.#stallMs = stallMs;
    while (crowd.#clients.length < size) {
      const count = Math.min(CONNECTING_AT_ONCE, size - crowd.#clients.length);
      const clients = Array.from({ length: count }, (_, n) => new Client(crowd, crowd.#clients.length + n));
      crowd.#clients.push(...clients);
      await crowd.#progress(Promise.all(clients.map(({ joined }) => joined)), () => `all ${size} sockets to get in`);
    }
    return crowd;
  }

  get size() {
    return this.#clients.length;
  }

  fail(error) {
    if (this.#closed) return;
    Crowd.failed ??= error;
    this.#failure.reject(error);
  }

  /**
   * Publishes while `more(sent)`, `inFlight` events at a time, and resolves with how many when all others have heard all
   * and all are acknowledged. Until both an event is in flight.
   */
  async publish(more, inFlight) {
    const [sender] = this.#clients;
    const others = this.size - 1;
    const [asked, delivered] = [sender.asked, this.delivered];
    let sent = 0;
    const all = new Promise((resolve) => {
      let over = false;
      this.check = () => {
        const heard = others ? Math.floor((this.delivered - delivered) / others) : sent;
        const finished = Math.min(sender.acked - asked, heard);
        while (!over && sent - finished < inFlight) {
          if (!more(sent)) over = true;
          else {
            sent++;
            sender.send(this.contender.dialect.publish(this.room, FIRST + this.#published++, ++sender.asked));
          }
        }
        if (over && finished === sent) resolve();
      };
      this.check();
    });
    await this.#progress(all, () => `${sent} acks (${sender.acked - asked} came) and ${sent * others} deliveries (${this.delivered - delivered} came)`);
    this.check = () => {};
    // Each heard each in order, so they all have all if the last is the same.
    const short = this.#clients.slice(1).find(({ next }) => next !== FIRST + this.#published);
    if (short) throw new Error(`${short.name}: has heard up to ${short.next - 1} of ${FIRST + this.#published - 1}`);
    return sent;
  }

  /** One ephemeral event, acknowledged. */
  async echo() {
    const [sender] = this.#clients;
    const id = ++sender.asked;
    const acked = new Promise((resolve) => (this.check = () => sender.acked === id && resolve()));
    sender.send(this.contender.dialect.echo(this.room, id));
    await this.#progress(acked, () => "an ack");
  }

  close() {
    this.#closed = true;
    Crowd.#open.delete(this);
    for (const { socket } of this.#clients) socket.terminate();
  }

  /** What `promise` resolves with, unless a client fails or it takes too long. */
  async #progress(promise, what) {
    let timer;
    const stalled = new Promise((_, reject) => {
      timer = setTimeout(() => reject(new Error(`${this.contender.id}: waited in vain for ${what()}`)), this.#stallMs);
    });
    try {
      return await Promise.race([promise, stalled, this.#failure.promise]);
    } finally {
      clearTimeout(timer);
    }
  }
}

/** A crowd of `size` in a room of each contender that can be started: `{contender, server, crowd}`. */
export async function crowds({ contenders, start, size, say }) {
  const runners = [];
  for (const contender of contenders) {
    say(`${contender.id} gets ${size} sockets`);
    const server = await start(contender);
    if (server) runners.push({ contender, server, crowd: await Crowd.join(contender, server, { size }) });
  }
  return runners;
}
