// Writing: what is sent goes through the outbox, and is delivered by whatever its room speaks.

import { ApiError, wordsOf } from './api.js';
import { placeOf } from './messages.js';
import { createOutbox } from './outbox.js';
import { randomId } from './text.js';

const TYPING_EVERY_MS = 2_000;
const RETRY_SEND_MS = 3_000;

/** `joined`: the rooms that the connection is in; `join` gets it into one. */
export function createWriting({ store, api, live, storage, changed, toast, joined, join }) {
  const outbox = createOutbox({ deliver, mayDeliver: () => live.isConnected('/'), changed, storage });
  let typingAt = 0;
  let typingRoom = null;

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
    if (!answer.ok) {
      if (answer.error.code === 'not_in_room') joined.delete(item.room);
      return outcomeOf(answer.error);
    }
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

  return { outbox, write, sendAgain, typing, stopTyping };
}
