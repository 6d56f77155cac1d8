// Signing in, signing in again after the session ended, and a new token before it does.

import { h, setText } from './dom.js';
import { duration } from '../text.js';

const SOON_MS = 120_000;

const readToken = (field) => field.value.trim().replace(/^Bearer\s+/i, '');

function tokenField() {
  return h('input', { id: 'token', type: 'text', required: true, spellcheck: 'false', autocapitalize: 'off', autocomplete: 'off' });
}

/** The page before signing in. */
export function createLogin({ actions, wasRoom }) {
  const token = tokenField();
  token.setAttribute('aria-describedby', 'token-hint');
  const room = h('input', { id: 'room', type: 'text', spellcheck: 'false', autocapitalize: 'off', autocomplete: 'off', placeholder: 'optional', 'aria-describedby': 'room-hint', value: wasRoom });
  const problem = h('p.problem', { role: 'alert' });
  const submit = (event) => {
    event.preventDefault();
    setText(problem, '');
    try {
      actions.signIn(readToken(token), room.value.trim());
    } catch (error) {
      setText(problem, error.message);
    }
  };
  return h('section', { id: 'login', 'aria-labelledby': 'login-title' },
    h('form.card', { onsubmit: submit },
      h('h2', { id: 'login-title' }, 'Sign in to your inbox'),
      h('p.hint', {}, 'Phone lines, chats and tickets in one place.'),
      h('div.field', {}, h('label', { for: 'token' }, 'token'), token,
        h('p.hint', { id: 'token-hint' }, 'Make one: ', h('code', {}, 'npm run token -- --sub alice --role admin'))),
      h('div.field', {}, h('label', { for: 'room' }, 'room'), room,
        h('p.hint', { id: 'room-hint' }, 'Opens at once: ', h('code', {}, 'chat:42'), ', ', h('code', {}, 'ticket:7'), ', ', h('code', {}, 'sms:+1555…:+1666…'))),
      problem,
      h('button', { type: 'submit' }, 'Join')));
}

/** Above everything else while a new token is needed: what is there stays there. */
export function createBanner({ store, actions }) {
  const { state } = store;
  const banner = document.getElementById('banner');
  let shown = '';
  let text = null;

  function render() {
    const left = state.expiresAt === null ? Infinity : state.expiresAt - Date.now();
    const kind = wanted(left);
    if (kind !== shown) show(kind);
    if (kind === 'soon') setText(text, `Your session ends in ${duration(left)}. Paste a new token to stay connected.`);
  }

  function expiredWords() {
    const { detail } = state.connection;
    return detail ? `You are not signed in: ${detail}. Paste another token to go on.` : 'Your session expired. What you wrote is kept: paste a new token to go on.';
  }

  function wanted(left) {
    if (!state.me) return '';
    if (state.connection.name === 'expired') return 'expired';
    return state.connection.name === 'connected' && left < SOON_MS && left > 0 ? 'soon' : '';
  }

  function show(kind) {
    shown = kind;
    banner.replaceChildren();
    if (!kind) return;
    const field = tokenField();
    const problem = h('span.problem', { role: 'alert' });
    text = h('p', {}, kind === 'expired' ? expiredWords() : '');
    const submit = async (event) => {
      event.preventDefault();
      setText(problem, '');
      try {
        if (kind === 'expired') actions.signIn(readToken(field), state.open);
        else await actions.renew(readToken(field));
      } catch (error) {
        setText(problem, error.message);
      }
    };
    banner.append(h('form', { onsubmit: submit }, text, h('label', { for: 'token' }, 'token'), field, h('button', { type: 'submit' }, kind === 'expired' ? 'Join' : 'Renew'), problem));
    if (kind === 'expired') field.focus();
  }

  return { render };
}
