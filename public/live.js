// The live connection: the stock Socket.IO client, one connection for the namespaces `/`, `/chat`, `/jobs` and
// `/notifications`. It tells what is heard and how the connection stands; it knows nothing of the page.

import { Manager } from '/vendor/socket.io.esm.min.js';

const NAMESPACES = ['/', '/chat', '/jobs', '/notifications'];
const BACKOFF_BASE_MS = 1_000;
const BACKOFF_MAX_MS = 30_000;
// A connection that lived shorter than this does not reset the backoff: a server that lets us in and throws us out
// again would otherwise be hammered.
const STABLE_AFTER_MS = 10_000;
const CONNECT_TIMEOUT_MS = 20_000;
const ACK_TIMEOUT_MS = 10_000;
// The other namespaces come back right after `/`.
const CHATS_TOO_MS = 300;
// The server allows 50 events a second and 100 at once: joins of many rooms leave space for people.
const ASKED_AT_ONCE = 20;
const PAUSE_MS = 500;

/** Full jitter: clients that were cut off together must not come back together. */
const backoffMs = (attempt) => Math.random() * Math.min(BACKOFF_MAX_MS, BACKOFF_BASE_MS * 2 ** attempt);

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/**
 * How the connection stands. `name`: `offline` (also without a network), `connecting`, `connected`, `reconnecting`,
 * `expired`. `retryAt`: when it is tried next, ms, or null. `polling`: no WebSocket, which is slower.
 * @typedef {{ name: string, detail: string, retryAt: number | null, polling: boolean }} Standing
 */

/**
 * @param {object} on
 * @param {(standing: Standing) => void} on.standing
 * @param {(back: { namespace: string, recovered: boolean }) => void} on.connected  a namespace is there
 * @param {(away: { ms: number, recovered: boolean, missed: number }) => void} on.back  `/` is, after it was away
 * @param {(namespace: string, event: string, data: any) => void} on.event
 */
