// The list of messages: what an event reads like, and where it stands. Everything that came over the wire is put in
// as text, never as HTML.

const SHOWN_MAX = 500;
const TEXT_MAX = 10_000;
// How far from the end still counts as reading the newest.
const NEAR_END_PX = 48;

/** What to show for an event of any kind: `{ sender, text, details, links, event }`; `event` only for the unknown. */
export function describe(frame) {
  const data = frame.data ?? {};
  if (frame.event === 'new_message' && typeof data.message === 'string') return describeChat(frame, data);
  if (frame.event === 'new_message' && data.from !== undefined) return describeSms(data);
  if (frame.event === 'message' && typeof data.body === 'string') {
    return { sender: frame.sender ?? null, text: data.body, details: '', links: [] };
  }
  const sender = frame.sender ?? data.sender_id ?? data.userId ?? null;
  const payload = frame.data ?? frame.args;
  return { sender, text: JSON.stringify(payload) ?? '', details: '', links: [], event: frame.event };
}

function describeChat(frame, data) {
  // Images and documents carry their address as the message.
  const isFile = data.message_type === 'image' || data.message_type === 'document';
  const links = isFile ? webLinks([data.message], ['http:', 'https:']) : [];
  return { sender: data.sender_id ?? frame.sender ?? null, text: data.message, details: '', links };
}

function describeSms(data) {
  const sender = data.profileName ? `${data.profileName} (${data.from})` : data.from;
  const details = [data.channel, data.to && `to ${data.to}`].filter(Boolean).join(' ');
  const media = Array.isArray(data.media) ? data.media : [];
  const links = webLinks(media.map((item) => item?.url), ['https:']);
  return { sender, text: String(data.body ?? ''), details, links };
}

/** Only addresses that the URL parser takes for one of these protocols: `javascript:` and its like never become links. */
function webLinks(addresses, protocols) {
  const urls = addresses.map((address) => (URL.canParse(address) ? new URL(address) : null));
  return urls.filter((url) => url && protocols.includes(url.protocol)).map((url) => url.href);
}

export class MessageList {
  #list;
  #scroller;
  #empty;
  // { element, offset, id, text, pending } in the order shown: by offset, what is not yet numbered last.
  #entries = [];

