// What the page knows, and every change of it. No DOM, no network, no clock of its own: testable in Node.
// Objects in it are replaced, not changed, so that a view sees by identity what is new; Maps and arrays of a thread are
// changed in place, for 10,000 of something are not copied for one.

import { bare, contactOf, messageOf, placeOf, smsRoom, statusFields, statusOf } from './messages.js';

export { messageOf, placeOf };

/**
 * @typedef {import('./messages.js').Message} Message
 *
 * @typedef {object} Conversation  The server's `Inbox.ConversationUpdated`, and:
 * @property {string} room     `sms:{line}:{contact}`
 * @property {string} number   the contact without `whatsapp:`
 * @property {number} at       `updatedAt` in ms
 * @property {string} haystack  what a search looks in
 *
 * @typedef {object} Thread
 * @property {string} room
 * @property {Message[]} messages  by offset; those that have none yet last, as they came
 * @property {Map<string, Message>} byKey
 * @property {string | null} epoch
 * @property {number} first    lowest offset that was loaded, 0 for none
 * @property {number} last     highest offset that was loaded
 * @property {boolean} hasMore  there is an older page
 * @property {boolean} loaded
 * @property {'' | 'newest' | 'older'} loading
 * @property {string} problem  why it could not be loaded
 * @property {number} version  rises with each change
 *
 * @typedef {object} Room  Who is there now.
 * @property {Map<string, { userId: string | number, name?: string }>} people
 * @property {Set<string>} typing
 * @property {Map<string, string>} readBy  user -> key of the last message that they have read
 */

const THREADS_KEPT = 30;
const NOTIFICATIONS_KEPT = 200;

