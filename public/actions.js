// What is done: signing in, opening rooms, reading, writing. Between the store, the connection, the API and the outbox;
// no DOM.

import { ApiError } from './api.js';
import { claimsOf } from './live.js';
import { messageOf, placeOf } from './store.js';
import { count, duration, randomId } from './text.js';

const LINES_JOINED_MAX = 200;
const HISTORY_PAGE = 200;
const TYPING_EVERY_MS = 2_000;
const READ_AFTER_MS = 250;
const RETRY_SEND_MS = 3_000;
/** What is unread comes right after one subscribed: no news, no toasts. */
const OLD_NEWS_MS = 1_500;
/** A line that got its first message, or that one was assigned to, is told by nobody to those who do not work it. */
const LOOK_FOR_LINES_MS = { first: 2_000, factor: 1.25, most: 20_000 };

/** Where a room is listed. */
const VIEWS = { sms: 'inbox', ticket: 'tickets' };

const REFUSALS = {
  opted_out: 'This contact has opted out of messages from this line.',
  forbidden: 'Your token does not allow it.',
  conflict: 'Another message was sent under this id.',
  payload_too_large: 'It is too long.',
};

/** Why something was refused, in words. */
export const wordsOf = (error) => REFUSALS[error.code] ?? error.detail ?? error.message ?? error.code;

