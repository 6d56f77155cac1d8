// One room over a plain WebSocket (CONTRACT.md, "Plain WebSocket"): joins, keeps alive, comes back, resumes.
// Owns the socket, the position in the room's log and what is not yet acknowledged. Knows nothing of the page;
// it tells what happens through the callbacks it is given:
//
//   state({ name, detail, retryAt })   name: connecting | connected | reconnecting | offline | expired | refused
//   joined({ userId })                 each time the server has let us in
//   reset()                            history is about to be loaded anew: forget what is shown
//   event(frame)                       in the room's order, each offset once
//   settled({ recovered, missed, first, problem })   what was missed, or the history, has all been handed over
//   ack({ ack, offset, error })        the answer to a send()
//   error({ code, message })           a refusal that names no message

const PROTOCOL = 'dialtone.v1';
const PING_INTERVAL_MS = 25_000;
const PONG_TIMEOUT_MS = 10_000;
const CONNECT_TIMEOUT_MS = 15_000;
const HTTP_TIMEOUT_MS = 15_000;
const BACKOFF_BASE_MS = 1_000;
const BACKOFF_MAX_MS = 30_000;
// A connection that lived shorter than this does not reset the backoff: a server that lets us in and throws us out
// again would otherwise be hammered.
const STABLE_AFTER_MS = 10_000;
const HISTORY_LIMIT = 50;
// Half of the server's RATE_BURST, so that a reconnect can send the whole queue without being refused.
const UNACKED_MAX = 50;

const CLOSE_REASONS = {
  1008: 'closed by policy',
  1009: 'a message was too big',
  4003: 'removed from the room',
  4008: 'this page read too slowly',
  4009: 'replaced by another connection',
  4010: 'server restarting',
  4501: 'token revoked',
  4503: 'forbidden',
};

/** The claims of a JWT, unverified (only the server can do that); `{}` where it isn't one. */
export function claimsOf(token) {
  try {
    const base64 = token.split('.')[1].replaceAll('-', '+').replaceAll('_', '/');
    const bytes = Uint8Array.from(atob(base64), (char) => char.charCodeAt(0));
    return JSON.parse(new TextDecoder().decode(bytes)) ?? {};
  } catch {
    return {};
  }
}

/** Full jitter: clients that were cut off together must not come back together. */
function backoffMs(attempt) {
  return Math.random() * Math.min(BACKOFF_MAX_MS, BACKOFF_BASE_MS * 2 ** attempt);
}

export class RoomConnection {
  #room;
  #token;
  #on;
  #socket = null;
  #ready = false; // the server has said `connected`
  #entered = false; // it has at least once
  #epoch = null; // null until there is a position to resume from
  #offset = 0;
  #ackedAhead = new Set(); // own offsets beyond #offset: what lies between is still to come
  #held = null; // events that wait for the history; null when none is loading
  #missed = null; // how many were replayed so far; null when not resuming
  #unacked = new Map(); // id -> frame text, in sending order
  #attempt = 0;
  #connectedAt = 0;
  #timers = {};

  constructor({ room, token, on }) {
    this.#room = room;
    this.#token = token;
    this.#on = on;
  }

  /** Joins, or with a new token goes on where an expired or refused one stopped. */
  connect(token = this.#token) {
    this.#token = token;
    this.#attempt = 0;
    this.#open();
  }

  leave() {
    this.#unacked.clear();
    this.#stop('offline');
  }

