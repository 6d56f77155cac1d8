// Signed webhook requests, good and forged. npm `twilio` signs them and judges them; the end-to-end
// test asserts that our webhook decides the same about every row: 200 or a refusal (403; 415 for a body that is text).
//
// Each row is otherwise a valid inbound message with a MessageSid of its own. A row's `target` is
// the request line's path and query, to be sent byte for byte (node:http, not fetch: fetch rewrites
// `'` to `%27` in a query and drops what it does not like).
import crypto from 'node:crypto';

const INBOUND = '/webhooks/twilio/inbound';
const FORM = 'application/x-www-form-urlencoded';
const JSON_TYPE = 'application/json';

/** What a row starts from; the descriptor's own keys take its place. */
const DEFAULTS = {
  method: 'POST',
  path: INBOUND,
  contentType: FORM,
  headers: {},
  /** More parameters, in order: `[[name, value]…]`. */
  params: [],
  /** The request's body is JSON, and the URL has this `bodySHA256` (a function of the true one). */
  json: undefined,
  /** What is signed in place of what is sent. */
  signUrl: (url) => url,
  signParams: (params) => params,
  signToken: (token) => token,
  /** Changes the signed row: `row.target`, `row.body`, `row.headers`. */
  tamper: () => {},
};

const accept = (name, rest = {}) => ({ ...DEFAULTS, name, ...rest, expectAccepted: true });
const refuse = (name, rest = {}) => ({ ...DEFAULTS, name, ...rest, expectAccepted: false });
const swap = (from, to) => (row) => {
  if (!row.body.includes(from)) throw new Error(`${from} is not in ${row.body}`);
  row.body = row.body.replace(from, to);
};
const signature = (change) => (row) => {
  row.headers['X-Twilio-Signature'] = change(row.headers['X-Twilio-Signature']);
};
const without = (name) => (params) => params.filter(([other]) => other !== name);
const BODY = (text) => ({ params: [['Body', text]] });

