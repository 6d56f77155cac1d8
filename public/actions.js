// What is done: signing in, opening rooms, reading, writing. Between the store, the connection, the API and the outbox;
// no DOM.

import { wordsOf } from './api.js';
import { createHearing } from './heard.js';
import { createLines } from './lines.js';
import { claimsOf } from './live.js';
import { placeOf } from './messages.js';
import { count, duration } from './text.js';
import { createWriting } from './writing.js';

const HISTORY_PAGE = 200;
const READ_AFTER_MS = 250;
/** What is unread comes right after one subscribed: no news, no toasts. */
const OLD_NEWS_MS = 1_500;
/** Where a room is listed. */
const VIEWS = { sms: 'inbox', ticket: 'tickets' };

/** Whose token it is, as far as the page can tell: the server says so once connected. */
const subjectOf = ({ sub, userId }) => sub ?? userId ?? 'me';

export function createActions({ store, api, live, storage, changed, toast, session }) {
  const { state } = store;
  const joined = new Set(); // rooms that the server has let this connection into
  const catchingUp = new Map(); // room -> { again }
  let readTimer = null;
  let subscribedAt = 0;
  let isSubscribed = false;
  const loadLines = createLines({ store, api, live, joined });
  const writing = createWriting({ store, api, live, storage, changed, toast, joined, join });
  const { outbox } = writing;
  const isNews = () => Date.now() - subscribedAt > OLD_NEWS_MS;
  const event = createHearing({ store, toast, loadLines, catchUp, readOpen, iAm, isNews });

  // ── The session ──

  function signIn(token, room) {
    const claims = claimsOf(token);
    const id = subjectOf(claims);
    const same = state.me !== null && state.me.subject === id;
    if (!same) store.clear();
    session.save(token);
    store.set({ me: { id, subject: id, name: claims.name, role: claims.role }, expiresAt: claims.exp ? claims.exp * 1000 : null });
    outbox.openFor(id);
    if (!same) restore(claims);
    live.start(token);
    if (room) open(room);
  }

  /** Before the token ends, on the live connection. */
  async function renew(token) {
    const claims = claimsOf(token);
    if (subjectOf(claims) !== state.me.subject) throw new Error('This token is another user’s. Sign out first to change the user.');
    if (!(await live.refresh(token))) throw new Error('The server did not accept this token. Make a new one and paste it again.');
    session.save(token);
    store.set({ expiresAt: claims.exp ? claims.exp * 1000 : null });
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

  /** What the server takes for one's id may be another claim than `sub`. */
  function iAm(userId) {
    if (store.isMe(userId)) return;
    store.set({ me: { ...state.me, id: userId } });
    outbox.openFor(userId);
    if (live.isConnected('/notifications')) subscribeNotifications();
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
    subscribedAt = Infinity;
    store.set({ notifications: [] });
    isSubscribed = false;
    live.ask('/notifications', 'subscribe-user', state.me.id).then(({ ok }) => {
      isSubscribed = ok;
      subscribedAt = Date.now();
    });
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
    writing.stopTyping();
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

  document.addEventListener('visibilitychange', readOpen);

  return {
    ...writing,
    connected, standing, back, event,
    signIn, renew, signOut, open, close, loadLines, loadOlder, reload: catchUp, assign,
    readNotification, readAllNotifications,
  };
}