  /** Sends now or once connected, until acknowledged; false if too many wait already. */
  send(id, event, data) {
    if (this.#unacked.size >= UNACKED_MAX) return false;
    const text = JSON.stringify({ event, data, id });
    this.#unacked.set(id, text);
    if (this.#ready) this.#socket.send(text);
    return true;
  }

  /** Sends now or never: stale typing helps nobody. */
  sendEphemeral(event, data) {
    if (this.#ready) this.#socket.send(JSON.stringify({ event, data }));
  }

  /** For when the network or the tab came back: no need to sit out the countdown. */
  retryNow() {
    if (this.#timers.retry) this.#open();
    else this.check();
  }

  /** Finds out within PONG_TIMEOUT_MS whether the connection still lives. */
  check() {
    if (!this.#ready) return;
    this.#socket.send('ping');
    this.#timers.pong ??= setTimeout(() => this.#abandon(), PONG_TIMEOUT_MS);
  }

  // --- the socket's life ---

  #open() {
    this.#clearTimers();
    this.#announce(this.#entered || this.#attempt > 0 ? 'reconnecting' : 'connecting');
    let socket;
    try {
      // The token travels as a subprotocol: URLs end up in logs.
      socket = new WebSocket(this.#url(), [PROTOCOL, `bearer.${this.#token}`]);
    } catch {
      this.#stop('refused', 'what was pasted cannot be a token');
      return;
    }
    this.#socket = socket;
    socket.onmessage = ({ data }) => this.#received(socket, data);
    socket.onclose = ({ code, reason }) => this.#closed(code, reason);
    this.#timers.connect = setTimeout(() => this.#abandon(), CONNECT_TIMEOUT_MS);
  }

  #url() {
    const url = new URL(this.#path(''), location.href);
    url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
    if (this.#epoch !== null) url.search = `since=${encodeURIComponent(this.#epoch)}:${this.#offset}`;
    return url.href;
  }

  #path(rest) {
    return `/rooms/${encodeURIComponent(this.#room)}${rest}`;
  }

  /** Gives up on a silent socket. Its own close event may take minutes, so it is not waited for. */
  #abandon() {
    this.#detach();
    this.#closed(1006, '');
  }

  #detach() {
    if (!this.#socket) return;
    this.#socket.onmessage = null;
    this.#socket.onclose = null;
    this.#socket.close();
    this.#socket = null;
  }

  async #closed(code, reason) {
    const wasReady = this.#ready;
    const lived = wasReady && Date.now() - this.#connectedAt >= STABLE_AFTER_MS;
    this.#clearTimers();
    this.#socket = null;
    this.#ready = false;
    this.#held = null;
    this.#missed = null;
    if (lived) this.#attempt = 0;

    const why = reason || CLOSE_REASONS[code] || '';
    if (code === 4001) return this.#stop('expired');
    if (code >= 4500 && code <= 4999) return this.#stop('refused', `${why || 'closed for good'} (${code})`);
    if (wasReady) return this.#retryLater(why);

    // A refused handshake shows as 1006, like a cut cable. Ask over HTTP which it was; retry unless it is final.
    const attempt = (this.#timers.probe = Symbol('probe'));
    const refusal = await this.#probe();
    if (this.#timers.probe !== attempt) return; // left or joined again meanwhile
    if (refusal.final) this.#stop(refusal.final, refusal.detail);
    else this.#retryLater(refusal.detail, refusal.retryAfterMs);
  }

  #retryLater(why = '', atLeastMs = 0) {
    this.#clearTimers();
    const delay = Math.max(atLeastMs, backoffMs(this.#attempt));
    this.#attempt += 1;
    this.#timers.retry = setTimeout(() => this.#open(), delay);
    // Tried in both cases: onLine is false on a machine without network too, where a local server still answers.
    const detail = navigator.onLine ? why : 'no network';
    this.#announce(navigator.onLine ? 'reconnecting' : 'offline', detail, Date.now() + delay);
  }

  #stop(state, detail = '') {
    this.#clearTimers();
    this.#detach();
    this.#ready = false;
    this.#held = null;
    this.#missed = null;
    this.#announce(state, detail);
  }

  #announce(name, detail = '', retryAt = null) {
    this.#on.state({ name, detail, retryAt });
  }

  #clearTimers() {
    const { retry, connect, pong, ping } = this.#timers;
    for (const timer of [retry, connect, pong]) clearTimeout(timer);
    clearInterval(ping);
    this.#timers = {};
  }

  // --- what arrives ---

  #received(socket, text) {
    // Any frame shows that the connection lives; a pong may queue behind a long replay.
    clearTimeout(this.#timers.pong);
    delete this.#timers.pong;
    if (text === 'pong') return;

    let frame;
    try {
      frame = JSON.parse(text);
    } catch {
      console.warn('not a JSON frame, ignored');
      return;
    }
    if (typeof frame !== 'object' || frame === null) return;
    if ('ack' in frame) this.#acknowledged(frame);
    else if (frame.error) this.#on.error(frame.error);
    else if (frame.event === 'connected') this.#joined(socket, frame.data);
    else this.#deliver(frame);
  }

  #joined(socket, { userId, epoch, offset, recovered }) {
    clearTimeout(this.#timers.connect);
    this.#timers.ping = setInterval(() => this.check(), PING_INTERVAL_MS);
    this.#ready = true;
    this.#connectedAt = Date.now();
    const first = !this.#entered;
    this.#entered = true;
    this.#on.joined({ userId });
    this.#announce('connected');
    if (recovered && this.#epoch !== null) this.#missed = 0;
    else this.#loadHistory(socket, { epoch, offset, first });
    // The same ids again: the server takes each once, however often it is sent.
    for (const waiting of this.#unacked.values()) socket.send(waiting);
  }

  /** Connect first, hold what arrives, then read the history up to it: no gap, and offsets sort out the overlap. */
  async #loadHistory(socket, { epoch, offset, first }) {
    this.#epoch = null;
    this.#offset = 0;
    this.#ackedAhead.clear();
    this.#held = [];
    this.#on.reset();
    let history = { offset, messages: [] };
    let problem = null;
    try {
      const response = await this.#get(`/history?limit=${HISTORY_LIMIT}`);
      if (!response.ok) throw new Error((await problemOf(response)).text);
      history = await response.json();
    } catch (error) {
      problem = error.message;
    }
    if (socket !== this.#socket) return;
    const held = this.#held;
    this.#held = null;
    this.#epoch = epoch;
    for (const message of history.messages) this.#deliver(message);
    this.#advance(history.offset);
    for (const frame of held) this.#deliver(frame);
    this.#on.settled({ recovered: false, missed: 0, first, problem });
  }

  #deliver(frame) {
    if (frame.event === 'presence_state' && this.#missed !== null) this.#replayed();
    const isPresence = frame.event === 'presence_state' || frame.event === 'presence_diff';
    if (this.#held && !isPresence) {
      this.#held.push(frame);
      return;
    }
    if (frame.offset !== undefined) {
      const seen = frame.offset <= this.#offset || this.#ackedAhead.has(frame.offset);
      this.#advance(frame.offset);
      if (seen) return;
      if (this.#missed !== null) this.#missed += 1;
    }
    this.#on.event(frame);
  }

  /** The server sends presence_state after the last of what was missed. */
  #replayed() {
    const missed = this.#missed;
    this.#missed = null;
    this.#on.settled({ recovered: true, missed, first: false, problem: null });
  }

  #acknowledged(frame) {
    this.#unacked.delete(frame.ack);
    if (frame.offset > this.#offset) {
      // An ack may overtake events with lower offsets: those must stay ahead of the position, or a reconnect at this
      // moment would skip them.
      this.#ackedAhead.add(frame.offset);
      if (!this.#held) this.#advance(this.#offset);
    }
    this.#on.ack(frame);
  }

  #advance(offset) {
    this.#offset = Math.max(this.#offset, offset);
    while (this.#ackedAhead.has(this.#offset + 1)) this.#offset += 1;
    for (const acked of this.#ackedAhead) if (acked <= this.#offset) this.#ackedAhead.delete(acked);
  }

  // --- HTTP ---

  #get(rest) {
    return fetch(this.#path(rest), {
      headers: { Authorization: `Bearer ${this.#token}` },
      cache: 'no-store',
      signal: AbortSignal.timeout(HTTP_TIMEOUT_MS),
    });
  }

  /** Why the handshake failed: `{ final, detail }` where trying again is pointless, else `{ retryAfterMs, detail }`. */
  async #probe() {
    let response;
    try {
      response = await this.#get('/presence');
    } catch {
      return { detail: 'no answer from the server' };
    }
    if (response.ok) return { detail: '' };
    const problem = await problemOf(response);
    const outlived = claimsOf(this.#token).exp * 1000 <= Date.now();
    if (problem.code === 'token_expired' || (response.status === 401 && outlived)) return { final: 'expired' };
    const transient = response.status === 429 || (response.status >= 500 && problem.code !== 'not_configured');
    if (!transient) return { final: 'refused', detail: problem.text };
    return { detail: problem.text, retryAfterMs: (Number(response.headers.get('Retry-After')) || 0) * 1000 };
  }
}

/** An RFC 9457 body as `{ code, text }`; the bare status where a proxy answered instead. */
async function problemOf(response) {
  const body = await response.json().catch(() => ({}));
  const detail = body?.detail ?? body?.title ?? `HTTP ${response.status}`;
  return { code: body?.code, text: body?.code ? `${detail} (${body.code})` : String(detail) };
}
