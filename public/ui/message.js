// One line of a thread: a day, a message, an event, or what waits to be sent.

import { hasFailed } from '../messages.js';
import { clockTime, dayName, exactTime, linkParts, webAddress } from '../text.js';
import { h, icon, quietly } from './dom.js';

// A longer one is cut: nobody reads it here, and a browser stumbles over it.
const TEXT_MAX = 20_000;

const TICKS = {
  queued: 'clock', accepted: 'clock', scheduled: 'clock', sending: 'clock', waiting: 'clock',
  unknown: 'question', sent: 'check', delivered: 'checks', read: 'checks',
};
const MEANINGS = {
  queued: 'queued: it will be sent in its turn',
  unknown: 'unknown: Twilio may have it or not; look it up before you send it again',
  waiting: 'waiting: it is sent once there is a connection',
};

/** @param {{ nameOf: (userId: any) => string, media: object, retry: (entry: object) => void, discard: (entry: object) => void, place: () => object }} context */
export function createMessageRow({ nameOf, media, retry, discard, place }) {
  function make(entry) {
    if (entry.type === 'day') return h('li.day', {}, h('span', {}, dayName(entry.at)));
    if (entry.type === 'new') return h('li.day.new', {}, h('span', {}, 'New'));
    return entry.message.direction === 'note' ? note(entry.message) : message(entry);
  }

  function message({ message: one, continues, waiting, readers }) {
    const { direction, author, name, body, at } = one;
    const sender = author === null ? (name ?? '') : nameOf(author);
    const failed = waiting ? Boolean(waiting.problem) : hasFailed(one);
    const row = h('li.message', { 'data-direction': direction, 'data-continues': continues, 'data-failed': failed, 'data-waiting': Boolean(waiting && !failed) });
    if (sender) row.append(h('p.sender', { 'data-continues': continues }, h('bdi', {}, sender)));
    const bubble = h('div.bubble');
    if (body) bubble.append(h('p.body', { dir: 'auto' }, ...textOf(body)));
    for (const [index, item] of one.media.entries()) bubble.append(item.stored ? media.view(place(), one, item, index) : link(item.url));
    if (one.optOut) bubble.append(h('p.hint', {}, one.optOut === 'STOP' ? 'The contact wants no more messages.' : one.optOut === 'START' ? 'The contact wants messages again.' : 'The contact asked for help.'));
    row.append(bubble, meta(one, waiting, failed, at));
    if (readers) row.append(h('p.readers', {}, `Read by ${readers}`));
    return row;
  }

  function meta(one, waiting, failed, at) {
    const element = h('p.meta', {}, h('time', { datetime: new Date(at).toISOString(), title: exactTime(at) }, clockTime(at)));
    const status = waiting ? 'waiting' : one.status;
    if (failed) {
      const reason = (waiting ? waiting.problem : one.problem) ?? 'no reason was given';
      element.append(h('span.status.bad', {}, icon('alert'), `${waiting || one.status === 'failed' ? 'failed' : one.status}: ${reason}`));
      element.append(h('button.plain.small', { type: 'button', onclick: () => retry({ message: one, waiting }) }, 'Retry'));
      if (waiting) element.append(h('button.plain.small', { type: 'button', onclick: () => discard(waiting) }, 'Discard'));
    } else if (status && one.direction === 'out') {
      const isPlain = status === 'waiting' || status === 'unknown';
      element.append(h('span.status', { 'data-status': status, title: MEANINGS[status] ?? status }, icon(TICKS[status] ?? 'check'), isPlain ? status : quietly(status)));
    }
    return element;
  }

  /** An event of a backend's or a relay's: its name, and what it says. */
  function note({ event, author, body, at }) {
    return h('li.note', {},
      h('p.meta', {}, author !== null && h('bdi', {}, nameOf(author)), h('code', {}, event), h('time', { datetime: new Date(at).toISOString(), title: exactTime(at) }, clockTime(at))),
      h('p.body', { dir: 'auto' }, body.length > TEXT_MAX ? `${body.slice(0, TEXT_MAX)}…` : body));
  }

  return make;
}

function textOf(body) {
  const parts = linkParts(body.length > TEXT_MAX ? `${body.slice(0, TEXT_MAX)}…` : body);
  return parts.map(({ text, href }) => (href ? link(href, text) : text));
}

function link(address, text = address) {
  const href = webAddress(address);
  // As it is written: the address decides nothing about what is shown.
  return href ? h('a', { href, target: '_blank', rel: 'noopener noreferrer' }, text) : text;
}