  constructor({ list, scroller, empty }) {
    this.#list = list;
    this.#scroller = scroller;
    this.#empty = empty;
    // A phone's keyboard or a growing hint shrinks the list: whoever read the newest goes on reading it.
    let wasAtEnd = true;
    scroller.addEventListener('scroll', () => (wasAtEnd = this.#isAtEnd()));
    new ResizeObserver(() => wasAtEnd && this.#scrollToEnd()).observe(scroller);
  }

  /** An event of the room; `sender` is the name to show. */
  add({ view, sender, own, at, offset }) {
    const element = messageElement({ ...view, sender, at: at ? new Date(at) : new Date() });
    element.classList.toggle('own', own);
    this.#insert({ element, offset, pending: false });
  }

  /** One's own, before the server has taken it. */
  addPending(id, text) {
    const view = { text, details: '', links: [], sender: 'you', at: new Date() };
    const element = messageElement(view);
    element.classList.add('own');
    const entry = { element, id, text, pending: true };
    this.#insert(entry);
    setDelivery(entry, 'pending', 'waiting…');
    this.#scrollToEnd();
  }

  /** The server has it, at this offset (none for an ephemeral event). */
  accept(id, offset) {
    const entry = this.#take(id);
    if (!entry) return;
    // A replay or another connection may have brought it already: keep the one that is there.
    const twin = offset !== undefined && this.#entries.find((other) => other.offset === offset);
    if (twin) {
      twin.element.classList.add('own');
      twin.element.querySelector('.sender').textContent = 'you';
      entry.element.remove();
      return;
    }
    setDelivery(entry, '', '');
    this.#insert({ element: entry.element, offset, pending: false });
  }

  fail(id, reason, retry) {
    const entry = this.#entries.find((other) => other.id === id);
    if (!entry) return;
    setDelivery(entry, 'failed', `not sent: ${reason}`);
    if (!retry) return;
    const button = child(entry.element.querySelector('.delivery'), 'button', '', 'Try again');
    button.type = 'button';
    button.addEventListener('click', () => {
      setDelivery(entry, 'pending', 'waiting…');
      retry(entry.text);
    });
  }

  failAllPending(reason) {
    for (const entry of this.#entries) {
      if (entry.pending && !entry.element.classList.contains('failed')) this.fail(entry.id, reason, null);
    }
  }

  /** Forgets what the server will tell again; one's own unsent messages stay unless `everything`. */
  clear({ everything = false } = {}) {
    this.#entries = this.#entries.filter((entry) => !everything && entry.pending);
    this.#list.replaceChildren(...this.#entries.map((entry) => entry.element));
    this.#empty.hidden = this.#entries.length > 0;
  }

  #take(id) {
    const index = this.#entries.findIndex((entry) => entry.id === id);
    return index < 0 ? null : this.#entries.splice(index, 1)[0];
  }

  #insert(entry) {
    const wasAtEnd = this.#isAtEnd();
    let index = this.#entries.length;
    while (!entry.pending && index > 0 && isAfter(this.#entries[index - 1], entry)) index -= 1;
    this.#list.insertBefore(entry.element, this.#entries[index]?.element ?? null);
    this.#entries.splice(index, 0, entry);
    if (this.#entries.length > SHOWN_MAX) this.#entries.shift().element.remove();
    this.#empty.hidden = true;
    if (wasAtEnd) this.#scrollToEnd();
  }

  #isAtEnd() {
    const { scrollHeight, scrollTop, clientHeight } = this.#scroller;
    return scrollHeight - scrollTop - clientHeight < NEAR_END_PX;
  }

  #scrollToEnd() {
    this.#scroller.scrollTop = this.#scroller.scrollHeight;
  }
}

function isAfter(other, entry) {
  return other.pending || (entry.offset !== undefined && other.offset > entry.offset);
}

function messageElement({ sender, text, details, links, event, at }) {
  const element = document.createElement('li');
  element.className = event ? 'message other-event' : 'message';
  const meta = child(element, 'p', 'meta');
  // bdi: a right-to-left name must not turn the rest of the line round.
  child(meta, 'bdi', 'sender', sender);
  if (event) child(meta, 'code', 'event-name', event);
  if (details) child(meta, 'span', 'details', details);
  meta.append(timeElement(at));
  child(meta, 'span', 'delivery');
  if (text) child(element, 'p', 'body', shorten(text)).dir = 'auto';
  for (const href of links) element.append(linkElement(href));
  return element;
}

function timeElement(at) {
  const element = document.createElement('time');
  if (Number.isNaN(at.getTime())) return element;
  const isToday = at.toDateString() === new Date().toDateString();
  element.dateTime = at.toISOString();
  element.title = at.toLocaleString();
  element.textContent = isToday
    ? at.toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' })
    : at.toLocaleString([], { month: 'short', day: 'numeric', hour: '2-digit', minute: '2-digit' });
  return element;
}

function linkElement(href) {
  const link = document.createElement('a');
  link.href = href;
  link.target = '_blank';
  link.rel = 'noopener noreferrer';
  link.textContent = href;
  return link;
}

function setDelivery(entry, state, text) {
  entry.element.classList.toggle('pending', state === 'pending');
  entry.element.classList.toggle('failed', state === 'failed');
  entry.element.querySelector('.delivery').textContent = text;
}

function child(parent, tag, className, text = '') {
  const element = document.createElement(tag);
  element.className = className;
  element.textContent = text;
  parent.append(element);
  return element;
}

function shorten(text) {
  return text.length > TEXT_MAX ? `${text.slice(0, TEXT_MAX)}…` : text;
}
