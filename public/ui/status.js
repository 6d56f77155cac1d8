// How the connection stands, in words that are true: the state first, then the details.

import { setAttribute, setHidden, setText } from './dom.js';

const WORDS = { expired: 'session expired' }; // the others are their own word

export function createStatus({ store, live }) {
  const { state } = store;
  const status = document.getElementById('status');
  const [word, countdown, detail] = ['status-word', 'status-countdown', 'status-detail'].map((id) => document.getElementById(id));
  const reconnect = document.getElementById('reconnect');
  reconnect.addEventListener('click', () => live.reconnectNow());
  setInterval(render, 500);

  function render() {
    const { connection } = state;
    setAttribute(status, 'data-state', state.me ? connection.name : 'out');
    setText(word, WORDS[connection.name] ?? connection.name);
    const seconds = connection.retryAt === null ? null : Math.max(0, Math.ceil((connection.retryAt - Date.now()) / 1000));
    setText(countdown, seconds === null ? '' : inSeconds(connection.name, seconds));
    setText(detail, detailOf(connection));
    setHidden(reconnect, !state.me || !(connection.retryAt !== null || connection.name === 'offline'));
  }

  function inSeconds(name, seconds) {
    return name === 'offline' ? `next try in ${seconds} s` : `in ${seconds} s`;
  }

  function detailOf({ name, detail: text, polling }) {
    if (!state.me) return 'not signed in';
    if (name === 'expired') return text || 'paste a new token to go on';
    return [polling && '(polling)', text].filter(Boolean).join(' ');
  }

  return { render };
}
