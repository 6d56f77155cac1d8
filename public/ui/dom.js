// Making elements. Text goes in as text, always: there is no HTML from strings anywhere on this page.

const SVG = 'http://www.w3.org/2000/svg';

/**
 * `h('button.plain', { type: 'button', onclick: close, 'aria-label': 'Close' }, icon('x'))`. Properties that begin with
 * `on` are listeners, `true` is an empty attribute; `null`, `undefined` and `false` leave one out.
 */
export function h(tag, properties = {}, ...children) {
  const [name, ...classes] = tag.split('.');
  const element = document.createElement(name);
  if (classes.length > 0) element.className = classes.join(' ');
  for (const [key, value] of Object.entries(properties)) {
    if (key.startsWith('on')) element.addEventListener(key.slice(2), value);
    else setAttribute(element, key, value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** Written only when it changes: else screen readers repeat it, and the browser lays out for nothing. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export function setAttribute(element, name, value) {
  if (value === null || value === undefined || value === false) element.removeAttribute(name);
  else if (element.getAttribute(name) !== (value === true ? '' : String(value))) element.setAttribute(name, value === true ? '' : value);
}

export function setHidden(element, hidden) {
  if (element.hidden !== hidden) element.hidden = hidden;
}

/**
 * The children of `parent` become one element for each item, in order. An element is made anew when what `signature` says
 * of its item has changed; the focus stays.
 */
export function keyed(parent, items, keyOf, signature, make) {
  const known = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  let next = parent.firstChild;
  for (const item of items) {
    const key = String(keyOf(item));
    const sign = signature(item);
    let child = known.get(key);
    if (child && child.dataset.sign !== sign) {
      const fresh = make(item);
      if (next === child) next = fresh;
      const hadFocus = child.contains(document.activeElement);
      child.replaceWith(fresh);
      if (hadFocus) (fresh.matches('button') ? fresh : fresh.querySelector('button, a'))?.focus();
      child = fresh;
    } else if (!child) {
      child = make(item);
    }
    known.delete(key);
    child.dataset.key = key;
    child.dataset.sign = sign;
    if (child === next) next = next.nextSibling;
    else parent.insertBefore(child, next);
  }
  for (const child of known.values()) child.remove();
}

const PATHS = {
  bell: 'M12 3a6 6 0 0 0-6 6v4l-2 3h16l-2-3V9a6 6 0 0 0-6-6Zm-2.5 16a2.5 2.5 0 0 0 5 0',
  inbox: 'M4 13 6.5 5h11L20 13v6H4v-6Zm0 0h5a3 3 0 0 0 6 0h5',
  phone: 'M8 3h8a1 1 0 0 1 1 1v16a1 1 0 0 1-1 1H8a1 1 0 0 1-1-1V4a1 1 0 0 1 1-1Zm3 15h2',
  chat: 'M4 5h16v11H9l-5 4V5Z',
  ticket: 'M4 7h16v3a2 2 0 0 0 0 4v3H4v-3a2 2 0 0 0 0-4V7Zm10 0v10',
  job: 'M5 20V10m7 10V4m7 16v-7',
  back: 'm14 5-7 7 7 7',
  send: 'M4 12 20 4l-5 16-3.5-6.5L4 12Zm7.5 1.5L20 4',
  search: 'M11 4a7 7 0 1 0 0 14 7 7 0 0 0 0-14Zm5.2 12.2L21 21',
  clock: 'M12 4a8 8 0 1 0 0 16 8 8 0 0 0 0-16Zm0 4v4l3 2',
  check: 'm5 13 4 4L19 7',
  checks: 'm2 13 4 4L15 8m-4 9 1 0L21 8',
  alert: 'M12 4 2.5 20h19L12 4Zm0 6v4m0 3v.01',
  question: 'M12 4a8 8 0 1 0 0 16 8 8 0 0 0 0-16Zm-2 6a2 2 0 1 1 2.6 1.9c-.4.2-.6.5-.6 1.1v.5m0 2.5v.01',
  eye: 'M2 12c2.5-4.5 6-7 10-7s7.500 2.500 10 7c-2.500 4.500-6 7-10 7s-7.500-2.500-10-7Zm10-3a3 3 0 1 0 0 6 3 3 0 0 0 0-6Z',
  close: 'm6 6 12 12M18 6 6 18',
  down: 'm6 9 6 6 6-6',
  room: 'M9 4 7 20M17 4l-2 16M4 9h16M4 15h16',
};

/** A drawing of 20 px; what it means is said by text beside it. */
export function icon(name) {
  const svg = document.createElementNS(SVG, 'svg');
  svg.setAttribute('viewBox', '0 0 24 24');
  svg.setAttribute('class', `icon icon-${name}`);
  svg.setAttribute('aria-hidden', 'true');
  const path = document.createElementNS(SVG, 'path');
  path.setAttribute('d', PATHS[name]);
  svg.append(path);
  return svg;
}

/** Said to screen readers alone. */
export const quietly = (text) => h('span.sr', {}, text);

const HUES = 8;

/** A circle with somebody's initials, always of the same hue. */
export function avatar(id, name, { online = false } = {}) {
  const hue = [...String(id)].reduce((sum, character) => (sum * 31 + character.codePointAt(0)) % 9973, 7) % HUES;
  return h('span.avatar', { 'data-hue': hue, 'data-online': online, 'aria-hidden': 'true' }, initialsOf(name ?? String(id)));
}

function initialsOf(name) {
  const words = name.split(/[^\p{L}\p{N}]+/u).filter(Boolean);
  // Of a number its end tells it from the others.
  if (words.length === 0 || /^\d+$/.test(words.join(''))) return name.slice(-2);
  const letters = words.length === 1 ? [...words[0]].slice(0, 2) : [[...words[0]][0], [...words.at(-1)][0]];
  return letters.join('').toUpperCase();
}
