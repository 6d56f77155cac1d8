// The open conversation: who it is with, what was said, who else is there, and the field to answer in.

import { wordsOf } from '../api.js';
import { bare, placeOf } from '../messages.js';
import { dayOf } from '../text.js';
import { createComposer } from './composer.js';
import { avatar, h, icon, keyed, setAttribute, setHidden, setText } from './dom.js';
import { createMedia } from './media.js';
import { createMessageRow } from './message.js';
import { createVirtualList } from './virtual.js';

// What somebody writes within that time reads as one.
const CONTINUES_MS = 5 * 60_000;
/** A day when the clocks go forward. */
const SHORTEST_DAY_MS = 23 * 3_600_000;
const NOBODY = '';

export function createThread({ store, actions, api }) {
  const { state } = store;
  const { outbox } = actions;
  const picture = h('span');
  const title = h('h2', { tabindex: '-1' });
  const details = h('p.hint.details');
  const people = h('ul', { id: 'people-list', 'aria-label': 'Here now' });
  const assignee = h('select', { id: 'assignee', onchange: () => actions.assign(state.open, chosen()) });
  const assigning = h('div.assign', {}, h('label', { for: 'assignee' }, 'Assigned to'), assignee);
  const header = h('header', {}, h('button.plain.square.back', { type: 'button', 'aria-label': 'Back', onclick: goBack }, icon('back')), picture, h('div.names', {}, title, details), people, assigning);
  const list = h('ol', { id: 'messages' });
  const log = h('div.scroller', { id: 'log', role: 'log', 'aria-live': 'polite', 'aria-label': 'Conversation', tabindex: '0' }, list);
  const note = h('div.thread-note');
  const newest = h('button.newest', { type: 'button', onclick: () => virtual.scrollToEnd() }, icon('down'), 'Newest');
  const others = h('p', { id: 'others', 'aria-live': 'polite' });
  const composer = createComposer({ store, actions });
  const shown = h('div.thread', {}, header, h('div.log', {}, log, note, newest), others, composer.element);
  const nothing = h('div.empty', {}, icon('inbox'), h('strong', {}, 'No conversation open'), 'Choose one on the left, or press / to search.');
  const element = h('section', { id: 'place', 'aria-label': 'Conversation and reply' }, shown, nothing);

  const media = createMedia({ api, problemOf: wordsOf });
  const makeRow = createMessageRow({ nameOf: store.nameOf, media, retry, discard: ({ id }) => outbox.remove(id), place: () => placeOf(state.open) });
  const virtual = createVirtualList({
    scroller: log, list, estimate: 64, keyOf: ({ key }) => key, signature, make: makeRow, sticksToEnd: true,
    // A day's separator goes up when more of the day is loaded.
    stays: ({ type }) => type === 'message',
    scrolled: () => {
      loadOlder();
      setHidden(newest, virtual.isAtEnd());
    },
  });
  element.addEventListener('written', () => virtual.scrollToEnd());

  let room = null;
  let unreadFrom = null; // the key of the first message that was unread when the room was opened
  let unreadCount = 0;
  let built = { of: '', entries: [] };
  const identities = new WeakMap();
  let lastIdentity = 0;

  function identity(object) {
    if (!identities.has(object)) identities.set(object, ++lastIdentity);
    return identities.get(object);
  }

  // ── Rendering ──

  function render() {
    setHidden(shown, !state.open);
    setHidden(nothing, Boolean(state.open));
    if (!state.open) {
      room = null;
      return;
    }
    const place = placeOf(state.open);
    if (place.room !== room) change(place.room);
    renderHeader(place);
    renderLog();
    renderOthers(place);
    composer.render(place);
  }

  function change(next) {
    room = next;
    unreadFrom = null;
    unreadCount = state.conversations.get(room)?.unread ?? 0;
    virtual.reset();
    built = { of: '', entries: [] };
    // Old messages are not read aloud one by one.
    log.setAttribute('aria-busy', 'true');
  }

  function renderHeader(place) {
    const conversation = state.conversations.get(room);
    const [name, text] = namesOf(place, conversation);
    setText(title, name);
    setText(details, text);
    const ofWhom = place.contact ? bare(place.contact) : place.id;
    keyed(picture, [name], () => room, () => name, () => avatar(ofWhom, name));
    const here = store.others(room);
    keyed(people, here, ({ userId }) => userId, ({ userId }) => store.nameOf(userId), ({ userId }) => {
      const who = store.nameOf(userId);
      return h('li', { title: `${who} is here` }, avatar(userId, who, { online: true }), h('bdi', {}, who));
    });
    setHidden(assigning, place.kind !== 'sms');
    if (place.kind === 'sms') renderAssignee(conversation?.assignedTo ?? null);
  }

  function namesOf(place, conversation) {
    if (place.kind === 'sms') {
      const number = bare(place.contact);
      const channel = place.line.startsWith('whatsapp:') ? 'WhatsApp' : 'SMS';
      return [conversation?.profileName ?? number, [conversation?.profileName && number, `${channel} with ${bare(place.line)}`].filter(Boolean).join(' · ')];
    }
    if (place.kind === 'ticket') {
      const { title: subject, status } = state.tickets.get(place.id) ?? {};
      return [subject || `Ticket ${place.id}`, [`Ticket #${place.id}`, status].filter(Boolean).join(' · ')];
    }
    return place.kind === 'chat' ? [`Chat ${place.id}`, 'Chat'] : [place.room, 'Room'];
  }

  function renderAssignee(assignedTo) {
    const choices = [{ value: NOBODY, label: 'Nobody', userId: null }, { value: String(state.me.id), label: 'Me', userId: state.me.id }];
    for (const userId of store.colleagues()) choices.push({ value: String(userId), label: store.nameOf(userId), userId });
    keyed(assignee, choices, ({ value }) => `-${value}`, ({ label }) => label, ({ value, label, userId }) => Object.assign(h('option', { value }, label), { userId }));
    const value = assignedTo === null ? NOBODY : String(assignedTo);
    if (assignee.value !== value) assignee.value = value;
  }

  const chosen = () => assignee.selectedOptions[0].userId;

  function renderLog() {
    const thread = store.thread(room);
    const waiting = waitingOf(thread);
    const readers = state.rooms.get(room)?.readBy ?? new Map();
    const of = [thread.version, dayOf(Date.now()), waiting.map(identity).join(), [...readers].join(), state.names.size, state.me?.id].join('\n');
    if (of !== built.of) built = { of, entries: entriesOf(thread, waiting, readers) };
    virtual.set(built.entries);
    setHidden(newest, virtual.isAtEnd());
    renderNote(thread, waiting);
    loadOlder();
    if (thread.loaded && log.hasAttribute('aria-busy')) requestAnimationFrame(() => log.removeAttribute('aria-busy'));
  }

  /** Before one is at the start, and until there is something to scroll. */
  function loadOlder() {
    const { loaded, problem } = store.thread(room);
    if (loaded && !problem && virtual.isAtStart()) actions.loadOlder(room);
  }

  /** A chat's message is heard before its ack: it would be there twice for a moment. */
  function waitingOf(thread) {
    const waiting = outbox.of(room);
    return waiting.filter(({ id, body, sending, at }) => {
      if (thread.byKey.has(`out:${id}`)) return false;
      return !sending || !thread.messages.slice(-5).some((message) => message.direction === 'out' && message.body === body && message.offset === null && message.at >= at - 1000 && !message.id?.startsWith('c-'));
    });
  }

  function entriesOf(thread, waiting, readers) {
    const entries = [];
    let last = null;
    let day = null;
    const lastRead = new Map();
    for (const [userId, key] of readers) lastRead.set(key, [...(lastRead.get(key) ?? []), store.nameOf(userId)]);
    if (unreadCount > 0 && thread.loaded) noteUnread(thread);
    const add = (message, waitingItem) => {
      // Asking for the day of each of 10,000 would take longer than all the rest.
      if (day === null || message.at < day || message.at >= day + SHORTEST_DAY_MS) {
        const today = dayOf(message.at);
        if (today !== day) {
          entries.push({ type: 'day', key: `day:${message.key}`, at: message.at });
          last = null;
        }
        day = today;
      }
      if (message.key === unreadFrom) {
        entries.push({ type: 'new', key: 'new' });
        last = null;
      }
      const continues = last !== null && last.direction === message.direction && String(last.author) === String(message.author) && message.at - last.at < CONTINUES_MS;
      entries.push({ type: 'message', key: message.key, message, continues, readers: lastRead.get(message.key)?.join(', '), waiting: waitingItem });
      last = message;
    };
    for (const message of thread.messages) add(message);
    for (const item of waiting) {
      add({ key: `out:${item.id}`, direction: 'out', event: 'message', body: item.body, author: state.me.id, at: item.at, media: (item.media ?? []).map((url) => ({ url })) }, item);
    }
    return entries;
  }

  function signature({ type, message, continues, readers = '', waiting }) {
    if (type !== 'message') return `${dayOf(Date.now())}`;
    return `${identity(waiting ?? message)} ${continues} ${readers} ${message.author === null ? '' : store.nameOf(message.author)}`;
  }

  /** The server counts what came in since the line last read. */
  function noteUnread({ messages }) {
    const came = messages.filter(({ direction }) => direction === 'in');
    unreadFrom = came.at(-unreadCount)?.key ?? came[0]?.key ?? null;
    unreadCount = 0;
  }

  const emptyWords = () => (placeOf(room).kind === 'ticket' ? 'Nothing here yet. What happens to this ticket shows up by itself.' : 'Nothing here yet. Say hello.');

  function renderNote(thread, waiting) {
    const isEmpty = thread.loaded && thread.messages.length + waiting.length === 0;
    const words = state.refusal ? '' : thread.problem ? `The messages could not be loaded: ${thread.problem}` : thread.loading ? (thread.loading === 'older' ? 'Loading older messages…' : thread.loaded ? '' : 'Loading messages…') : isEmpty ? emptyWords() : '';
    setHidden(note, !words);
    if (note.dataset.words === words) return;
    note.dataset.words = words;
    note.replaceChildren(words);
    if (thread.problem) note.append(h('button.plain', { type: 'button', onclick: () => actions.reload(room) }, 'Try again'));
  }

  function renderOthers(place) {
    const found = state.rooms.get(room);
    const typing = [...(found?.typing ?? [])].map(store.nameOf);
    const looking = place.kind === 'sms' || place.kind === 'ticket' ? store.others(room).map(({ userId }) => store.nameOf(userId)) : [];
    const words = typing.length > 0 ? `${listOf(typing)} typing…` : looking.length > 0 ? `${listOf(looking)} looking at this, too` : '';
    setText(others, words);
    setAttribute(others, 'data-typing', typing.length > 0);
  }

  function retry({ message, waiting }) {
    if (waiting) outbox.retry(waiting.id);
    else actions.sendAgain(room, message);
    virtual.scrollToEnd();
  }

  function goBack() {
    history.length > 1 && history.state?.opened ? history.back() : actions.close();
  }

  return {
    element, render,
    /** To where one goes on: the field; the title where a field would bring up a keyboard over all of it. */
    focus() {
      if (composer.field.disabled || composer.field.closest('[hidden]') || matchMedia('(pointer: coarse)').matches) title.focus();
      else composer.focus();
    },
  };
}

function listOf(names) {
  if (names.length === 1) return `${names[0]} is`;
  if (names.length > 3) return `${names[0]}, ${names[1]} and ${names.length - 2} others are`;
  return `${names.slice(0, -1).join(', ')} and ${names.at(-1)} are`;
}
