// What is heard, and what it changes: one table for all namespaces.

import { wordsOf } from './api.js';
import { messageOf, placeOf } from './messages.js';

/** Gives the function that is told of each event. `isNews`: notifications are no longer those of the past. */
export function createHearing({ store, toast, loadLines, catchUp, readOpen, iAm, isNews }) {
  const { state } = store;

  const HEARD = {
    '/': {
      connected: ({ userId }) => iAm(userId),
      new_message: (data) => heardSms('new_message', data),
      message_updated: (data) => heardSms('message_updated', data),
      message_status: (data) => store.heardStatus(data),
      conversation_updated: (data) => store.putConversation(data),
      conversation_assigned: (data) => store.assigned(data),
      presence_state: (data) => store.presence(data),
      presence_diff: (data) => store.presence(data),
      user_typing: (data) => store.typing(data),
      messages_read: () => {},
      'ticket:created': (data) => heardTicket(data),
      'ticket:updated': (data) => heardTicket(data),
      error: tellError,
    },
    '/chat': {
      new_message: (data) => heardChat(data),
      user_joined: ({ chatId, userId }) => store.presence({ room: `chat:${chatId}`, joins: [{ userId }] }),
      user_left: ({ chatId, userId }) => store.presence({ room: `chat:${chatId}`, leaves: [{ userId }] }),
      user_typing: ({ chatId, ...data }) => store.typing({ ...data, room: `chat:${chatId}` }),
      messages_read: ({ chatId, userId }) => store.readBy({ room: `chat:${chatId}`, userId }),
      error: tellError,
    },
    '/jobs': { 'job:status-changed': (data) => store.putJob(data) },
    '/notifications': {
      'notification:received': (data) => {
        store.putNotification(data);
        if (isNews() && `chat:${data.chatId}` !== state.open) toast(data);
      },
      'notification:read': (data) => store.readNotifications(({ id }) => id === data.id),
      'notifications:cleared': () => store.readNotifications(),
    },
  };

  function tellError(error) {
    toast({ severity: 'error', title: 'The server refused something', message: wordsOf(error) });
  }

  function event(namespace, name, data) {
    const hears = HEARD[namespace][name];
    try {
      hears?.(data);
    } catch (error) {
      // A backend emits what it likes under any name.
      console.info(`The event ${name} has another shape than expected.`, error);
    }
    // An event of one's own kind: it does not say whose it is, nor in which room; the history does.
    if (!hears && namespace === '/' && ['relay', 'ticket'].includes(placeOf(state.open ?? '')?.kind)) catchUp(state.open);
  }

  function heardSms(name, data) {
    const room = store.heardSms(name, data);
    if (room === state.open && name === 'new_message') readOpen();
    if (room && !state.lines.has(data.phoneNumberId)) loadLines();
  }

  function heardChat(data) {
    const room = `chat:${data.chatId}`;
    store.putMessage(room, messageOf(placeOf(room), { event: 'new_message', data }, store.isMe));
    store.typing({ room, userId: data.sender_id, isTyping: false });
    store.knowRoom(room, { last: data.message, at: Date.parse(data.created_at) || 0 });
    if (room === state.open) readOpen();
  }

  function heardTicket(data) {
    const room = store.putTicket(data, Date.now());
    if (room && room === state.open) catchUp(room);
  }

  return event;
}
