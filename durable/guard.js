// What brings objects through a panic. In WASM a panic ends the instance, and with it the memory of everything in the
// isolate: the Worker's requests, and the machines of all Room objects. Their sockets, attachments and storage are the
// runtime's and stay, as in hibernation. So worker-build's glue makes another instance at the next call, and here is
// what that takes besides, outside of the WASM:
//
// - each object notes the frames that no turn has committed yet. Those of a turn that panicked are tried again one by
//   one; one that panics alone is the poison: whoever sent it is told so, and it is passed over;
// - who waits for an answer out of that memory gets a 503, or, on a socket, is closed as one that may come back;
// - what an object was bringing others counts as tried, for it may be what ended the instance; rooms into which sockets were
//   on their way are told who is in them;
// - timers call the object by name, so they outlive the instance;
// - where neither a frame nor a request is to blame, the object's storage is told so before anything is tried again
//   (core's `falls`), and it waits longer each time, so that it does not take the others along for ever.
//
// The build puts this around worker-build's module (tests/tools/build.mjs).

import Worker, { Room as Inner } from "worker-build";

const MAX_POISONS = 3;
const MAX_WAIT_MS = 60_000;
/** worker-build's: which instance it is, and whether the next call needs another one. */
const instance = globalThis.__worker_init_state;
/** Who waits for an answer. */
const unanswered = new Set();

/** For /metrics; and the instance that the last one ended. */
globalThis.dialtonePanics = 0;
let counted;

/** A panic came out of the WASM, or is seen again on its way up. */
function fell() {
  if (counted !== instance.instanceId) globalThis.dialtonePanics++;
  counted = instance.instanceId;
  instance.criticalError = true;
  for (const refuse of unanswered) refuse();
  unanswered.clear();
}

/** One that no caller of ours sees: in a task of its own. */
addEventListener("error", ({ error }) => {
  if (isPanic(error)) fell();
});

const isPanic = (error) => [error, error?.cause].some((e) => e instanceof WebAssembly.RuntimeError || e instanceof RangeError);

/** What is answered where the memory of the question is gone. */
async function answered(ask) {
  let refuse;
  const gone = new Promise((resolve) => (refuse = resolve));
  unanswered.add(refuse);
  try {
    return (await Promise.race([ask(), gone])) ?? unavailable();
  } catch (error) {
    if (!isPanic(error)) throw error;
    fell();
    return unavailable();
  } finally {
    unanswered.delete(refuse);
  }
}

const unavailable = () =>
  Response.json(
    { type: "about:blank", title: "Service Unavailable", status: 503, detail: "something went wrong here; it has been logged", code: "unavailable" },
    { status: 503, headers: { "content-type": "application/problem+json", "retry-after": "1" } },
  );

function log(event, fields) {
  console.error(JSON.stringify({ level: "error", event, ...fields }));
}

export default class extends Worker {
  fetch(request) {
    return answered(() => super.fetch(request));
  }
}

export class Room {
  #state;
  #env;
  #inner;
  #life;
  /** Frames that no turn has taken yet, each as the call that brought it; and those of the turn that is under way. */
  #waiting = [];
  #turning = [];
  #held = new Set();
  #isAwake = false;
  /** The turn that is under way is committed: its frames go out. */
  #isSending = false;
  /** Its own turn panicked, not another object's; and how often since one went through. */
  #hasFallen = false;
  #falls = 0;
  /** A request was in that turn: whoever asked has got a 503. */
  #wasAsked = false;
  /** How many requests are under way that bring something out of the outbox. */
  #bringing = 0;
  /** The rooms into which sockets of this object are on their way, or out of which. */
  #moving = new Set();

  constructor(state, env) {
    this.#state = state;
    this.#env = env;
    state.guard = this;
    this.#begin();
  }

