// The page: joins a room, shows what happens there, sends. The wire is connection.js's, the list messages.js's.

import { RoomConnection, claimsOf } from './connection.js';
import { MessageList, describe } from './messages.js';

const TYPING_EVERY_MS = 2_000;
// The server ends it after 3 s by itself; this is for when that word is lost with the connection.
const TYPING_FADES_MS = 6_000;

const STATE_WORDS = { expired: 'session expired' }; // the others are their own word
const READ_ONLY_KINDS = {
  sms: 'Sending SMS from this page comes later. What arrives is shown.',
  line: 'A line only shows what arrives; sending SMS from this page comes later.',
  user: 'Only the server writes to a user’s own room.',
};
const NOT_LISTED = new Set(['messages_read', 'user_typing', 'presence_state', 'presence_diff']);

const element = (id) => document.getElementById(id);
const messages = new MessageList({ list: element('messages'), scroller: element('log'), empty: element('log-empty') });

let connection = null;
let joined = { room: '', token: '' }; // what `connection` was made with
let state = { name: 'offline', detail: '', retryAt: null };
let isIn = false; // between Join and Leave, expiry or refusal
let me = null;
let lastTypingAt = 0; // 0 while the others don't believe that we are
const people = new Map(); // userId -> user
const names = new Map(); // userId -> name, also of those who left
const typists = new Map(); // userId -> timer that ends it

// --- joining and leaving ---

function submitJoin(event) {
  event.preventDefault();
  if (isIn) connection.leave();
  else join(readToken(), element('room').value.trim());
}

function readToken() {
  return element('token').value.trim().replace(/^Bearer\s+/i, '');
}

function join(token, room) {
  sessionStorage.setItem('token', token);
  sessionStorage.setItem('room', room);
  setNotice('');
  const goesOn = ['expired', 'refused'].includes(state.name) && room === joined.room && isSameUser(token, joined.token);
  joined = { room, token };
  if (goesOn) {
    connection.connect(token);
    return;
  }
  messages.clear({ everything: true });
  names.clear();
  me = null;
  connection = new RoomConnection({ room, token, on: callbacks });
  connection.connect();
}

/** What waits to be sent was written by one user and must not go out as another. */
function isSameUser(token, other) {
  const [a, b] = [claimsOf(token), claimsOf(other)];
  return a.sub === b.sub && a.userId === b.userId;
}

const callbacks = {
  state: showState,
  joined({ userId }) {
    me = String(userId);
  },
  reset() {
    element('log').setAttribute('aria-busy', 'true'); // not to read fifty old messages aloud
    messages.clear();
  },
  event: receive,
  settled({ recovered, missed, first, problem }) {
    element('log').removeAttribute('aria-busy');
    if (problem) setNotice(`The history could not be loaded: ${problem}`);
    else if (recovered) setNotice(missedText(missed));
    else if (!first) setNotice('history reloaded');
  },
  ack({ ack, offset, error }) {
    if (error) messages.fail(ack, error.message ?? error.code, (text) => send(ack, text));
    else messages.accept(ack, offset);
  },
  error(error) {
    setNotice(`The server refused something: ${error.message ?? error.code}`);
  },
};

function missedText(count) {
  if (count === 0) return 'recovered, nothing missed';
  return count === 1 ? 'recovered 1 missed message' : `recovered ${count} missed messages`;
}

function setNotice(text) {
  element('notice').textContent = text;
}

// --- the state ---

function showState(next) {
  state = next;
  isIn = ['connecting', 'connected', 'reconnecting'].includes(state.name) || state.retryAt !== null;
  element('status').dataset.state = state.name;
  // Written only when it changes, else screen readers repeat it.
  setTextOnce(element('status-word'), STATE_WORDS[state.name] ?? state.name);
  setTextOnce(element('status-detail'), detailOf(state));
  showCountdown();
  if (state.name !== 'connected') {
    setNotice(''); // it told of the connection that is gone
    forgetPeople();
  }
  if (state.name === 'offline' && !isIn) messages.failAllPending('you left before it was');
  showControls();
}

function detailOf({ name, detail }) {
  if (name === 'expired') return 'paste a new token and join again';
  return detail;
}

function setTextOnce(target, text) {
  if (target.textContent !== text) target.textContent = text;
}

function showCountdown() {
  const seconds = state.retryAt === null ? null : Math.max(0, Math.ceil((state.retryAt - Date.now()) / 1000));
  setTextOnce(element('status-countdown'), seconds === null ? '' : `in ${seconds} s`);
}

function showControls() {
  element('join-button').textContent = isIn ? 'Leave' : 'Join';
  element('token').readOnly = isIn;
  element('room').readOnly = isIn;
  element('token-hint').hidden = isIn; // on a phone the room needs the space
  element('room-hint').hidden = isIn;
  const [kind] = joined.room.split(':');
  const canWrite = isIn && !Object.hasOwn(READ_ONLY_KINDS, kind);
  element('message').disabled = !canWrite;
  element('send').disabled = !canWrite;
  setTextOnce(element('composer-hint'), composerHint(kind));
}

