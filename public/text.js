// Text: how many SMS it is, which parts of it are links, and times in words. No DOM, no network.

// ── Segments ──

/** An SMS: 140 octets. */
const SEGMENT_BITS = 140 * 8;
/** What each of several holds less, for the header that joins them: 6 octets. */
const HEADER_BITS = 6 * 8;
/** GSM 03.38's basic characters: 7 bits. */
const BASIC = new Set(
  '@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !"#¤%&\'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà',
);
/** Its extension table: an escape and a character. */
const EXTENDED = new Set('\f^{}\\[~]|€');
/** Viramas join consonants to one cluster since Unicode 15.1; Twilio's calculator takes them apart, as the server does. */
const VIRAMAS = /[\u094d\u09cd\u0acd\u0b4d\u0c4d\u0d4d\u1039\u17d2]/g;

const clusters = new Intl.Segmenter('en', { granularity: 'grapheme' });

/**
 * How many SMS a text is sent as, as the server counts (core/src/twilio/segments.rs): an escape stays with its character,
 * a cluster of code points stays together, and what the first segment holds moves on where a header needs the space.
 * @param {string} text
 * @returns {{ characters: number, segments: number, encoding: 'GSM-7' | 'UCS-2' }}
 */
export function countSegments(text) {
  const gsm = gsm7(text);
  const units = gsm ?? ucs2(text);
  let segments = 1;
  let used = 0;
  const first = [];
  for (const bits of units) {
    if (used + bits > SEGMENT_BITS) {
      let moved = 0;
      while (segments === 1 && used + HEADER_BITS > SEGMENT_BITS) {
        const last = first.pop() ?? used;
        used -= last;
        moved += last;
      }
      segments += 1;
      used = HEADER_BITS + moved;
    }
    used += bits;
    if (segments === 1) first.push(bits);
  }
  return { characters: [...text].length, segments, encoding: gsm ? 'GSM-7' : 'UCS-2' };
}

function gsm7(text) {
  const units = [];
  for (const character of text) {
    if (BASIC.has(character)) units.push(7);
    else if (EXTENDED.has(character)) units.push(14);
    else return null;
  }
  return units;
}

function ucs2(text) {
  // A carriage return and a line feed are two here, one cluster for Intl.Segmenter.
  const plain = text.replaceAll('\r', '\n').replace(VIRAMAS, '\u0300');
  return Array.from(clusters.segment(plain), ({ segment }) => segment.length * 16);
}

// ── Links ──

const ADDRESS = /\bhttps?:\/\/[^\s<>"'`]+/gi;

/**
 * A text in parts, in order; a part with `href` is a link. Only what the URL parser takes for http or https becomes one:
 * `javascript:` and its like never do.
 * @param {string} text
 * @returns {{ text: string, href?: string }[]}
 */
export function linkParts(text) {
  const parts = [];
  let end = 0;
  for (const match of text.matchAll(ADDRESS)) {
    const address = withoutPunctuation(match[0]);
    const href = webAddress(address);
    if (!href) continue;
    if (match.index > end) parts.push({ text: text.slice(end, match.index) });
    parts.push({ text: address, href });
    end = match.index + address.length;
  }
  if (end < text.length) parts.push({ text: text.slice(end) });
  return parts;
}

/** A sentence's end is not the address's; nor is a bracket that was not opened in it. */
function withoutPunctuation(address) {
  let trimmed = address.replace(/[.,;:!?…]+$/, '');
  while (trimmed.endsWith(')') && trimmed.split(')').length > trimmed.split('(').length) {
    trimmed = trimmed.slice(0, -1).replace(/[.,;:!?…]+$/, '');
  }
  return trimmed;
}

/** The address as a link may have it; null for what is not http or https. */
export function webAddress(address) {
  if (typeof address !== 'string' || !URL.canParse(address)) return null;
  const url = new URL(address);
  return url.protocol === 'http:' || url.protocol === 'https:' ? url.href : null;
}

// ── Times ──

// Made once: a formatter costs far more than what it formats.
const CLOCK = new Intl.DateTimeFormat([], { hour: 'numeric', minute: '2-digit' });
const WEEKDAY = new Intl.DateTimeFormat([], { weekday: 'short' });
const DAY_MONTH = new Intl.DateTimeFormat([], { day: 'numeric', month: 'short' });
const DATE = new Intl.DateTimeFormat([], { day: 'numeric', month: 'short', year: 'numeric' });
const LONG_DAY = new Intl.DateTimeFormat([], { weekday: 'long', day: 'numeric', month: 'long' });
const LONG_DATE = new Intl.DateTimeFormat([], { weekday: 'long', day: 'numeric', month: 'long', year: 'numeric' });
const EXACT = new Intl.DateTimeFormat([], { dateStyle: 'full', timeStyle: 'medium' });
const DAY_MS = 86_400_000;

/** When a day began here, in ms. */
export const dayOf = (at) => new Date(at).setHours(0, 0, 0, 0);

/** `14:05` */
export const clockTime = (at) => CLOCK.format(at);

/** For a tooltip: all of it. */
export const exactTime = (at) => EXACT.format(at);

/** For a list: `14:05` today, `Mon` this week, `5 Jan`, `5 Jan 2025`. */
export function shortTime(at, now = Date.now()) {
  const days = daysAgo(at, now);
  if (days <= 0) return CLOCK.format(at);
  if (days < 7) return WEEKDAY.format(at);
  return new Date(at).getFullYear() === new Date(now).getFullYear() ? DAY_MONTH.format(at) : DATE.format(at);
}

/** For a separator between days: `Today`, `Yesterday`, `Monday, 5 January`. */
export function dayName(at, now = Date.now()) {
  const days = daysAgo(at, now);
  if (days === 0) return 'Today';
  if (days === 1) return 'Yesterday';
  return new Date(at).getFullYear() === new Date(now).getFullYear() ? LONG_DAY.format(at) : LONG_DATE.format(at);
}

// Rounded: a day may have 23 or 25 hours.
const daysAgo = (at, now) => Math.round((dayOf(now) - dayOf(at)) / DAY_MS);

/** `8 s`, `3 min`, `2 h` */
export function duration(ms) {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 100) return `${seconds} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return `${Math.round(seconds / 3600)} h`;
}

/** `1 message`, `2 messages` */
export const count = (number, noun) => `${number} ${noun}${number === 1 ? '' : 's'}`;

/** An id, 1 to 64 bytes. Not crypto.randomUUID: browsers lack it on plain http other than localhost. */
export function randomId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return `c-${Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')}`;
}