/** @param {() => void} changed  called after every change */
export function createStore(changed) {
  const state = {
    /** `subject`: what the token says; `id`: what the server takes. @type {{ id: string | number, subject: string | number, name?: string, role?: string } | null} */
    me: null,
    /** When one's token ends, ms. */
    expiresAt: null,
    /** See live.js. */
    connection: { name: 'offline', detail: '', retryAt: null },
    /** `isNamed`: it was opened by name. @type {Map<string, { number: string, unread: number, loaded: boolean, problem: string, isNamed?: boolean }>} */
    lines: new Map(),
    linesLoaded: false,
    linesProblem: '',
    /** @type {Map<string, Conversation>} by room */
    conversations: new Map(),
    /** @type {Map<string, Thread>} the least recently opened first */
    threads: new Map(),
    /** @type {Map<string, Room>} */
    rooms: new Map(),
    /** @type {Map<string, string>} names that were heard of: userId -> name */
    names: new Map(),
    /** Chats and relay rooms that were heard of: room -> { room, kind, id, last, at } */
    chats: new Map(),
    /** ticket id -> { id, title, status, at, unread } */
    tickets: new Map(),
    /** job id -> the server's JobStatusUpdate, or { jobId } */
    jobs: new Map(),
    /** newest first, each `{…, read}` */
    notifications: [],
    /** The room that is open, or null. */
    open: null,
    /** Why the open room cannot be joined. */
    refusal: '',
    view: 'inbox',
    line: null,
    filter: 'all',
    search: '',
    /** Rises with each change of the conversations, for lists that are made of them. */
    conversationsVersion: 0,
  };
  let lineUnread = new Map(); // of the conversations that were loaded

  const isMe = (userId) => state.me !== null && String(userId) === String(state.me.id);

  // ── Lines and conversations ──

  function setLines(lines) {
    const next = new Map();
    for (const line of lines) next.set(line.number, { loaded: false, problem: '', ...state.lines.get(line.number), ...line });
    for (const [room, conversation] of state.conversations) {
      if (!next.has(conversation.line)) forget(room);
    }
    state.lines = next;
    if (state.line && !next.has(state.line)) state.line = null;
    changed();
  }

  function forget(room) {
    countUnread(state.conversations.get(room), -1);
    state.conversations.delete(room);
    state.conversationsVersion += 1;
  }

  function setLine(number, fields) {
    const line = state.lines.get(number);
    if (!line) return;
    state.lines.set(number, { ...line, ...fields });
    changed();
  }

  /** What the whole list says replaces what was known, but not what was heard since. */
  function putConversations(line, items) {
    for (const item of items) put({ ...item, line });
    changed();
  }

  function putConversation(item) {
    put(item);
    changed();
  }

  function put(item) {
    const room = smsRoom(item.line, item.contact);
    const known = state.conversations.get(room);
    const at = Date.parse(item.updatedAt) || 0;
    if (known && known.at > at) return;
    const number = bare(item.contact);
    const haystack = [number, item.profileName, bare(item.line), item.lastMessage?.body].filter(Boolean).join(' ').toLowerCase();
    countUnread(known, -1);
    const conversation = { ...item, room, number, at, haystack };
    countUnread(conversation, 1);
    state.conversations.set(room, conversation);
    state.conversationsVersion += 1;
  }

  function countUnread(conversation, sign) {
    if (!conversation) return;
    lineUnread.set(conversation.line, (lineUnread.get(conversation.line) ?? 0) + sign * conversation.unread);
  }

  /** Of a line, or of all: the server's count until all of its conversations are here. */
  function unread(number) {
    if (number === undefined) return [...state.lines.keys()].reduce((sum, line) => sum + unread(line), 0);
    const line = state.lines.get(number);
    const counted = lineUnread.get(number) ?? 0;
    return line && !line.loaded ? Math.max(line.unread, counted) : counted;
  }

  function assigned({ line, contact, userId }) {
    change(smsRoom(line, contact), { assignedTo: userId });
  }

  /** Said at once; the server's own word follows. */
  function read(room) {
    if (state.conversations.get(room)?.unread) change(room, { unread: 0 });
  }

  function change(room, fields) {
    const known = state.conversations.get(room);
    if (!known) return;
    countUnread(known, -1);
    const next = { ...known, ...fields };
    countUnread(next, 1);
    state.conversations.set(room, next);
    state.conversationsVersion += 1;
    changed();
  }

  let listed = { of: '', items: [] };
  /** The conversations that are asked for, newest first. The same array until something changed. */
  function listConversations() {
    const of = [state.conversationsVersion, state.line, state.filter, state.search, state.me?.id].join('\n');
    if (listed.of === of) return listed.items;
    const words = state.search.toLowerCase().split(/\s+/).filter(Boolean);
    const items = [];
    for (const item of state.conversations.values()) {
      if (state.line && item.line !== state.line) continue;
      if (state.filter === 'unread' && item.unread === 0 && item.room !== state.open) continue;
      if (state.filter === 'mine' && (item.assignedTo === null || !isMe(item.assignedTo))) continue;
      if (words.every((word) => item.haystack.includes(word))) items.push(item);
    }
    items.sort((a, b) => b.at - a.at);
    listed = { of, items };
    return items;
  }

  // ── Threads ──

  /** @returns {Thread} */
  function thread(room) {
    let found = state.threads.get(room);
    if (found) return found;
    found = { room, messages: [], byKey: new Map(), epoch: null, first: 0, last: 0, hasMore: false, loaded: false, loading: '', problem: '', version: 0 };
    state.threads.set(room, found);
    if (state.threads.size > THREADS_KEPT) {
      const oldest = [...state.threads.keys()].find((name) => name !== state.open && name !== room);
      state.threads.delete(oldest);
    }
    return found;
  }

  function setThread(room, fields) {
    const found = thread(room);
    Object.assign(found, fields);
    found.version += 1;
    changed();
  }

  /**
   * A page of the history. Another epoch than before means that the room has begun anew: what was shown is gone, and the
   * thread is not `loaded` until its newest page is there.
   * @param {{ epoch: string, offset: number, messages: object[] }} page
   * @param {'newest' | 'older' | 'newer'} which
   */
  function putPage(room, page, which) {
    const found = thread(room);
    if (found.epoch !== null && found.epoch !== page.epoch) {
      Object.assign(found, { messages: [], byKey: new Map(), epoch: null, first: 0, last: 0, loaded: false });
      // It was asked for by offsets of what is gone.
      if (which !== 'newest') return setThread(room, { loading: '' });
    }
    const offsets = page.messages.map(({ offset }) => offset);
    const place = placeOf(room);
    for (const frame of page.messages) merge(found, messageOf(place, frame, isMe));
    found.messages.sort(inOrder);
    if (offsets.length > 0) {
      found.first = found.first ? Math.min(found.first, offsets[0]) : offsets[0];
      found.last = Math.max(found.last, offsets.at(-1));
    }
    if (which !== 'newer') found.hasMore = offsets.length > 0 && found.first > 1;
    found.epoch = page.epoch;
    setThread(room, { loaded: true, loading: '', problem: '' });
  }

  function merge(found, message) {
    if (!message) return;
    const known = found.byKey.get(message.key);
    const next = known ? { ...known, ...message, ...statusOf(known, message) } : message;
    found.byKey.set(next.key, next);
    if (!known) found.messages.push(next);
    else found.messages[found.messages.lastIndexOf(known)] = next;
  }

  /** A message that was heard, or one's own that was accepted. */
  function putMessage(room, message) {
    const found = state.threads.get(room);
    if (!found || !message) return;
    merge(found, message);
    found.messages.sort(inOrder);
    setThread(room, {});
  }

  /** `new_message` and `message_updated` of `/`: gives the room, null for what is no line's. */
  function heardSms(event, data) {
    const number = event === 'new_message' ? data?.from : data?.to;
    if (typeof data?.phoneNumberId !== 'string' || typeof number !== 'string') return null;
    const room = smsRoom(data.phoneNumberId, contactOf(data.phoneNumberId, number));
    const place = placeOf(room);
    if (!place) return null;
    putMessage(room, messageOf(place, { event, data, at: data.timestamp }, isMe));
    return room;
  }

  function heardStatus(data) {
    const room = smsRoom(data.phoneNumberId, contactOf(data.phoneNumberId, data.to));
    const known = state.threads.get(room)?.byKey.get(`out:${data.id}`);
    if (known) putMessage(room, { ...known, ...statusFields(data) });
  }

  /** One's own message was taken: it is shown even if the event about it is late. */
  function accepted({ id, room, body, media = [], at }, { status, offset, messageId }) {
    const { kind } = placeOf(room);
    const message = { direction: 'out', event: 'message', body, author: state.me.id, at, offset: null, id, media: media.map((url) => ({ url })) };
    if (kind === 'sms') {
      if (!state.threads.get(room)?.byKey.has(`out:${id}`)) putMessage(room, { ...message, key: `out:${id}`, status });
    } else {
      // A chat's others have no offset while they are new, so that one's own must have none.
      putMessage(room, kind === 'chat' ? { ...message, key: `chat:${messageId}` } : { ...message, key: `at:${offset}`, offset });
    }
  }

  // ── Who is where ──

  /** @returns {Room} */
  function inRoom(room) {
    let found = state.rooms.get(room);
    if (!found) state.rooms.set(room, (found = { people: new Map(), typing: new Set(), readBy: new Map() }));
    return found;
  }

  function presence({ room, users, joins = [], leaves = [] }) {
    const found = inRoom(room);
    if (users) found.people.clear();
    for (const { userId } of leaves) {
      found.people.delete(String(userId));
      found.typing.delete(String(userId));
    }
    for (const person of users ?? joins) {
      found.people.set(String(person.userId), person);
      if (person.name) state.names.set(String(person.userId), person.name);
    }
    changed();
  }

  function typing({ room, userId, isTyping }) {
    if (isMe(userId)) return;
    const found = inRoom(room);
    if (isTyping) found.typing.add(String(userId));
    else found.typing.delete(String(userId));
    changed();
  }

  /** Who is there is not known without a connection: a list that is old would lie. */
  function forgetPresence(room) {
    for (const [name, found] of state.rooms) {
      if (room !== undefined && room !== name) continue;
      found.people.clear();
      found.typing.clear();
    }
    changed();
  }

  function readBy({ room, userId }) {
    const last = state.threads.get(room)?.messages.findLast((message) => message.direction !== 'note');
    if (!last || isMe(userId)) return;
    inRoom(room).readBy.set(String(userId), last.key);
    setThread(room, {});
  }

  const nameOf = (userId) => (isMe(userId) ? 'You' : (state.names.get(String(userId)) ?? String(userId)));

  /** Everybody else who is in a room. */
  function others(room) {
    return [...(state.rooms.get(room)?.people.values() ?? [])].filter(({ userId }) => !isMe(userId));
  }

  /** Everybody who is known to work here: for the choice of who deals with a conversation. */
  function colleagues() {
    const ids = new Map();
    const add = (userId) => userId !== null && !isMe(userId) && ids.set(String(userId), userId);
    for (const { people } of state.rooms.values()) for (const { userId } of people.values()) add(userId);
    for (const { assignedTo } of state.conversations.values()) add(assignedTo);
    return [...ids.values()].sort((a, b) => nameOf(a).localeCompare(nameOf(b)));
  }

  const isOnline = (userId) => [...state.rooms.values()].some(({ people }) => people.has(String(userId)));

  // ── Chats, tickets, jobs, notifications ──

  function knowRoom(room, fields = {}) {
    const place = placeOf(room);
    if (!place) return;
    if (place.kind === 'chat' || place.kind === 'relay') {
      state.chats.set(room, { room, kind: place.kind, id: place.id, last: '', at: 0, ...state.chats.get(room), ...fields });
    } else if (place.kind === 'ticket') {
      putTicket({ id: place.id });
    } else if (place.kind === 'job' && !state.jobs.has(place.id)) {
      state.jobs.set(place.id, { jobId: place.id });
    }
    changed();
  }

  /** A ticket is the backend's own: what is shown is what is usual. */
  function putTicket(ticket, at = 0) {
    const id = ticket?.id ?? ticket?.ticketId;
    if (!isText(id)) return null;
    const known = state.tickets.get(String(id));
    const room = `ticket:${id}`;
    if (!placeOf(room)) return null;
    const title = firstText(ticket.title, ticket.subject, ticket.name, known?.title);
    const status = firstText(ticket.status, known?.status);
    const isNews = at > 0 && room !== state.open;
    state.tickets.set(String(id), { id: String(id), room, title, status, at: at || known?.at || 0, unread: isNews || (known?.unread ?? false) });
    changed();
    return room;
  }

  function putJob(update) {
    const known = state.jobs.get(update.jobId);
    // What comes late is older than what is shown.
    if (known?.timestamp > update.timestamp) return;
    state.jobs.set(update.jobId, update);
    changed();
  }

  function putNotification(notification) {
    const rest = state.notifications.filter(({ id }) => id !== notification.id);
    state.notifications = [{ ...notification, read: notification.read ?? false }, ...rest].slice(0, NOTIFICATIONS_KEPT);
    if (notification.chatId !== undefined) {
      knowRoom(`chat:${notification.chatId}`, { last: notification.message, at: Date.parse(notification.timestamp) || 0 });
    }
    changed();
  }

  function readNotifications(isRead = () => true) {
    state.notifications = state.notifications.map((one) => (isRead(one) ? { ...one, read: true } : one));
    changed();
  }

  const unreadNotifications = () => state.notifications.filter(({ read: isRead }) => !isRead);
  const unreadOfChat = (id) => unreadNotifications().filter(({ chatId }) => String(chatId) === id).length;

  // ── All of it ──

  /** Another user must see nothing of this one's. */
  function clear() {
    for (const map of [state.lines, state.conversations, state.threads, state.rooms, state.names, state.chats, state.tickets, state.jobs]) map.clear();
    lineUnread = new Map();
    Object.assign(state, { me: null, expiresAt: null, linesLoaded: false, linesProblem: '', notifications: [], open: null, refusal: '', view: 'inbox', line: null, filter: 'all', search: '' });
    state.conversationsVersion += 1;
    changed();
  }

  function set(fields) {
    Object.assign(state, fields);
    changed();
  }

  function openRoom(room) {
    state.open = room;
    state.refusal = '';
    const found = room && state.threads.get(room);
    if (found) {
      // The last of the Map is the most recently opened.
      state.threads.delete(room);
      state.threads.set(room, found);
    }
    const place = room && placeOf(room);
    if (place?.kind === 'ticket') {
      const ticket = state.tickets.get(place.id);
      if (ticket) state.tickets.set(place.id, { ...ticket, unread: false });
    }
    state.conversationsVersion += 1;
    changed();
  }

  return {
    state, set, clear, isMe, nameOf, openRoom,
    setLines, setLine, putConversations, putConversation, unread, assigned, read, listConversations,
    thread, setThread, putPage, putMessage, heardSms, heardStatus, accepted,
    presence, typing, forgetPresence, readBy, others, colleagues, isOnline,
    knowRoom, putTicket, putJob, putNotification, readNotifications, unreadNotifications, unreadOfChat,
  };
}

const isText = (value) => typeof value === 'string' || typeof value === 'number';

/** The first of these that can be shown as it is. */
const firstText = (...values) => String(values.find(isText) ?? '');

/** By offset; what has none yet stays behind, in the order in which it came. */
function inOrder(a, b) {
  if (a.offset === null || b.offset === null) return (a.offset === null) - (b.offset === null);
  return a.offset - b.offset;
}