  fetch(request) {
    this.#renew();
    return answered(() => this.#inner.fetch(request));
  }

  webSocketMessage(socket, message) {
    this.#note("webSocketMessage", socket, message);
  }

  webSocketClose(socket, code, reason) {
    this.#note("webSocketClose", socket, code, reason);
  }

  webSocketError(socket) {
    this.#note("webSocketError", socket);
  }

  async alarm() {
    const isDone = this.#call("alarm");
    if (isDone === false) throw new Error("the turn failed");
    // workerd tries one that fails six times, then never again. The machine sets its own when it is there.
    if (isDone === undefined) await this.#state.storage.setAlarm(Date.now() + MAX_WAIT_MS);
  }

  // ── what Rust calls ──

  turn(run) {
    this.#turning = this.#waiting;
    this.#waiting = [];
    this.#wasAsked = false;
    try {
      const isDone = run();
      this.#turning = [];
      this.#isSending = false;
      this.#isAwake = true;
      this.#falls = 0;
      return isDone;
    } catch (error) {
      fell();
      this.#hasFallen = true;
      setTimeout(() => this.#renew(), Math.min(2 ** this.#falls++ - 1, MAX_WAIT_MS));
      throw error;
    }
  }

  transaction(body) {
    const result = this.#state.storage.transactionSync(body);
    this.#turning = [];
    this.#isSending = true;
    return result;
  }

  asked() {
    this.#wasAsked = true;
  }

  brings(more) {
    this.#bringing += more;
  }

  moves(room, underWay) {
    if (underWay) this.#moving.add(room);
    else this.#moving.delete(room);
  }

  takeMoving() {
    const rooms = [...this.#moving];
    this.#moving.clear();
    return rooms;
  }

  later(method, ms) {
    return setTimeout(() => this.#call(method), ms);
  }

  holds(socket) {
    this.#held.add(socket);
    socket.addEventListener("close", () => this.#held.delete(socket));
  }

  // ── what happens to it ──

  #begin() {
    this.#inner = new Inner(this.#state, this.#env);
    this.#life = instance.instanceId;
  }

  #note(...call) {
    this.#renew();
    this.#waiting.push(call);
    this.#call(...call);
  }

  /** Calls into the WASM; `undefined` where that ended in a panic. */
  #call(method, ...args) {
    this.#renew();
    try {
      return this.#inner[method](...args) ?? null;
    } catch {
      fell();
      return undefined;
    }
  }

  /** After a panic, whosever it was: another instance, and what was not committed once more. */
  #renew() {
    if (!instance.criticalError && this.#life === instance.instanceId) return;
    const [suspects, waiting] = [this.#turning, this.#waiting];
    const isToBlame = this.#hasFallen && !this.#wasAsked && suspects.length === 0;
    const wasSending = this.#isSending;
    const wasInterrupted = this.#bringing > 0 || this.#moving.size > 0;
    this.#turning = [];
    this.#waiting = [];
    this.#isSending = this.#hasFallen = false;
    this.#bringing = 0;
    this.#begin();
    for (const socket of this.#held) socket.close(1012, "service restart");
    this.#held.clear();
    // Who may have missed a frame comes back for what was committed, who waits for an answer for what became of it.
    for (const socket of this.#state.getWebSockets()) {
      if (wasSending || socket.dialtoneAwaits) socket.close(4010, "server restarting");
    }
    if (isToBlame) this.#call("fell");
    if (wasInterrupted) this.#call("interrupted");
    if (suspects.length === 1) this.#passOver(suspects[0]);
    else for (const call of suspects) this.#alone(call);
    for (const call of waiting) this.#note(...call);
    // What its memory alone knew to be due.
    if (this.#isAwake) this.#call("timer");
  }

  #alone(call) {
    this.#note(...call);
    this.#call("turn");
  }

  #passOver([method, socket, message]) {
    log("poisoned", { room: this.#state.id.name, by: method });
    if (method !== "webSocketMessage" || socket.readyState !== WebSocket.OPEN) return;
    socket.poisons = (socket.poisons ?? 0) + 1;
    const isTold = socket.poisons < MAX_POISONS && this.#call("refuse", socket, message) !== undefined;
    if (!isTold) socket.close(4010, "server restarting");
  }
}
