// On the left: the rail with the lines and the other views, and the list of what is in the view.

import { bare } from '../messages.js';
import { count, exactTime, shortTime } from '../text.js';
import { avatar, h, icon, keyed, quietly, setAttribute, setHidden, setText } from './dom.js';
import { createJobs } from './jobs.js';
import { createVirtualList } from './virtual.js';

const TITLES = { inbox: 'Inbox', chats: 'Chats and rooms', tickets: 'Tickets', jobs: 'Jobs' };
const FILTERS = { all: 'All', unread: 'Unread', mine: 'Mine' };
const silent = { 'aria-hidden': 'true' };
const isWhatsApp = (line) => line.startsWith('whatsapp:');

// ── The rail ──

export function createRail({ store, actions }) {
  const { state } = store;
  const views = h('ul.views');
  const lines = h('ul.lines', { 'aria-label': 'Lines' });
  const problem = h('p.problem', { role: 'alert' });
  const room = h('input', { id: 'room', type: 'text', required: true, spellcheck: 'false', autocapitalize: 'off', autocomplete: 'off', placeholder: 'chat:42' });
  const submit = (event) => {
    event.preventDefault();
    const opened = actions.open(room.value.trim());
    setText(problem, opened ? '' : 'A room is named kind:id, such as chat:42 or ticket:7.');
    if (opened) room.value = '';
  };
  const form = h('form.open-room', { onsubmit: submit }, h('label', { for: 'room' }, 'room'), h('div.together', {}, room, h('button.plain', { type: 'submit' }, 'Open')), problem);
  const element = h('nav', { id: 'rail', 'aria-label': 'Views' }, views, h('h2.small', {}, 'Lines'), lines, form);

  function render() {
    const chats = [...state.chats.values()].reduce((sum, { id }) => sum + store.unreadOfChat(id), 0);
    const tickets = [...state.tickets.values()].filter(({ unread }) => unread).length;
    const entries = [
      { view: 'inbox', line: null, label: 'Inbox', drawing: 'inbox', unread: store.unread() },
      { view: 'chats', label: 'Chats', drawing: 'chat', unread: chats },
      { view: 'tickets', label: 'Tickets', drawing: 'ticket', unread: tickets },
      { view: 'jobs', label: 'Jobs', drawing: 'job', unread: 0 },
    ];
    const isCurrent = (entry) => state.view === entry.view && (entry.view !== 'inbox' || state.line === entry.line);
    const signature = (entry) => `${entry.unread} ${isCurrent(entry)}`;
    keyed(views, entries, ({ view }) => view, signature, (entry) => button(entry, isCurrent(entry)));
    const numbers = [...state.lines.values()].map(({ number, problem: trouble }) => ({ view: 'inbox', line: number, label: bare(number), drawing: isWhatsApp(number) ? 'chat' : 'phone', unread: store.unread(number), people: store.others(`line:${number}`).length, trouble }));
    keyed(lines, numbers, ({ line }) => line, (entry) => `${signature(entry)} ${entry.people} ${entry.trouble}`, (entry) => button(entry, isCurrent(entry)));
    setHidden(lines.previousSibling, numbers.length === 0);
    setHidden(lines, numbers.length === 0);
  }

  function button({ view, line, label, drawing, unread, people, trouble }, isCurrent) {
    const show = () => store.set({ view, ...(view === 'inbox' && { line }) });
    return h('li', {}, h('button.row', { type: 'button', onclick: show, 'aria-current': isCurrent && 'true', title: line && isWhatsApp(line) ? `${label}, WhatsApp` : label },
      h('span.drawing', {}, icon(drawing), people > 0 && h('span.dot', { title: `${count(people, 'colleague')} online` })), h('span.label', {}, label),
      line && isWhatsApp(line) && quietly(', WhatsApp'),
      people > 0 && quietly(`, ${count(people, 'colleague')} online`),
      trouble && h('span.trouble', { title: trouble }, icon('alert'), quietly(trouble)),
      unread > 0 && h('span.badge', {}, quietly(', '), unread > 999 ? '999+' : String(unread), quietly(' unread'))));
  }

  return { element, render };
}

// ── The list ──