function composerHint(kind) {
  if (!isIn) return 'Join a room to write.';
  if (Object.hasOwn(READ_ONLY_KINDS, kind)) return READ_ONLY_KINDS[kind];
  if (state.name !== 'connected') return 'What you send now goes out once the connection is back.';
  return 'Enter sends, Shift+Enter starts a new line.';
}

// --- what arrives ---

function receive(frame) {
  const { event, data } = frame;
  if (event === 'presence_state') showPeople(data.users ?? [], [...people.values()]);
  else if (event === 'presence_diff') showPeople(data.joins ?? [], data.leaves ?? []);
  else if (event === 'user_typing') showTyping(String(data.userId), data.isTyping);
  if (NOT_LISTED.has(event)) return;

  const view = describe(frame);
  const sender = view.sender === null ? null : String(view.sender);
  const own = sender !== null && sender === me;
  if (sender !== null) showTyping(sender, false);
  messages.add({ view, sender: senderName(sender, own), own, at: frame.at, offset: frame.offset });
}

function senderName(sender, own) {
  if (own) return 'you';
  return sender === null ? 'someone' : nameOf(sender);
}

function nameOf(userId) {
  return names.get(userId) ?? userId;
}

/** Leaves first: in a presence_state they are everyone who was there before. */
function showPeople(joins, leaves) {
  for (const user of leaves) people.delete(String(user.userId));
  for (const user of joins) {
    people.set(String(user.userId), user);
    if (user.name) names.set(String(user.userId), user.name);
  }
  for (const userId of [...typists.keys()]) if (!people.has(userId)) showTyping(userId, false);
  drawPeople();
}

/** Who is there is not known without a connection; a stale list would lie. */
function forgetPeople() {
  for (const userId of [...typists.keys()]) showTyping(userId, false);
  lastTypingAt = 0;
  people.clear();
  drawPeople();
}

function drawPeople() {
  const items = [...people.keys()].map((userId) => {
    const item = document.createElement('li');
    const name = document.createElement('bdi');
    name.textContent = nameOf(userId);
    item.title = userId;
    item.append(name, userId === me ? ' (you)' : '');
    return item;
  });
  element('people-list').replaceChildren(...items);
  element('people-empty').hidden = items.length > 0;
  element('people-empty').textContent = isIn ? 'Not known while there is no connection.' : 'Join a room to see who is here.';
}

function showTyping(userId, isTyping) {
  clearTimeout(typists.get(userId));
  typists.delete(userId);
  if (isTyping && userId !== me) {
    typists.set(userId, setTimeout(() => showTyping(userId, false), TYPING_FADES_MS));
  }
  setTextOnce(element('others'), typingText([...typists.keys()].map(nameOf)));
}

function typingText(who) {
  if (who.length === 0) return '';
  if (who.length > 2) return 'several people are typing…';
  return who.length === 1 ? `${who[0]} is typing…` : `${who[0]} and ${who[1]} are typing…`;
}

// --- writing ---

function submitMessage(event) {
  event.preventDefault();
  const field = element('message');
  if (field.disabled || field.value.trim() === '') return;
  const id = randomId();
  messages.addPending(id, field.value);
  send(id, field.value);
  field.value = '';
  field.focus();
  stopTyping();
}

function send(id, text) {
  const isChat = joined.room.startsWith('chat:');
  const [event, data] = isChat
    ? ['send_message', { message: text, clientMessageId: id }]
    : ['message', { body: text }];
  const retry = (again) => send(id, again);
  if (!isIn) messages.fail(id, 'there is no connection', retry);
  else if (!connection.send(id, event, data)) messages.fail(id, 'too many are waiting already', retry);
}

/** Not crypto.randomUUID: browsers lack it on plain http other than localhost. */
function randomId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return `c-${Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')}`;
}

function composed() {
  if (element('message').value === '') {
    stopTyping();
    return;
  }
  if (state.name !== 'connected' || Date.now() - lastTypingAt < TYPING_EVERY_MS) return;
  lastTypingAt = Date.now();
  connection.sendEphemeral('typing', { isTyping: true });
}

function stopTyping() {
  if (lastTypingAt === 0) return;
  lastTypingAt = 0;
  connection.sendEphemeral('typing', { isTyping: false });
}

function sendOnEnter(event) {
  // isComposing: Enter also confirms a word in Japanese or Chinese input.
  if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  element('composer').requestSubmit();
}

// --- start ---

element('token').value = sessionStorage.getItem('token') ?? '';
element('room').value = sessionStorage.getItem('room') ?? '';
element('join').addEventListener('submit', submitJoin);
element('composer').addEventListener('submit', submitMessage);
element('message').addEventListener('keydown', sendOnEnter);
element('message').addEventListener('input', composed);
element('message').addEventListener('blur', stopTyping);
addEventListener('online', () => connection?.retryNow());
addEventListener('offline', () => connection?.check());
addEventListener('pageshow', () => connection?.retryNow());
document.addEventListener('visibilitychange', () => document.hidden || connection?.retryNow());
setInterval(showCountdown, 500);
