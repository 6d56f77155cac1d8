// Notifications: the bell with its list, and toasts for what comes in.

import { webAddress, shortTime, exactTime } from '../text.js';
import { h, icon, keyed, quietly, setAttribute, setHidden, setText } from './dom.js';

const TOAST_MS = 8_000;
const TOASTS_MAX = 4;

export function createBell({ store, actions }) {
  const { state } = store;
  const name = quietly('Notifications');
  const badge = h('span.badge', { 'aria-hidden': 'true' });
  const button = h('button.plain.square', { type: 'button', 'aria-expanded': 'false', 'aria-controls': 'notifications', onclick: toggle }, icon('bell'), name, badge);
  const readAll = h('button.plain', { type: 'button', onclick: actions.readAllNotifications }, 'Mark all read');
  const list = h('ul');
  const empty = h('p.hint', {}, 'Nothing new. Finished jobs, alerts and chats that you missed show up here.');
  const panel = h('section', { id: 'notifications', 'aria-label': 'Notifications', hidden: true }, h('header', {}, h('h2', {}, 'Notifications'), readAll), list, empty);
  const element = h('div.bell', {}, button, panel);
  document.addEventListener('pointerdown', ({ target }) => panel.hidden || element.contains(target) || toggle());
  element.addEventListener('keydown', (event) => {
    if (event.key !== 'Escape' || panel.hidden) return;
    event.stopPropagation();
    toggle();
    button.focus();
  });

  function toggle() {
    panel.hidden = !panel.hidden;
    setAttribute(button, 'aria-expanded', String(!panel.hidden));
    render();
  }

  function render() {
    const unread = store.unreadNotifications().length;
    setText(name, unread > 0 ? `Notifications (${unread})` : 'Notifications');
    setText(badge, unread > 99 ? '99+' : String(unread));
    setHidden(badge, unread === 0);
    if (panel.hidden) return;
    setHidden(readAll, unread === 0);
    setHidden(empty, state.notifications.length > 0);
    keyed(list, state.notifications, ({ id }) => id, ({ read, timestamp }) => `${read} ${shortTime(Date.parse(timestamp))}`, row);
  }

  function row(notification) {
    const { title, message, severity, timestamp, read, chatId } = notification;
    const at = Date.parse(timestamp);
    const activate = () => {
      if (!read) actions.readNotification(notification);
      if (chatId === undefined) return;
      toggle();
      actions.open(`chat:${chatId}`);
    };
    const link = webAddress(notification.actionUrl);
    return h('li.notification', { 'data-severity': severity, 'data-read': read },
      h('button.row', { type: 'button', onclick: activate },
        h('span.title', {}, read ? null : quietly('unread: '), title, quietly(': ')), h('time', { datetime: timestamp, title: exactTime(at) }, shortTime(at)), h('span.text', { dir: 'auto' }, message)),
      link && h('a', { href: link, target: '_blank', rel: 'noopener noreferrer' }, 'Open link'));
  }

  return { element, render };
}

/** Gives the function that shows one: `{ title, message, severity }`. */
export function createToasts() {
  const region = document.getElementById('toasts');
  return ({ title, message, severity = 'info' }) => {
    const toast = h('div.toast', { 'data-severity': severity },
      h('p', {}, h('strong', {}, title ?? ''), ' ', h('span', { dir: 'auto' }, message ?? '')),
      h('button.plain.square', { type: 'button', 'aria-label': 'Dismiss', onclick: () => toast.remove() }, icon('close')));
    region.append(toast);
    while (region.children.length > TOASTS_MAX) region.firstChild.remove();
    // What is being read stays.
    const dismiss = () => (toast.matches(':hover, :focus-within') ? setTimeout(dismiss, TOAST_MS) : toast.remove());
    setTimeout(dismiss, TOAST_MS);
  };
}