export function createLive(on) {
  let manager = null;
  let sockets = new Map();
  let token = null;
  let standing = { name: 'offline', detail: '', retryAt: null, polling: false };
  let attempt = 0;
  let wasConnected = false;
  let connectedAt = 0;
  let lostAt = 0;
  let ended = false; // by the server, for good
  let missed = null; // how many events were replayed so far; null when nothing is
  let timers = {};

  function stand(name, detail = '', retryAt = null) {
    standing = { name, detail, retryAt, polling: name === 'connected' && standing.polling && standing.name === 'connected' };
    on.standing(standing);
  }

  // ── Connecting ──

  function start(newToken) {
    stop();
    token = newToken;
    // Recovery is asked for: a request of the page's own origin does not say that it is a browser's.
    manager = new Manager(location.origin, { reconnection: false, autoConnect: false, timeout: CONNECT_TIMEOUT_MS, query: { recovery: 1 } });
    const own = manager;
    manager.on('error', () => own === manager && lost('no answer from the server'));
    manager.on('open', watchTransport);
    // A connection that ends before `/` is there: no socket says so.
    manager.on('close', () => own === manager && lost());
    for (const namespace of NAMESPACES) sockets.set(namespace, makeSocket(namespace));
    attempt = 0;
    wasConnected = false;
    connect();
  }

  function makeSocket(namespace) {
    const socket = manager.socket(namespace, { auth: (give) => give({ token }) });
    socket.on('connect', () => connected(namespace, socket));
    socket.on('connect_error', (error) => refused(namespace, error));
    socket.on('disconnect', (reason) => namespace === '/' && disconnected(reason));
    // Those who know recovery get the session's offset as one more argument: nothing here needs it.
    socket.onAny((event, data) => heard(namespace, event, data));
    return socket;
  }

  function connect() {
    clearTimers();
    ended = false;
    stand(wasConnected || attempt > 0 ? 'reconnecting' : 'connecting');
    for (const socket of sockets.values()) socket.connect();
  }

  function connected(namespace, socket) {
    if (namespace === '/') {
      connectedAt = Date.now();
      stand('connected');
      if (wasConnected) countMissed(socket);
      wasConnected = true;
    }
    on.connected({ namespace, recovered: socket.recovered });
  }

  /** What was missed comes right after the connection, in order: the answer to anything asked now comes after it. */
  function countMissed(socket) {
    const away = { ms: Date.now() - lostAt, recovered: socket.recovered };
    missed = 0;
    ask('/', 'test', 'caught up').then(() => sleep(CHATS_TOO_MS)).then(() => {
      if (missed !== null) on.back({ ...away, missed });
      missed = null;
    });
  }

  function refused(namespace, error) {
    const code = error.data?.code;
    if (code === 'token_expired' || code === 'unauthorized') expire(code === 'unauthorized' ? 'the server does not accept this token' : '');
    else if (namespace === '/') lost(code ? `${error.message} (${code})` : 'no answer from the server');
    else if (code) on.event(namespace, 'error', { code, message: error.message });
  }

  function disconnected(reason) {
    missed = null;
    lostAt = Date.now();
    if (standing.name === 'expired' || !manager) return;
    if (reason === 'io server disconnect') {
      clearTimers();
      ended = true;
      stand('offline', 'the server ended this session');
    } else {
      lost();
    }
  }

  /** The next try, in a while. */
  function lost(detail = '') {
    if (!manager || ended || standing.name === 'expired' || timers.retry) return;
    if (connectedAt && Date.now() - connectedAt >= STABLE_AFTER_MS) attempt = 0;
    connectedAt = 0;
    const wait = backoffMs(attempt);
    attempt += 1;
    clearTimers();
    timers.retry = setTimeout(connect, wait);
    // Tried without a network as well: onLine is false on a machine that has none, where a local server still answers.
    stand(navigator.onLine ? 'reconnecting' : 'offline', navigator.onLine ? detail : 'no network', Date.now() + wait);
  }

  function expire(detail) {
    clearTimers();
    stand('expired', detail);
    // Each by itself: closing the manager would leave them waiting for it.
    for (const socket of sockets.values()) socket.disconnect();
  }

  function reconnectNow() {
    if (!manager || standing.name === 'expired' || standing.name === 'connected') return;
    if (standing.retryAt !== null || standing.name === 'offline') connect();
  }

  function stop() {
    clearTimers();
    const last = sockets;
    manager = null;
    sockets = new Map();
    token = null;
    for (const socket of last.values()) socket.off().offAny().disconnect();
    stand('offline');
  }

  function clearTimers() {
    for (const timer of Object.values(timers)) clearTimeout(timer);
    timers = {};
  }

  /** Polling is how each connection begins: it is worth a word where it stays so. */
  function watchTransport() {
    const { engine } = manager;
    engine.on('upgrade', tellTransport);
    clearTimeout(timers.transport);
    timers.transport = setTimeout(tellTransport, 3_000);
  }

  function tellTransport() {
    if (standing.name !== 'connected') return;
    const polling = manager?.engine?.transport.name === 'polling';
    if (polling === standing.polling) return;
    standing = { ...standing, polling };
    on.standing(standing);
  }

  /** A network that is gone is not noticed by itself before the next heartbeat, 45 s at worst. */
  function cut() {
    manager?.engine?.close();
  }

  // ── Talking ──

  function heard(namespace, event, data) {
    if (event === 'test' || event === 'connected') {
      if (event === 'connected') on.event(namespace, event, data);
      return;
    }
    if (missed !== null && /message/.test(event) && event !== 'message_status' && event !== 'messages_read') missed += 1;
    if (event === 'error' && data?.code === 'token_expired') expire('');
    else on.event(namespace, event, data);
  }

  const isConnected = (namespace = '/') => sockets.get(namespace)?.connected === true;

  /** Sends now or never: typing that is late helps nobody. */
  function tell(namespace, event, data) {
    if (isConnected(namespace)) sockets.get(namespace).emit(event, data);
  }

  /** Sends now and gives the ack, `{ ok: false, error: { code: 'no_answer' } }` where there was none. */
  async function ask(namespace, event, data) {
    const noAnswer = { ok: false, error: { code: 'no_answer', message: 'The server gave no answer.' } };
    if (!isConnected(namespace)) return noAnswer;
    try {
      return (await sockets.get(namespace).timeout(ACK_TIMEOUT_MS).emitWithAck(event, data)) ?? noAnswer;
    } catch {
      return noAnswer;
    }
  }

  /** The same for many, at a pace that the server allows. */
  async function askAll(namespace, event, all) {
    const answers = [];
    for (let at = 0; at < all.length; at += ASKED_AT_ONCE) {
      if (at > 0) await sleep(PAUSE_MS);
      answers.push(...(await Promise.all(all.slice(at, at + ASKED_AT_ONCE).map((data) => ask(namespace, event, data)))));
    }
    return answers;
  }

  /** A new token of the same user, before the old one ends; false where the server would not have it. */
  async function refresh(newToken) {
    const { ok } = await ask('/', 'refresh', { token: newToken });
    if (ok) token = newToken;
    return ok;
  }

  addEventListener('online', reconnectNow);
  addEventListener('pageshow', reconnectNow);
  document.addEventListener('visibilitychange', () => document.hidden || reconnectNow());
  addEventListener('offline', () => (standing.name === 'connected' ? cut() : undefined));

  return { start, stop, reconnectNow, cut, tell, ask, askAll, refresh, isConnected };
}

/** The claims of a JWT, unverified (only the server can do that); `{}` where it is none. */
export function claimsOf(token) {
  try {
    const base64 = token.split('.')[1].replaceAll('-', '+').replaceAll('_', '/');
    const bytes = Uint8Array.from(atob(base64), (char) => char.charCodeAt(0));
    return JSON.parse(new TextDecoder().decode(bytes)) ?? {};
  } catch {
    return {};
  }
}