export const descriptors = [
  // Forms as Twilio sends them.
  accept('a plain message', BODY('hello')),
  accept('an empty body', BODY('')),
  accept('empty values are signed', { params: [['FromCity', ''], ['FromState', ''], ['Body', 'x']] }),
  accept('a parameter without an equals sign', { params: [['Body', 'x'], ['Flag', '']], tamper: swap('Flag=', 'Flag') }),
  accept('umlauts, Arabic, Chinese', BODY('Grüße, مرحبا, 你好')),
  accept('emoji with a joiner', BODY('👩‍👩‍👧 👍🏽')),
  accept('white space is not trimmed', BODY('  two before, a tab\t and one after ')),
  accept('lines', BODY('one\r\ntwo\nthree')),
  accept('plus, ampersand, equals, percent', BODY('1+1=2 & 100% %2B %zz')),
  accept('quotes and brackets', BODY(`it's "q" <b>(x)</b> [y] {z}!~*`)),
  accept('a NUL in the body', BODY('a\0b')),
  accept('spaces sent as %20', { ...BODY('a b c'), tamper: (row) => { row.body = row.body.replaceAll('+b', '%20b'); } }),
  accept('lower-case escapes', { ...BODY('+é'), tamper: swap('%2B%C3%A9', '%2b%c3%a9') }),
  accept('more escapes than needed', { ...BODY('zz'), tamper: swap('Body=zz', '%42ody=%7A%7a') }),
  accept('unescaped UTF-8', { ...BODY('é'), tamper: swap('%C3%A9', 'é') }),
  accept('empty pairs between ampersands', { ...BODY('x'), tamper: (row) => { row.body = `&&${row.body.replace('&', '&&')}&`; } }),
  accept('names sorted by case', { params: [['body', '1'], ['Body', '2'], ['_', '3'], ['0', '4']] }),
  accept('a name that is the start of another', { params: [['Sid', 'X'], ['SidAccount', 'A'], ['Body', 'x']] }),
  accept('a parameter nobody knows', { params: [['Body', 'x'], ['NewIn2031', '{"a":[1]}']] }),
  accept('names with brackets and dots', { params: [['Body', 'x'], ['a[b]', '1'], ['a.b', '2'], ['__proto__', '3']] }),
  accept('a repeated parameter', { params: [['Tag', 'b'], ['Tag', 'a'], ['Body', 'x']] }),
  accept('a repeated parameter with equal values', { params: [['Tag', 'a'], ['Tag', 'a'], ['Body', 'x']] }),
  accept('repeated parameters in another order', { params: [['Tag', 'b'], ['Tag', 'a'], ['Body', 'x']], tamper: swap('Tag=b&Tag=a', 'Tag=a&Tag=b') }),
  accept('one of two equal values left out', { params: [['Tag', 'a'], ['Tag', 'a'], ['Body', 'x']], tamper: swap('Tag=a&Tag=a', 'Tag=a') }),
  accept('parameters in another order', { params: [['A', '1'], ['B', '2'], ['Body', 'x']], tamper: swap('A=1&B=2', 'B=2&A=1') }),
  accept('a name ending where another value begins', { params: [['Body', 'x'], ['ab', 'c']], tamper: swap('ab=c', 'a=bc') }),
  accept('an MMS with pictures', { params: [['NumMedia', '2'], ['MediaUrl0', 'https://api.twilio.com/a?b=c&d'], ['MediaContentType0', 'image/png'], ['MediaUrl1', 'https://api.twilio.com/e'], ['MediaContentType1', 'image/gif'], ['Body', '']] }),
  accept('a WhatsApp message', { from: 'whatsapp:+15550100001', to: 'whatsapp:+15550100002', params: [['ProfileName', 'Zoë 🙂'], ['WaId', '15550100001'], ['Body', 'x']] }),
  accept('a WhatsApp user without a number', { from: 'whatsapp:US.ABC123XYZ', to: 'whatsapp:+15550100002', ...BODY('x') }),
  accept('a content type with a charset', { contentType: `${FORM}; charset=UTF-8`, ...BODY('é') }),
  accept('eight hundred parameters', { params: Array.from({ length: 800 }, (_, n) => [`P${n}`, `${n}`]) }),
  accept('a long body', BODY('x'.repeat(200_000))),
  // URLs.
  accept('the second path', { path: '/api/webhooks/inbound-sms', ...BODY('x') }),
  accept('the third path', { path: '/api/webhooks/twilio', ...BODY('x') }),
  accept('a query', { path: `${INBOUND}?line=7&x=`, ...BODY('x') }),
  accept('a query in capitals and escapes', { path: `${INBOUND}?A=%2b%2B%20+`, ...BODY('x') }),
  accept('an apostrophe in the query', { path: `${INBOUND}?q=it's`, ...BODY('x') }),
  accept('an apostrophe that was signed escaped', { path: `${INBOUND}?q=it's`, signUrl: (url) => url.replace("'", '%27'), ...BODY('x') }),
  accept('an escaped apostrophe that was signed bare', { path: `${INBOUND}?q=it%27s`, signUrl: (url) => url.replace('%27', "'"), ...BODY('x') }),
  accept('a query that was signed as querystring writes it', { path: `${INBOUND}?q=%7Ea+b`, signUrl: (url) => url.replace('%7Ea+b', '~a%20b'), ...BODY('x') }),
  accept('an empty query', { path: `${INBOUND}?`, ...BODY('x') }),
  accept('signed without the port', { signUrl: (url) => url.replace(/:\d+\//, '/'), ...BODY('x') }),
  // Other bodies.
  accept('a GET', { method: 'GET', ...BODY("it's + me") }),
  accept('a GET with empty values', { method: 'GET', params: [['FromCity', ''], ['Body', '👍']] }),
  accept('a JSON body with its hash', { json: (hash) => hash, ...BODY('é "q"') }),
  accept('a JSON body with its hash and a charset', { json: (hash) => hash, contentType: `${JSON_TYPE}; charset=utf-8`, ...BODY('x') }),

  // Forgeries: the form.
  refuse('the body changed', { ...BODY('hello'), tamper: swap('Body=hello', 'Body=hullo') }),
  refuse("the body's case changed", { ...BODY('hello'), tamper: swap('Body=hello', 'Body=Hello') }),
  refuse('a space added', { ...BODY('hello'), tamper: swap('Body=hello', 'Body=hello+') }),
  refuse('a space taken away', { ...BODY('hello '), tamper: swap('Body=hello+', 'Body=hello') }),
  refuse('a parameter added', { ...BODY('x'), tamper: (row) => { row.body += '&Extra=1'; } }),
  refuse('an empty parameter added', { ...BODY('x'), tamper: (row) => { row.body += '&Extra='; } }),
  refuse('a parameter removed', { params: [['Body', 'x'], ['FromCity', 'Bern']], tamper: swap('&FromCity=Bern', '') }),
  refuse('an empty parameter removed', { params: [['Body', 'x'], ['FromCity', '']], tamper: swap('&FromCity=', '') }),
  refuse('another value of a repeated parameter', { params: [['Tag', 'a'], ['Body', 'x']], tamper: swap('Tag=a', 'Tag=a&Tag=b') }),
  refuse('a name in another case', { ...BODY('x'), tamper: swap('Body=', 'body=') }),
  refuse('another sender', { ...BODY('x'), tamper: swap('From=%2B1555', 'From=%2B1556') }),
  refuse('an unescaped plus', { ...BODY('1+1'), tamper: swap('1%2B1', '1+1') }),
  refuse('another emoji', { ...BODY('👍'), tamper: swap('%F0%9F%91%8D', '%F0%9F%91%8E') }),
  refuse('a decomposed umlaut', { ...BODY('é'), tamper: swap('%C3%A9', 'e%CC%81') }),
  refuse('signed over name and value in the order sent', { params: [['Zebra', '1'], ['Body', 'x']], signLiteral: true }),
  refuse('the form signed as if it were empty', { ...BODY('x'), signParams: () => [] }),
  refuse('a text body that the signature does not cover', { ...BODY('x'), contentType: 'text/plain', signParams: () => [] }),
  refuse('a parameter signed but not sent', { ...BODY('x'), signParams: (params) => [...params, ['Extra', '1']] }),
  refuse('the account left out of the signature', { ...BODY('x'), signParams: without('AccountSid') }),
  // Forgeries: the token and the header.
  refuse('another token', { ...BODY('x'), signToken: (token) => `${token}x` }),
  refuse("the token's case", { ...BODY('x'), signToken: (token) => token.replace(/[a-z]/, (c) => c.toUpperCase()) }),
  refuse('an empty token', { ...BODY('x'), signToken: () => '' }),
  refuse('no signature', { ...BODY('x'), tamper: (row) => { delete row.headers['X-Twilio-Signature']; } }),
  refuse('an empty signature', { ...BODY('x'), tamper: signature(() => '') }),
  refuse('a signature cut short', { ...BODY('x'), tamper: signature((text) => text.slice(0, 20)) }),
  refuse('a signature without its padding', { ...BODY('x'), tamper: signature((text) => text.replace(/=+$/, '')) }),
  refuse('a signature that is not base64', { ...BODY('x'), tamper: signature(() => '*** not base64 at all ***') }),
  refuse('a signature in hexadecimal', { ...BODY('x'), tamper: signature((text) => Buffer.from(text, 'base64').toString('hex')) }),
  refuse("a signature's case", { ...BODY('x'), tamper: signature((text) => text.replace(/[A-Za-z]/g, (c) => (c < 'a' ? c.toLowerCase() : c.toUpperCase()))) }),
  refuse('a signature twice', { ...BODY('x'), tamper: signature((text) => `${text}, ${text}`) }),
  refuse('another request\'s signature', { ...BODY('x'), tamper: signature(() => '0ZXoZLH/DfblKGATFgpif+LLRf4=') }),
  refuse('a signature of zeros', { ...BODY('x'), tamper: signature(() => 'AAAAAAAAAAAAAAAAAAAAAAAAAAA=') }),
  // Forgeries: the URL.
  refuse('a query added', { ...BODY('x'), tamper: (row) => { row.target += '?x=1'; } }),
  refuse('a query removed', { path: `${INBOUND}?x=1`, ...BODY('x'), tamper: (row) => { row.target = INBOUND; } }),
  refuse('a query changed', { path: `${INBOUND}?x=1`, ...BODY('x'), tamper: (row) => { row.target = `${INBOUND}?x=2`; } }),
  refuse('a query in another order', { path: `${INBOUND}?x=1&y=2`, ...BODY('x'), tamper: (row) => { row.target = `${INBOUND}?y=2&x=1`; } }),
  refuse('another scheme', { signUrl: (url) => url.replace(/^http:/, 'https:'), ...BODY('x') }),
  refuse('another host', { signUrl: (url) => url.replace(/\/\/[^/]+/, '//example.com'), ...BODY('x') }),
  refuse('another port', { signUrl: (url) => url.replace(/:\d+\//, ':1/'), ...BODY('x') }),
  refuse('a slash at the end', { signUrl: (url) => `${url}/`, ...BODY('x') }),
  refuse('the path of another webhook', { signUrl: (url) => url.replace(INBOUND, '/webhooks/twilio/status'), ...BODY('x') }),
  refuse("the path's case", { signUrl: (url) => url.replace('/inbound', '/Inbound'), ...BODY('x') }),
  refuse('a fragment', { signUrl: (url) => `${url}#x`, ...BODY('x') }),
  // Forgeries: other bodies.
  refuse('a GET whose query changed', { method: 'GET', ...BODY('x'), tamper: (row) => { row.target = row.target.replace('Body=x', 'Body=y'); } }),
  refuse('a JSON body that changed', { json: (hash) => hash, ...BODY('hello'), tamper: swap('hello', 'hullo') }),
  refuse('a JSON body with a space more', { json: (hash) => hash, ...BODY('x'), tamper: (row) => { row.body += ' '; } }),
  refuse('an upper-case hash', { json: (hash) => hash.toUpperCase(), ...BODY('x') }),
  refuse('an empty hash', { json: () => '', ...BODY('x') }),
  refuse('a hash cut short', { json: (hash) => hash.slice(0, 32), ...BODY('x') }),
  refuse("another body's hash", { json: () => crypto.createHash('sha256').update('{}').digest('hex'), ...BODY('x') }),
  refuse('a hash that was not signed', { json: (hash) => hash, signUrl: (url) => url.replace(/\?.*/, ''), ...BODY('x') }),
  refuse('a form that claims a hash it does not have', { path: `${INBOUND}?bodySHA256=${'0'.repeat(64)}`, ...BODY('x') }),
];

/** What {@link judge} needs to know about a row. */
const context = new WeakMap();

/** Repeated names as arrays, the way a form parser hands them to npm `twilio`. */
function grouped(pairs) {
  const params = Object.create(null);
  for (const [name, value] of pairs) {
    if (!(name in params)) params[name] = value;
    else params[name] = [params[name], value].flat();
  }
  return params;
}

/**
 * The rows: `{name, method, url, target, headers, body, messageSid, expectAccepted}`. `base` is the
 * origin that the server sees, `http:` and with a port (a few rows change those); `twilio` is the npm package. `seed` makes the
 * MessageSids of one run different from another's.
 */
export function requests({ base, token, accountSid, twilio, seed = crypto.randomUUID() }) {
  const origin = base.replace(/\/$/, '');
  return descriptors.map((descriptor, index) => {
    const id = crypto.createHash('md5').update(`${seed}/${index}`).digest('hex');
    const messageSid = `SM${id}`;
    const params = [
      ['MessageSid', messageSid],
      ['AccountSid', accountSid],
      ['From', descriptor.from ?? '+15550100001'],
      ['To', descriptor.to ?? '+15550100002'],
      ...descriptor.params,
    ];
    const { name, method, expectAccepted } = descriptor;
    const row = { name, method, target: descriptor.path, headers: { ...descriptor.headers }, body: '', messageSid, expectAccepted };
    let signed = [];
    if (method === 'GET') {
      row.target += `?${new URLSearchParams(params)}`;
    } else if (descriptor.json) {
      row.body = JSON.stringify(Object.fromEntries(params));
      row.target += `?bodySHA256=${descriptor.json(twilio.getExpectedBodyHash(row.body))}`;
      row.headers['Content-Type'] = descriptor.contentType === FORM ? JSON_TYPE : descriptor.contentType;
    } else {
      row.body = new URLSearchParams(params).toString();
      row.headers['Content-Type'] = descriptor.contentType;
      signed = descriptor.signParams(params);
    }
    const url = descriptor.signUrl(origin + row.target);
    const key = descriptor.signToken(token);
    row.headers['X-Twilio-Signature'] = descriptor.signLiteral
      ? crypto.createHmac('sha1', key).update(url + signed.flat().join('')).digest('base64')
      : twilio.getExpectedTwilioSignature(key, url, grouped(signed));
    descriptor.tamper(row);
    row.url = origin + row.target;
    context.set(row, { token, twilio });
    return row;
  });
}

/** Whether npm `twilio` takes the row for Twilio's: it chooses as `validateIncomingRequest` does. */
export function judge(row) {
  const { token, twilio } = context.get(row);
  const header = row.headers['X-Twilio-Signature'] ?? '';
  if (row.method !== 'GET' && row.url.includes('bodySHA256')) {
    return twilio.validateRequestWithBody(token, header, row.url, row.body);
  }
  // npm's middleware does not read a body of another type, and signs over nothing then. Here what is
  // read is signed, so the judge is asked about what the body says, whatever its type.
  const parsed = row.method === 'GET' ? [] : [...new URLSearchParams(row.body)];
  return twilio.validateRequest(token, header, row.url, grouped(parsed));
}