export function createLists({ store, actions }) {
  const { state } = store;
  const title = h('h2');
  const search = h('input', { id: 'search', type: 'search', placeholder: 'Name, number or text', autocomplete: 'off', spellcheck: 'false', oninput: () => store.set({ search: search.value }) });
  const filters = h('div.filters', { role: 'group', 'aria-label': 'Show' }, Object.entries(FILTERS).map(([filter, label]) =>
    h('button.plain', { type: 'button', 'data-filter': filter, onclick: () => store.set({ filter }) }, label)));
  const tools = h('div.tools', {}, h('label.sr', { for: 'search' }, 'search'), h('div.search', {}, icon('search'), search), filters);
  const conversations = createConversations({ store, actions });
  const rooms = createRooms({ store, actions });
  const jobs = createJobs({ store, actions });
  const element = h('section', { id: 'lists', 'aria-label': 'List' }, h('header', {}, title, tools));
  const panes = { inbox: conversations, chats: rooms, tickets: rooms, jobs };
  let pane = null;

  search.addEventListener('keydown', (event) => {
    if (event.key === 'Escape' && search.value) store.set({ search: (search.value = '') });
    else if (event.key === 'ArrowDown') conversations.focus();
    else if (event.key === 'Enter') conversations.openFirst();
    else return;
    event.preventDefault();
  });

  function render() {
    const { view, line } = state;
    setText(title, view === 'inbox' && line ? `${bare(line)}${isWhatsApp(line) ? ' · WhatsApp' : ''}` : TITLES[view]);
    setHidden(tools, view !== 'inbox');
    for (const button of filters.children) setAttribute(button, 'aria-pressed', String(button.dataset.filter === state.filter));
    if (pane !== panes[view]) {
      pane?.left?.();
      pane?.element.remove();
      pane = panes[view];
      element.append(pane.element);
      pane.render();
      pane.entered?.();
    } else {
      pane.render();
    }
  }

  return {
    element, render,
    focusSearch() {
      if (state.view !== 'inbox') store.set({ view: 'inbox' });
      render();
      search.focus();
      search.select();
    },
    focusList: () => conversations.focus(),
  };
}

function createConversations({ store, actions }) {
  const { state } = store;
  const list = h('div.rows', { role: 'presentation' });
  const box = h('div.scroller', { id: 'conversations', role: 'listbox', tabindex: '0', 'aria-label': 'Conversations' }, list);
  const empty = h('div.empty');
  const element = h('div.pane.fixed', {}, box, empty);
  let active = null; // the room that the arrow keys are at
  let items = [];
  let of = '';
  let scrolledTo = 0;

  const virtual = createVirtualList({ scroller: box, list, estimate: 72, keyOf: ({ room }) => room, signature, make: row, place });
  const identities = new WeakMap();
  let lastIdentity = 0;

  function identity(item) {
    if (!identities.has(item)) identities.set(item, ++lastIdentity);
    return identities.get(item);
  }

  function signature(item) {
    const assignee = item.assignedTo === null ? '' : `${store.nameOf(item.assignedTo)} ${store.isOnline(item.assignedTo)}`;
    return `${identity(item)} ${shortTime(item.at)} ${assignee} ${state.lines.size > 1 && !state.line}`;
  }

  function place(element_, _, { room }) {
    setAttribute(element_, 'aria-selected', String(room === state.open));
    element_.classList.toggle('active', room === active);
  }

  function render() {
    items = store.listConversations();
    const next = `${state.line} ${state.filter} ${state.search}`;
    if (next !== of) virtual.reset();
    of = next;
    if (!items.some(({ room }) => room === active)) active = null;
    setHidden(box, items.length === 0);
    setHidden(empty, items.length > 0);
    if (items.length > 0) virtual.set(items);
    else explain();
    setAttribute(box, 'aria-activedescendant', active && virtual.rowOf(active)?.id);
  }

  function explain() {
    const [heading, text] = emptyWords();
    if (empty.dataset.heading === heading + text) return;
    empty.dataset.heading = heading + text;
    const again = state.linesProblem ? h('button.plain', { type: 'button', onclick: () => actions.loadLines() }, 'Try again') : null;
    empty.replaceChildren(...[icon('inbox'), h('strong', {}, heading), text, again].filter(Boolean));
  }

  function emptyWords() {
    if (state.linesProblem) return ['The lines could not be loaded', state.linesProblem];
    if (state.search) return ['Nothing found', `No conversation has “${state.search}” in its name, number or last message.`];
    if (state.filter === 'unread') return ['All caught up', 'No conversation is waiting to be read.'];
    if (state.filter === 'mine') return ['Nothing is assigned to you', 'Open a conversation and choose yourself under “Assigned to”.'];
    if (!state.linesLoaded || [...state.lines.values()].some(({ loaded, problem }) => !loaded && !problem)) return ['Loading…', ''];
    if (state.lines.size === 0) return ['No phone line yet', 'You see a line here once it is assigned to you. Chats and tickets are under their own names.'];
    return ['No conversations yet', 'The first message to this line shows up here by itself.'];
  }

  function row(item) {
    const { room, number, profileName, line, lastMessage, unread, optedOut, assignedTo, at } = item;
    const assignee = assignedTo === null ? null : store.nameOf(assignedTo);
    const preview = previewOf(lastMessage);
    const name = [number, profileName, unread > 0 && `${unread} unread`, optedOut && 'opted out', assignee && `assigned to ${assignedTo}${assignee === String(assignedTo) ? '' : ` (${assignee})`}`, preview, shortTime(at)];
    return h('div.conversation', { role: 'option', id: `option-${identity(item)}`, 'data-unread': unread > 0, onclick: () => open(room) },
      // Read in the order in which one listens, which is not that in which one looks.
      quietly(name.filter(Boolean).join(', ')),
      avatar(number, profileName ?? number),
      h('span.who', silent, h('bdi', {}, profileName ?? number)),
      h('time', { ...silent, datetime: new Date(at).toISOString(), title: exactTime(at) }, shortTime(at)),
      h('span.preview', { ...silent, dir: 'auto' }, lastMessage?.direction === 'outbound' && h('span.mine', {}, 'Sent: '), preview),
      h('span.marks', silent,
        profileName && h('span', {}, number),
        state.lines.size > 1 && !state.line && h('span.via', {}, `${isWhatsApp(line) ? 'WhatsApp ' : ''}to ${bare(line)}`),
        optedOut && h('span.tag.bad', {}, 'opted out'),
        assignee && h('span.tag', { 'data-online': store.isOnline(assignedTo) }, assignee)),
      unread > 0 && h('span.badge', silent, unread > 99 ? '99+' : String(unread)));
  }

  function open(room) {
    active = room;
    actions.open(room);
  }

  const KEYS = { ArrowDown: 1, ArrowUp: -1, PageDown: 8, PageUp: -8, Home: -Infinity, End: Infinity };
  box.addEventListener('keydown', (event) => {
    if (event.key === 'Enter' || event.key === ' ') {
      if (active) open(active);
    } else if (event.key in KEYS && !event.altKey && !event.metaKey) {
      const from = items.findIndex(({ room }) => room === active);
      move(Math.min(items.length - 1, Math.max(0, from + KEYS[event.key])));
    } else {
      return;
    }
    event.preventDefault();
  });
  box.addEventListener('focus', () => {
    if (!active && items.length > 0 && box.matches(':focus-visible')) move(Math.max(0, items.findIndex(({ room }) => room === state.open)));
  });

  function move(index) {
    if (!items[index]) return;
    active = items[index].room;
    virtual.reveal(index);
    setAttribute(box, 'aria-activedescendant', virtual.rowOf(active)?.id);
  }

  return {
    element, render,
    focus() {
      box.focus();
      if (!active) move(0);
    },
    openFirst: () => items[0] && open(items[0].room),
    // What is not in the document forgets how far it was scrolled.
    left: () => (scrolledTo = box.scrollTop),
    entered: () => (box.scrollTop = scrolledTo),
  };
}

