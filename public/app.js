// The page: makes the store, the connection and the views, and draws once a frame what has changed.

import { createActions } from './actions.js';
import { createApi } from './api.js';
import { createLive } from './live.js';
import { placeOf } from './messages.js';
import { createStore } from './store.js';
import { createBell, createToasts } from './ui/bell.js';
import { h, setHidden, setText } from './ui/dom.js';
import { createBanner, createLogin } from './ui/login.js';
import { createLists, createRail } from './ui/sidebar.js';
import { createStatus } from './ui/status.js';
import { createThread } from './ui/thread.js';

// A tab that is not seen gets no frames, but its title is.
const HIDDEN_FRAME_MS = 250;
const TOKEN = 'dialtone.token';

const storage = sessionStorage;
let token = storage.getItem(TOKEN);
const session = {
  save(next) {
    token = next;
    storage.setItem(TOKEN, next);
  },
  forget() {
    token = null;
    storage.removeItem(TOKEN);
  },
};

// ── The parts ──

const store = createStore(changed);
const { state } = store;
const toast = createToasts();
const api = createApi({ token: () => token });
const live = createLive({
  standing: (standing) => actions.standing(standing),
  connected: (namespace) => actions.connected(namespace),
  back: (away) => actions.back(away),
  event: (...heard) => actions.event(...heard),
});
const actions = createActions({ store, api, live, storage, changed, toast, session });

const context = { store, actions, api, live };
const status = createStatus(context);
const banner = createBanner(context);
const bell = createBell(context);
const rail = createRail(context);
const lists = createLists(context);
const thread = createThread(context);
const main = document.getElementById('main');
const who = h('span.who');
const signedIn = h('div.session', {}, bell.element, who, h('button.plain', { type: 'button', onclick: signOut }, 'Sign out'));

// ── Drawing ──

let isDrawn = true; // false while a frame is asked for
let isIn = null; // what is shown: signed in or not
let shownRoom = null;

function changed() {
  if (!isDrawn) return;
  isDrawn = false;
  if (document.hidden) setTimeout(draw, HIDDEN_FRAME_MS);
  else requestAnimationFrame(draw);
}

function draw() {
  isDrawn = true;
  if (isIn !== (state.me !== null)) switchTo(state.me !== null);
  status.render();
  banner.render();
  setText(who, state.me?.name ?? String(state.me?.id ?? ''));
  const unread = state.me ? store.unread() : 0;
  const title = unread > 0 ? `(${unread}) Dialtone` : 'Dialtone';
  if (document.title !== title) document.title = title;
  if (!isIn) return;
  bell.render();
  rail.render();
  lists.render();
  thread.render();
  main.dataset.screen = state.open ? 'thread' : 'list';
  if (shownRoom !== state.open) roomChanged();
}

function switchTo(nowIn) {
  isIn = nowIn;
  const sessionBar = document.getElementById('session');
  if (isIn) {
    main.replaceChildren(rail.element, lists.element, thread.element);
    sessionBar.replaceChildren(signedIn);
  } else {
    main.replaceChildren(createLogin({ actions, wasRoom: roomOfAddress() ?? '' }));
    sessionBar.replaceChildren();
    main.dataset.screen = 'login';
  }
}

/** The address says which room is open, so that Back, Forward and a reload do what they say. It never has the token. */
function roomChanged() {
  const wasOpen = shownRoom;
  shownRoom = state.open;
  if (roomOfAddress() !== state.open) history.pushState({ opened: true }, '', state.open ? `#${encodeURIComponent(state.open)}` : location.pathname);
  if (state.open) thread.focus();
  else if (wasOpen) lists.focusList();
}

function roomOfAddress() {
  try {
    const room = decodeURIComponent(location.hash.slice(1));
    return placeOf(room) ? room : null;
  } catch {
    return null;
  }
}

function signOut() {
  actions.signOut();
  shownRoom = null;
  history.replaceState(null, '', location.pathname);
  draw();
  document.getElementById('token').focus();
}

// ── Keys, the address, the clock ──

addEventListener('popstate', () => {
  if (!state.me) return;
  const room = roomOfAddress();
  if (room === state.open) return;
  if (room) actions.open(room);
  else actions.close();
});

document.addEventListener('keydown', (event) => {
  if (!isIn || event.defaultPrevented || event.altKey || event.ctrlKey || event.metaKey) return;
  const isWriting = event.target.matches('input, textarea, select');
  if (event.key === '/' && !isWriting) {
    event.preventDefault();
    lists.focusSearch();
  } else if (event.key === 'Escape' && document.activeElement !== document.body) {
    // Out of the field, to where the next conversation is chosen.
    lists.focusList();
  }
});

// Times such as `14:05` become `Mon` by themselves; a session that ends soon says so.
setInterval(changed, 30_000);

setHidden(document.getElementById('reconnect'), true);
draw();
if (token) actions.signIn(token, roomOfAddress());
