// A bad network, between clients and the server: connections are cut, fall silent with no word to either side, and are slow.
// All of its chance comes from one seed.

import { once } from "node:events";
import { connect, createServer } from "node:net";

/** Numbers from 0 to 1, the same for the same seed (mulberry32). */
export function random(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

export class Proxy {
  /** How often each thing was done. */
  done = { opened: 0, cut: 0, silent: 0, slow: 0 };
  #pairs = new Set();

  constructor(server, listener) {
    Object.assign(this, { server, listener });
    const { port } = listener.address();
    Object.assign(this, { port, url: `http://127.0.0.1:${port}`, ws: `ws://127.0.0.1:${port}` });
  }

  /** To `port`; a connection lives `meanMs` on average until something happens to it. `chance` gives numbers from 0 to 1. */
  static async start(port, { chance, meanMs }) {
    const listener = createServer((client) => proxy.#accept(client, port, chance, meanMs));
    await once(listener.listen(0, "127.0.0.1"), "listening");
    const proxy = new Proxy(port, listener);
    return proxy;
  }

  /** From now on nothing bad happens to anyone. */
  calm() {
    this.isCalm = true;
    for (const pair of this.#pairs) if (pair.isSilent) pair.end();
  }

  #accept(client, port, chance, meanMs) {
    this.done.opened++;
    const server = connect(port, "127.0.0.1");
    const pair = { isSilent: false, delayMs: 0, end: () => (client.destroy(), server.destroy()) };
    this.#pairs.add(pair);
    const pass = (from, to) => {
      from.on("data", (chunk) => {
        if (pair.isSilent) return;
        const forward = () => to.writable && !to.write(chunk) && (from.pause(), to.once("drain", () => from.resume()));
        if (pair.delayMs) setTimeout(forward, pair.delayMs);
        else forward();
      });
      from.on("end", () => pair.isSilent || setTimeout(() => to.end(), pair.delayMs));
      from.on("error", () => {});
      // Half open: the other end hears nothing of it.
      from.on("close", () => {
        if (pair.isSilent && from === client) return;
        setTimeout(pair.end, pair.delayMs);
        this.#pairs.delete(pair);
      });
    };
    pass(client, server);
    pass(server, client);
    const befall = setTimeout(() => {
      if (this.isCalm || client.destroyed) return;
      const fate = chance();
      const [what, act] =
        fate < 0.5
          ? ["cut", pair.end]
          : fate < 0.75
            ? ["silent", () => ((pair.isSilent = true), setTimeout(pair.end, 10_000).unref())]
            : ["slow", () => (pair.delayMs = 50 + chance() * 250)];
      this.done[what]++;
      act();
    }, -Math.log(1 - chance()) * meanMs);
    client.on("close", () => clearTimeout(befall));
  }

  async close() {
    this.listener.close();
    for (const pair of this.#pairs) pair.end();
  }
}
