// Writing: the field, what it counts to, and why it may be closed.

import { placeOf } from '../messages.js';
import { count, countSegments } from '../text.js';
import { h, icon, setAttribute, setHidden, setText } from './dom.js';

const SMS_MAX = 1_600;
const CHAT_MAX = 10_000;
const CLOSED = {
  ticket: 'Your backend writes here. What it says shows up by itself.',
};

export function createComposer({ store, actions }) {
  const { state } = store;
  const drafts = new Map(); // room -> text
  let room = null;
  const field = h('textarea', { id: 'message', rows: 1, placeholder: 'Write a message', 'aria-describedby': 'composer-hint', onkeydown: sendOnEnter, oninput: written, onblur: actions.stopTyping });
  const send = h('button', { id: 'send', type: 'submit' }, icon('send'), 'Send');
  const hint = h('p.hint', { id: 'composer-hint' });
  const counter = h('p.hint.counter');
  const below = h('div.below', {}, hint, counter);
  const closed = h('p.closed');
  const form = h('form', { id: 'composer', onsubmit: submit }, h('label.sr', { for: 'message' }, 'message'), h('div.writing', {}, field, send), below);
  const element = h('div.composer', {}, closed, form);

  function render(place) {
    if (place.room !== room) change(place.room);
    const conversation = state.conversations.get(room);
    const why = state.refusal ? `This room cannot be opened: ${state.refusal}` : (CLOSED[place.kind] ?? (conversation?.optedOut ? 'This contact has opted out: no messages can be sent until they write START.' : ''));
    setText(closed, why);
    setHidden(closed, !why);
    // What may open again stays where it is, closed; what never does is not there.
    setHidden(form, place.kind in CLOSED);
    setAttribute(field, 'disabled', Boolean(why));
    setAttribute(field, 'maxlength', place.kind === 'sms' ? SMS_MAX : CHAT_MAX);
    setAttribute(send, 'disabled', Boolean(why));
    setHidden(below, Boolean(why));
    setText(hint, state.connection.name === 'connected' ? 'Enter sends, Shift+Enter starts a new line' : 'No connection: what you send waits here and goes out once, by itself');
    countText(place);
  }

  function countText(place) {
    if (place.kind !== 'sms' || place.line.startsWith('whatsapp:') || !field.value) return setText(counter, '');
    const { characters, segments, encoding } = countSegments(field.value);
    setText(counter, `${characters} / ${count(segments, 'segment')}`);
    setAttribute(counter, 'title', `${encoding}; sent as ${count(segments, 'SMS').replace('SMSs', 'SMS')}`);
    setAttribute(counter, 'data-many', segments > 1);
  }

  function change(next) {
    if (room && field.value) drafts.set(room, field.value);
    else drafts.delete(room);
    room = next;
    field.value = drafts.get(room) ?? '';
    fit();
  }

  /** For browsers that cannot size a field by its content themselves. */
  function fit() {
    if (CSS.supports('field-sizing', 'content')) return;
    field.style.height = 'auto';
    field.style.height = `${field.scrollHeight}px`;
  }

  function written() {
    fit();
    if (field.value) actions.typing(room);
    else actions.stopTyping();
    countText(placeOf(room));
  }

  function submit(event) {
    event.preventDefault();
    const text = field.value;
    if (field.disabled || text.trim() === '' || !actions.write(room, text)) return;
    field.value = '';
    drafts.delete(room);
    fit();
    field.focus();
    element.dispatchEvent(new CustomEvent('written', { bubbles: true }));
  }

  function sendOnEnter(event) {
    // isComposing: Enter also confirms a word in Japanese or Chinese input.
    if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    form.requestSubmit();
  }

  return { element, render, focus: () => field.focus(), field };
}
