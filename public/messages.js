// What a room's name says, and what an event of a room is as a line of its thread. Pure.

import { webAddress } from './text.js';

/**
 * @typedef {object} Place  What a room's name says.
 * @property {string} room
 * @property {'sms' | 'line' | 'chat' | 'ticket' | 'job' | 'relay'} kind
 * @property {string} id       after the kind
 * @property {string} [line]   of `sms` and `line`, as Twilio writes it
 * @property {string} [contact]  of `sms`, as the room has it
 *
 * @typedef {object} Message  One line of a thread.
 * @property {string} key      the same message has the same key, however it came
 * @property {'in' | 'out' | 'note'} direction  `note`: an event that is no message
 * @property {string} event
 * @property {string} body
 * @property {string | number | null} author  a user's id; null for a contact or a backend
 * @property {string} [name]   of a contact, as their profile says
 * @property {number} at       ms
 * @property {number | null} offset  null until a page of the history has said it
 * @property {string} [id]     what it was sent under
 * @property {string} [sid]    Twilio's
 * @property {string} [status]
 * @property {string} [problem]  why it failed
 * @property {{ url: string, contentType?: string, stored?: boolean }[]} media  `stored`: it is read through the server
 */

const SMS = /^sms:((?:whatsapp:)?[^:]+):((?:whatsapp:)?[^:]+)$/;
const WHATSAPP = 'whatsapp:';
const KINDS = new Set(['line', 'chat', 'ticket', 'job']);

/** @returns {Place | null} null where it is no room's name */
export function placeOf(room) {
  const [, kind, id] = /^([a-z][a-z0-9-]{0,31}):([A-Za-z0-9_.@+:-]{1,255})$/.exec(room) ?? [];
  if (!kind) return null;
  const [, line, contact] = SMS.exec(room) ?? [];
  if (line) return { room, kind: 'sms', id, line, contact };
  if (kind === 'line') return { room, kind, id, line: id };
  return { room, kind: KINDS.has(kind) ? kind : 'relay', id };
}

export const smsRoom = (line, contact) => `sms:${line}:${contact}`;

/** A number without its channel: what people read. */
export const bare = (address) => (address.startsWith(WHATSAPP) ? address.slice(WHATSAPP.length) : address);

/** A contact as the line's rooms have it: events write WhatsApp's without the prefix. */
export const contactOf = (line, number) => (line.startsWith(WHATSAPP) && !number.startsWith(WHATSAPP) ? WHATSAPP + number : number);

// How far each status is: one that is told late never moves a message back.
const PROGRESS = { queued: 0, unknown: 1, accepted: 2, scheduled: 2, sending: 3, sent: 4, delivered: 5, undelivered: 5, failed: 5, canceled: 5, read: 6 };
const ENDED_BADLY = new Set(['failed', 'undelivered', 'canceled']);

export const hasFailed = (message) => ENDED_BADLY.has(message.status);

/** What is said of a message that was sent. */
export function statusFields({ status, errorCode, errorMessage, messageSid }) {
  const problem = errorMessage ?? (errorCode === undefined ? undefined : `error ${errorCode}`);
  return { status, ...(problem && { problem }), ...(messageSid && { sid: messageSid }) };
}

/** Of two words about one message, the one that is further: what is to be kept of the known one. */
export function statusOf(known, message) {
  if (message.status === undefined || known.status === undefined) return {};
  const isNews = PROGRESS[message.status] > PROGRESS[known.status] || (message.sid && !known.sid);
  return isNews ? {} : { status: known.status, problem: known.problem ?? message.problem };
}

/**
 * An event of a room as a line of its thread; null for what is not shown there.
 * @param {Place} place
 * @param {{ event: string, data?: any, args?: any[], offset?: number, at?: string, sender?: any }} frame
 * @returns {Message | null}
 */
export function messageOf(place, frame, isMe = () => false) {
  const at = Date.parse(frame.at ?? '') || 0;
  const base = { event: frame.event, at, offset: frame.offset ?? null, author: frame.sender ?? null, media: [] };
  if (place.kind === 'sms') return smsMessage(base, frame);
  if (place.kind === 'chat') return chatMessage(base, frame, isMe);
  return eventMessage(place, base, frame, isMe);
}

function smsMessage(base, { event, data }) {
  if (event === 'new_message' && data?.messageSid) {
    const media = (Array.isArray(data.media) ? data.media : []).map((item) => ({ ...item, stored: true }));
    return { ...base, key: `in:${data.messageSid}`, direction: 'in', body: String(data.body ?? ''), author: null, name: data.profileName, sid: data.messageSid, media, optOut: data.optOutType };
  }
  if (event !== 'message_updated' || !data) return null;
  const media = (Array.isArray(data.media) ? data.media : []).filter((item) => webAddress(item?.url));
  const key = `out:${data.id ?? `${data.timestamp}:${data.body}`}`;
  return { ...base, key, direction: 'out', body: String(data.body ?? ''), author: data.userId ?? base.author, id: data.id, media, ...statusFields(data) };
}

function chatMessage(base, { event, data, at }, isMe) {
  if (event !== 'new_message' || typeof data?.message !== 'string') return null;
  const isFile = data.message_type === 'image' || data.message_type === 'document';
  const url = isFile && webAddress(data.message);
  return {
    ...base,
    key: `chat:${data.id}`,
    direction: isMe(data.sender_id) ? 'out' : 'in',
    body: url ? '' : data.message,
    author: data.sender_id,
    at: Date.parse(data.created_at ?? at) || base.at,
    id: data.id,
    media: url ? [{ url }] : [],
  };
}

function eventMessage(place, base, { event, data, args, offset }, isMe) {
  const key = offset === undefined ? `now:${base.at}:${event}` : `at:${offset}`;
  const text = event === 'message' || event === 'comment:added' ? textOf(data) : null;
  if (text === null) {
    const fields = place.kind === 'ticket' ? fieldsOf(data) : null;
    return { ...base, key, direction: 'note', body: fields ?? JSON.stringify(data ?? args ?? null) };
  }
  const author = base.author ?? data?.author?.name ?? data?.author ?? data?.userName ?? data?.userId ?? null;
  const isName = typeof author === 'string' || typeof author === 'number';
  return { ...base, key, direction: base.author !== null && isMe(base.author) ? 'out' : 'in', body: text, author: isName ? author : null };
}

/** What is usually the text of a comment or a relayed message; null where there is none. */
function textOf(data) {
  if (typeof data === 'string') return data;
  for (const name of ['text', 'body', 'message', 'comment', 'content']) if (typeof data?.[name] === 'string') return data[name];
  return null;
}

/** A ticket's fields, one a line; null for what has none. */
function fieldsOf(data) {
  if (typeof data !== 'object' || data === null || Array.isArray(data)) return null;
  return Object.entries(data).map(([name, value]) => `${name}: ${typeof value === 'string' ? value : JSON.stringify(value)}`).join('\n');
}
