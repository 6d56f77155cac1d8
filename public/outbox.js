// What was written and is not yet accepted: its ids, its order, its tries. Survives a reload in the tab's own storage;
// never holds a token. No DOM, no network: `deliver` is given to it.

/**
 * @typedef {object} Waiting  Something that was written.
 * @property {string} id      accepted once under it, however often it is sent
 * @property {string} room    `sms:{line}:{contact}`, `chat:{id}` or a relay room
 * @property {string} body
 * @property {string[]} [media]  addresses, for SMS
 * @property {number} at      when it was written, ms
 * @property {string} [problem]  why it was refused: it is not sent again by itself
 * @property {boolean} [sending]  on its way now
 */

/**
 * What became of a try: `accepted`; `refused` for good, with the reason in words; or to be tried `later` (no answer, no
 * connection, too busy), after `afterMs` or when `flush` is called next.
 * @typedef {{ accepted: true } | { refused: string } | { later: true, afterMs?: number }} Outcome
 */

/** A queue that long is no longer somebody's typing. */
const WAITING_MAX = 500;
const UNFORESEEN_MS = 5_000;

/**
 * @param {object} options
 * @param {(item: Waiting) => Promise<Outcome>} options.deliver
 * @param {() => boolean} options.mayDeliver  whether there is a connection
 * @param {() => void} options.changed
 * @param {Pick<Storage, 'getItem' | 'setItem' | 'removeItem'>} [options.storage]
 * @param {(run: () => void, ms: number) => void} [options.later]
 */
export function createOutbox({ deliver, mayDeliver, changed, storage, later = setTimeout }) {
  /** @type {Waiting[]} in the order in which they were written */
  let items = [];
  let key = null;
  const busy = new Set(); // rooms with a try under way: a room's messages go one after the other

  function save() {
    if (!key) return;
    try {
      const kept = items.map(({ sending: _, ...item }) => item);
      if (kept.length > 0) storage?.setItem(key, JSON.stringify(kept));
      else storage?.removeItem(key);
    } catch {
      // Full or forbidden: it still is in memory.
    }
  }

  function update() {
    save();
    changed();
  }

  /** Whose outbox it is: what one user wrote must not go out as another. */
  function openFor(user) {
    const next = `dialtone.outbox.${user}`;
    if (next === key) return;
    key = next;
    items = read(storage, key);
    changed();
  }

  /** @param {{ id: string, room: string, body: string, media?: string[] }} written */
  function add(written) {
    if (items.length >= WAITING_MAX) return false;
    items = [...items, { ...written, at: Date.now() }];
    update();
    flush();
    return true;
  }

  function remove(id) {
    items = items.filter((item) => item.id !== id);
    update();
  }

  /** One that was refused, again: under its own id, as nothing was stored under it. */
  function retry(id) {
    items = items.map((item) => (item.id === id ? { ...item, problem: undefined } : item));
    update();
    flush();
  }

  function close() {
    items = [];
    key = null;
    changed();
  }

  /** Sends what waits: at once for each room, in order within it. */
  function flush() {
    for (const room of new Set(items.map((item) => item.room))) sendNext(room);
  }

  async function sendNext(room) {
    if (busy.has(room) || !mayDeliver()) return;
    const item = items.find((other) => other.room === room && !other.problem);
    if (!item) return;
    const owner = key;
    busy.add(room);
    mark(item.id, { sending: true });
    const outcome = await deliver(item).catch(() => ({ later: true, afterMs: UNFORESEEN_MS }));
    busy.delete(room);
    if (owner !== key) return;
    if (outcome.accepted) {
      remove(item.id);
      sendNext(room);
    } else if (outcome.refused) {
      mark(item.id, { sending: false, problem: outcome.refused });
      sendNext(room);
    } else {
      mark(item.id, { sending: false });
      if (outcome.afterMs) later(() => sendNext(room), outcome.afterMs);
    }
  }

  function mark(id, fields) {
    items = items.map((item) => (item.id === id ? { ...item, ...fields } : item));
    update();
  }

  return { openFor, add, remove, retry, flush, close, items: () => items, of: (room) => items.filter((item) => item.room === room) };
}

function read(storage, key) {
  try {
    const items = JSON.parse(storage?.getItem(key) ?? '[]');
    return Array.isArray(items) ? items.filter(isWaiting) : [];
  } catch {
    return [];
  }
}

const isWaiting = (item) => ['id', 'room', 'body'].every((name) => typeof item?.[name] === 'string') && Number.isFinite(item.at);