function previewOf(message) {
  if (!message) return '';
  return message.body || (message.media > 0 ? count(message.media, 'attachment') : 'No text');
}

/** Chats and relay rooms, or tickets. */
function createRooms({ store, actions }) {
  const { state } = store;
  const list = h('ul.rooms');
  const empty = h('div.empty');
  const element = h('div.pane', {}, list, empty);

  function render() {
    const isTickets = state.view === 'tickets';
    const items = [...(isTickets ? state.tickets : state.chats).values()].sort((a, b) => b.at - a.at);
    const unreadOf = (item) => (isTickets ? Number(item.unread) : item.kind === 'chat' ? store.unreadOfChat(item.id) : 0);
    const signature = (item) => `${JSON.stringify(item)} ${unreadOf(item)} ${state.open === item.room} ${item.at ? shortTime(item.at) : ''}`;
    keyed(list, items, ({ room }) => room, signature, (item) => row(item, unreadOf(item)));
    setHidden(empty, items.length > 0);
    if (items.length > 0 || empty.dataset.view === state.view) return;
    empty.dataset.view = state.view;
    const words = isTickets
      ? [icon('ticket'), h('strong', {}, 'No tickets yet'), 'A ticket shows up here when your backend creates or changes one. Open one by name: ticket:7 under “room”.']
      : [icon('chat'), h('strong', {}, 'No chats yet'), 'Open one by name: chat:42 under “room”. Chats that somebody writes to you in show up by themselves.'];
    empty.replaceChildren(...words);
  }

  function row({ room, id, kind, title, status, last, at }, unread) {
    const name = title || (kind === 'relay' ? room : kind === 'chat' ? `Chat ${id}` : `Ticket ${id}`);
    const details = kind === undefined ? [title && `#${id}`, status].filter(Boolean).join(' · ') : last;
    return h('li', {}, h('button.row.conversation', { type: 'button', 'data-unread': unread > 0, 'aria-current': state.open === room && 'true', onclick: () => actions.open(room) },
      h('span.avatar', { 'data-hue': 'none', 'aria-hidden': 'true' }, icon(kind === 'chat' ? 'chat' : kind === 'relay' ? 'room' : 'ticket')),
      h('span.who', {}, h('bdi', {}, name)),
      at > 0 && h('time', { datetime: new Date(at).toISOString() }, shortTime(at)),
      h('span.preview', { dir: 'auto' }, details || ' '),
      unread > 0 && h('span.badge', {}, quietly(', '), kind === undefined ? 'new' : String(unread), kind === undefined ? null : quietly(' unread'))));
  }

  return { element, render };
}