export function createActions({ store, api, live, storage, toast, session }) {
  const { state } = store;
  let outbox = null; // it is given this module's `deliver`, so it comes later
  const joined = new Set(); // rooms that the server has let this connection into
  const catchingUp = new Map(); // room -> { again }
  let linesRun = null; // { again } while lines are being read
  let typingAt = 0;
  let typingRoom = null;
  let readTimer = null;
  let subscribedAt = 0;
  let isSubscribed = false;

  // ── The session ──

  function signIn(token, room) {
    const claims = claimsOf(token);
    const id = claims.sub ?? claims.userId ?? 'me';
    const same = state.me !== null && String(state.me.id) === String(id);
    if (!same) store.clear();
    session.save(token);
    store.set({ me: { id, name: claims.name, role: claims.role }, expiresAt: claims.exp ? claims.exp * 1000 : null });
    outbox.openFor(id);
    if (!same) restore(claims);
    live.start(token);
    if (room) open(room);
  }

  /** Before the token ends, on the live connection. */
  async function renew(token) {
    const { sub, userId, exp } = claimsOf(token);
    if (String(sub ?? userId) !== String(state.me.id)) throw new Error('This token is another user’s. Sign out first to change the user.');
    if (!(await live.refresh(token))) throw new Error('The server did not accept this token. Make a new one and paste it again.');
    session.save(token);
    store.set({ expiresAt: exp ? exp * 1000 : null });
  }

  function signOut() {
    live.stop();
    session.forget();
    joined.clear();
    outbox.close();
    store.clear();
  }

  /** What a token names, and what this tab had opened before a reload. */
  function restore(claims) {
    const named = [...(claims.rooms ?? []), ...(claims.rooms_read ?? [])].filter((grant) => typeof grant === 'string' && !grant.includes('*'));
    let known = [];
    try {
      known = JSON.parse(storage.getItem(`dialtone.rooms.${state.me.id}`) ?? '[]');
    } catch {
      // Not ours, or broken: it is only a convenience.
    }
    for (const room of [...named, ...known]) if (placeOf(room)?.kind !== 'sms') store.knowRoom(room);
  }

  function remember() {
    const rooms = [...state.chats.keys(), ...[...state.tickets.values()].map(({ room }) => room), ...[...state.jobs.keys()].map((id) => `job:${id}`)];
    storage.setItem(`dialtone.rooms.${state.me.id}`, JSON.stringify(rooms.slice(-200)));
  }

  // ── The connection ──

  /**
   * A namespace is there (again). One that was recovered is in its rooms still, and is told what it missed. It joins them
   * again all the same: that tells who is there now, and what was asked for just before the cut may have been lost.
   */
  function connected({ namespace, recovered }) {
    for (const room of joined) if (namespaceOf(room) === namespace) joined.delete(room);
    if (namespace === '/') {
      if (!recovered) forgetWhatMayHaveChanged();
      loadLines({ again: true });
    }
    if (namespace === '/jobs') for (const id of state.jobs.keys()) followJob(id);
    if (namespace === '/notifications' && !(recovered && isSubscribed)) subscribeNotifications();
    if (state.open && namespace === namespaceOf(state.open)) enter(state.open);
    outbox.flush();
  }

  function forgetWhatMayHaveChanged() {
    for (const number of state.lines.keys()) store.setLine(number, { loaded: false });
    // Those that are not open are read again when they are.
    for (const room of [...state.threads.keys()]) if (room !== state.open) state.threads.delete(room);
  }

  const namespaceOf = (room) => (placeOf(room).kind === 'chat' ? '/chat' : '/');

  function standing(connection) {
    const isOne = connection.name === 'connected';
    const wasOne = state.connection.name === 'connected';
    if (wasOne && !isOne) {
      store.forgetPresence();
      typingAt = 0;
    }
    // What came back with this connection is said for as long as it lasts.
    store.set({ connection: isOne && wasOne ? { ...connection, detail: state.connection.detail } : connection });
  }

  function back({ ms, recovered, missed }) {
    const caughtUp = missed === 0 ? 'nothing was missed' : `${count(missed, 'message')} caught up`;
    const detail = `back after ${duration(ms)}: ${recovered ? caughtUp : 'caught up from history'}`;
    store.set({ connection: { ...state.connection, detail } });
  }

  function subscribeNotifications() {
    if (!state.me) return;
    subscribedAt = Date.now();
    store.set({ notifications: [] });
    isSubscribed = false;
    live.ask('/notifications', 'subscribe-user', state.me.id).then(({ ok }) => (isSubscribed = ok));
  }

  // ── Lines ──

  /** `again`: what is being read now may be from before the connection. */
  async function loadLines({ again = false } = {}) {
    if (linesRun) {
      linesRun.again ||= again;
      return;
    }
    linesRun = { again: true };
    while (linesRun.again) {
      linesRun.again = false;
      await readLines().catch((error) => store.set({ linesProblem: wordsOf(error) }));
    }
    linesRun = null;
  }

  async function readLines() {
    const lines = await api.lines();
    // One that was opened by name may not be among one's own.
    const named = [...state.lines.values()].filter(({ number, isNamed }) => isNamed && !lines.some((line) => line.number === number));
    store.set({ linesLoaded: true, linesProblem: '' });
    store.setLines([...lines, ...named]);
    const rooms = [...state.lines.values()].sort((a, b) => b.unread - a.unread);
    const fresh = rooms.slice(0, LINES_JOINED_MAX).filter(({ number }) => !joined.has(`line:${number}`));
    for (const { number } of fresh) joined.add(`line:${number}`);
    const answers = await live.askAll('/', 'join', fresh.map(({ number }) => ({ room: `line:${number}` })));
    fresh.forEach(({ number }, at) => answers[at].ok || joined.delete(`line:${number}`));
    // After the join: what changes from now on is heard.
    for (const { number, loaded } of [...state.lines.values()]) if (!loaded) await loadConversations(number);
  }

  async function loadConversations(number) {
    try {
      let cursor;
      do {
        const page = await api.conversations(number, cursor);
        store.putConversations(number, page.conversations);
        cursor = page.cursor;
      } while (cursor && state.lines.has(number));
      store.setLine(number, { loaded: true, problem: '' });
    } catch (error) {
      store.setLine(number, { problem: wordsOf(error) });
    }
  }

  function lookForLines(waitMs = LOOK_FOR_LINES_MS.first) {
    if (live.isConnected('/') && !document.hidden) loadLines();
    else waitMs = LOOK_FOR_LINES_MS.first;
    setTimeout(lookForLines, waitMs, Math.min(LOOK_FOR_LINES_MS.most, waitMs * LOOK_FOR_LINES_MS.factor));
  }

  // ── Rooms ──

  /** Opens any room by its name; false where it is no name of a room. */
  function open(room) {
    const place = placeOf(room);
    if (!place) return false;
    if (place.kind === 'job') {
      store.knowRoom(room);
      store.set({ view: 'jobs' });
      followJob(place.id);
    } else if (place.kind === 'line') {
      if (!state.lines.has(place.line)) {
        store.setLines([...state.lines.values(), { number: place.line, unread: 0, isNamed: true }]);
        if (live.isConnected('/')) loadLines();
      }
      store.set({ view: 'inbox', line: place.line });
    } else {
      openThread(place);
    }
    remember();
    return true;
  }

  function openThread({ room, kind }) {
    if (state.open !== room) close();
    store.openRoom(room);
    store.knowRoom(room);
    store.set({ view: VIEWS[kind] ?? 'chats' });
    store.thread(room);
    enter(room);
  }

  function close() {
    const room = state.open;
    if (!room) return;
    stopTyping();
    store.openRoom(null);
    store.forgetPresence(room);
    joined.delete(room);
    const { kind, id } = placeOf(room);
    if (kind === 'chat') live.tell('/chat', 'leave_chat', { chatId: id });
    else live.tell('/', 'leave', { room });
  }

  /** In the open room, with all of its newest messages; again after each reconnect. */
  async function enter(room) {
    if (!state.me) return;
    catchUp(room);
    const answer = await join(room);
    if (state.open !== room) return;
    if (answer.ok) {
      // What came between the first answer and the join.
      catchUp(room);
      readOpen();
    } else if (answer.error.code !== 'no_answer') {
      store.set({ refusal: wordsOf(answer.error) });
    }
  }

  async function join(room) {
    const { kind, id } = placeOf(room);
    const answer = kind === 'chat' ? await live.ask('/chat', 'join_chat', { chatId: id }) : await live.ask('/', 'join', { room });
    if (answer.ok) joined.add(room);
    // Chats tell who comes and who goes, not who is there.
    if (answer.ok && kind === 'chat') api.presence(room).then(({ users }) => joined.has(room) && store.presence({ room, users }), () => {});
    return answer;
  }

  /** Reads what came since the last that is known, one page after the other; asked again meanwhile, once more. */
  async function catchUp(room) {
    const running = catchingUp.get(room);
    if (running) {
      running.again = true;
      return;
    }
    const run = { again: false };
    catchingUp.set(room, run);
    do {
      run.again = false;
      await readNewer(room);
    } while (run.again && state.threads.has(room));
    catchingUp.delete(room);
  }

  async function readNewer(room) {
    const place = placeOf(room);
    const thread = store.thread(room);
    if (!thread.loaded) store.setThread(room, { loading: 'newest', problem: '' });
    try {
      if (thread.loaded && thread.last > 0) {
        for (let page; (!page || page.messages.length >= HISTORY_PAGE) && thread.loaded; ) {
          page = await api.history(place, { after: thread.last });
          store.putPage(room, page, 'newer');
        }
        // Its numbers begin anew: so does the thread.
        if (thread.last > 0) return;
      }
      store.putPage(room, await api.history(place), 'newest');
    } catch (error) {
      store.setThread(room, { loading: '', problem: wordsOf(error) });
    }
  }

  async function loadOlder(room) {
    const thread = state.threads.get(room);
    if (!thread?.hasMore || thread.loading) return;
    store.setThread(room, { loading: 'older' });
    try {
      store.putPage(room, await api.history(placeOf(room), { before: thread.first }), 'older');
      if (!thread.loaded) catchUp(room);
    } catch (error) {
      store.setThread(room, { loading: '', problem: wordsOf(error) });
    }
  }

  /** What is open and seen is read: for the line, and for the chat's others. */
  function readOpen() {
    clearTimeout(readTimer);
    readTimer = setTimeout(() => {
      const room = state.open;
      if (!room || document.hidden || !joined.has(room)) return;
      const { kind, id } = placeOf(room);
      if (kind === 'chat') live.tell('/chat', 'mark_read', { chatId: id });
      else if (state.conversations.get(room)?.unread !== 0) live.tell('/', 'mark_read', { room });
      store.read(room);
      if (kind === 'chat') store.readNotifications(({ chatId }) => String(chatId) === id);
    }, READ_AFTER_MS);
  }

  async function assign(room, userId) {
    const place = placeOf(room);
    const before = state.conversations.get(room)?.assignedTo ?? null;
    store.assigned({ ...place, userId });
    try {
      store.putConversation({ ...(await api.assign(place, userId)), line: place.line });
    } catch (error) {
      store.assigned({ ...place, userId: before });
      toast({ severity: 'error', title: 'Not assigned', message: wordsOf(error) });
    }
  }

  function followJob(id) {
    live.ask('/jobs', 'subscribe-job', id).then(({ ok, error }) => {
      if (!ok && error.code !== 'no_answer') store.putJob({ jobId: id, refusal: wordsOf(error) });
    });
  }

  // ── Writing ──

  function write(room, body) {
    stopTyping();
    const taken = outbox.add({ id: randomId(), room, body });
    if (!taken) toast({ severity: 'error', title: 'Not sent', message: 'Too many messages wait already. Wait for the connection, then try again.' });
    return taken;
  }

  /** Once more what Twilio could not deliver: a new message, as the old one's id stands for what became of it. */
  function sendAgain(room, { body, media }) {
    outbox.add({ id: randomId(), room, body, ...(media.length > 0 && { media: media.map(({ url }) => url) }) });
  }

  async function deliver(item) {
    const place = placeOf(item.room);
    if (place.kind === 'sms') return deliverSms(place, item);
    if (!joined.has(item.room)) {
      const answer = await join(item.room);
      if (!answer.ok) return outcomeOf(answer.error);
    }
    const answer =
      place.kind === 'chat'
        ? await live.ask('/chat', 'send_message', { chatId: place.id, message: item.body, clientMessageId: item.id })
        : await live.ask('/', 'send', { room: item.room, event: 'message', data: { text: item.body }, id: item.id });
    if (!answer.ok) return outcomeOf(answer.error);
    store.accepted(item, { offset: answer.offset, messageId: answer.id });
    return { accepted: true };
  }

  async function deliverSms(place, { id, room, body, media, at }) {
    try {
      const answer = await api.sendSms(place, { id, ...(body && { body }), ...(media && { media }) });
      store.accepted({ id, room, body, media, at }, answer);
      return { accepted: true };
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      if (error.isPassing || error.status === 401) return { later: true, afterMs: Math.max(RETRY_SEND_MS, error.retryAfterMs) };
      return { refused: wordsOf(error) };
    }
  }

  function outcomeOf(error) {
    if (error.code === 'not_in_room') joined.clear();
    const isPassing = ['no_answer', 'internal', 'rate_limited', 'not_in_room', 'token_expired'].includes(error.code);
    return isPassing ? { later: true, afterMs: RETRY_SEND_MS } : { refused: wordsOf(error) };
  }

  function typing(room) {
    if (Date.now() - typingAt < TYPING_EVERY_MS && typingRoom === room) return;
    typingAt = Date.now();
    typingRoom = room;
    tellTyping(true);
  }

  function stopTyping() {
    if (typingAt === 0) return;
    typingAt = 0;
    tellTyping(false);
  }

  function tellTyping(isTyping) {
    const { kind, id, room } = placeOf(typingRoom);
    if (kind === 'chat') live.tell('/chat', 'typing', { chatId: id, isTyping });
    else live.tell('/', 'typing', { room, isTyping });
  }

  // ── What is heard ──

  const HEARD = {
    '/': {
      connected: ({ userId }) => iAm(userId),
      new_message: (data) => heardSms('new_message', data),
      message_updated: (data) => heardSms('message_updated', data),
      message_status: (data) => store.heardStatus(data),
      conversation_updated: (data) => store.putConversation(data),
      conversation_assigned: (data) => store.assigned(data),
      presence_state: (data) => store.presence(data),
      presence_diff: (data) => store.presence(data),
      user_typing: (data) => store.typing(data),
      messages_read: () => {},
      'ticket:created': (data) => heardTicket(data),
      'ticket:updated': (data) => heardTicket(data),
      error: (error) => toast({ severity: 'error', title: 'The server refused something', message: wordsOf(error) }),
    },
    '/chat': {
      new_message: (data) => heardChat(data),
      user_joined: ({ chatId, userId }) => store.presence({ room: `chat:${chatId}`, joins: [{ userId }] }),
      user_left: ({ chatId, userId }) => store.presence({ room: `chat:${chatId}`, leaves: [{ userId }] }),
      user_typing: ({ chatId, ...data }) => store.typing({ ...data, room: `chat:${chatId}` }),
      messages_read: ({ chatId, userId }) => store.readBy({ room: `chat:${chatId}`, userId }),
      error: (error) => toast({ severity: 'error', title: 'The server refused something', message: wordsOf(error) }),
    },
    '/jobs': { 'job:status-changed': (data) => store.putJob(data) },
    '/notifications': {
      'notification:received': (data) => {
        store.putNotification(data);
        if (Date.now() - subscribedAt > OLD_NEWS_MS && `chat:${data.chatId}` !== state.open) toast(data);
      },
      'notification:read': (data) => store.readNotifications(({ id }) => id === data.id),
      'notifications:cleared': () => store.readNotifications(),
    },
  };

  function event(namespace, name, data) {
    const hears = HEARD[namespace][name];
    if (hears) hears(data);
    // An event of one's own kind: it does not say whose it is, nor in which room; the history does.
    else if (namespace === '/' && ['relay', 'ticket'].includes(placeOf(state.open ?? '')?.kind)) catchUp(state.open);
  }

  /** What the server takes for one's id may be another claim than `sub`. */
  function iAm(userId) {
    if (store.isMe(userId)) return;
    store.set({ me: { ...state.me, id: userId } });
    outbox.openFor(userId);
    if (live.isConnected('/notifications')) subscribeNotifications();
  }

  function heardSms(name, data) {
    const room = store.heardSms(name, data);
    if (room === state.open && name === 'new_message') readOpen();
    if (room && !state.lines.has(data.phoneNumberId)) loadLines();
  }

  function heardChat(data) {
    const room = `chat:${data.chatId}`;
    store.putMessage(room, messageOf(placeOf(room), { event: 'new_message', data }, store.isMe));
    store.typing({ room, userId: data.sender_id, isTyping: false });
    store.knowRoom(room, { last: data.message, at: Date.parse(data.created_at) || 0 });
    if (room === state.open) readOpen();
  }

  function heardTicket(data) {
    const room = store.putTicket(data, Date.now());
    if (room && room === state.open) catchUp(room);
  }

  // ── Notifications ──

  async function readNotification({ id }) {
    store.readNotifications((one) => one.id === id);
    await api.readNotification(id).catch(tellProblem);
  }

  async function readAllNotifications() {
    store.readNotifications();
    await api.readAllNotifications().catch(tellProblem);
  }

  function tellProblem(error) {
    toast({ severity: 'error', title: 'Not marked as read', message: wordsOf(error) });
    subscribeNotifications();
  }

  lookForLines();
  document.addEventListener('visibilitychange', readOpen);

  return {
    useOutbox: (given) => (outbox = given),
    deliver, connected, standing, back, event,
    signIn, renew, signOut, open, close, loadLines, loadOlder, reload: catchUp, assign,
    write, sendAgain, typing, stopTyping, readOpen, readNotification, readAllNotifications,
  };
}
