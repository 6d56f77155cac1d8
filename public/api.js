// The HTTP API with the bearer token in its header, never in an address. What goes wrong is an ApiError.

const TIMEOUT_MS = 20_000;

/** A refusal (RFC 9457), or no answer: then `status` is 0 and `code` `no_answer`. */
export class ApiError extends Error {
  constructor({ code, detail, status, retryAfterMs = 0 }) {
    super(detail);
    Object.assign(this, { code, detail, status, retryAfterMs });
  }

  /** Whether the same request may do better later. */
  get isPassing() {
    return this.status === 0 || this.status === 429 || (this.status >= 500 && this.code !== 'not_configured');
  }
}

/** @param {{ token: () => string | null }} options */
export function createApi({ token }) {
  /** Who has signed out asks nothing and hears nothing more: whatever still waits for an answer belongs to a state that is gone. */
  const never = () => new Promise(() => {});

  async function request(method, path, body) {
    if (token() === null) return never();
    const headers = { Authorization: `Bearer ${token()}` };
    if (body !== undefined) headers['Content-Type'] = 'application/json';
    let response;
    try {
      response = await fetch(path, {
        method, headers, cache: 'no-store', referrerPolicy: 'no-referrer', signal: AbortSignal.timeout(TIMEOUT_MS),
        body: body === undefined ? undefined : JSON.stringify(body),
      });
    } catch {
      if (token() === null) return never();
      throw new ApiError({ code: 'no_answer', detail: 'The server gave no answer.', status: 0 });
    }
    if (token() === null) return never();
    if (response.ok) return response;
    throw await problemOf(response);
  }

  const json = async (...args) => (await request(...args)).json();
  const line = (number) => `/api/lines/${encodeURIComponent(number)}`;
  const conversation = ({ line: number, contact }) => `${line(number)}/conversations/${encodeURIComponent(contact)}`;

  return {
    lines: async () => (await json('GET', '/api/lines')).lines,
    conversations: (number, cursor) => json('GET', `${line(number)}/conversations?${query({ limit: 200, cursor })}`),
    /** A page of any room's history: `before` and `after` are offsets. */
    history: (place, page = {}) => {
      const search = query({ limit: 200, ...page });
      if (place.kind === 'sms') return json('GET', `${conversation(place)}/messages?${search}`);
      return json('GET', `/rooms/${encodeURIComponent(place.room)}/history?${search}`);
    },
    presence: (room) => json('GET', `/rooms/${encodeURIComponent(room)}/presence`),
    sendSms: (place, message) => json('POST', `${conversation(place)}/messages`, message),
    assign: (place, userId) => json('PUT', `${conversation(place)}/assignee`, { userId }),
    media: async (place, sid, index) => (await request('GET', `${conversation(place)}/media/${encodeURIComponent(sid)}/${index}`)).blob(),
    readNotification: (id) => json('POST', `/api/notifications/${encodeURIComponent(id)}/read`),
    readAllNotifications: () => request('DELETE', '/api/notifications'),
  };
}

function query(fields) {
  return new URLSearchParams(Object.entries(fields).filter(([, value]) => value !== undefined));
}

async function problemOf(response) {
  const body = await response.json().catch(() => ({}));
  return new ApiError({
    code: body?.code ?? 'internal',
    detail: String(body?.detail ?? body?.title ?? `The server answered ${response.status}.`),
    status: response.status,
    retryAfterMs: (Number(response.headers.get('Retry-After')) || 0) * 1000,
  });
}

const REFUSALS = {
  opted_out: 'This contact has opted out of messages from this line.',
  forbidden: 'Your token does not allow it.',
  conflict: 'Another message was sent under this id.',
  payload_too_large: 'It is too long.',
};

/** Why something was refused, in words. */
export const wordsOf = (error) => REFUSALS[error.code] ?? error.detail ?? error.message ?? error.code;
