// seeds/customer-provider-chat.md: a chat between a customer and a provider, and the manager who joins a dispute.

import { io, type Socket } from "socket.io-client";
import type { Ack, Chat, Http, TypedAcks, UserId } from "./dialtone";
import { dialtone } from "./backend";

declare function sent(id: string): void;
declare function failed(code: string | undefined): void;

export type ChatSocket = Socket<Chat.ServerToClientEvents, Chat.ClientToServerEvents>;

export function moved() {
  const socket: Socket<Chat.ServerToClientEvents, Chat.ClientToServerEvents> = io(`${DIALTONE_URL}/chat`, { auth: { token } });
  return socket;
}

/** The guide's service. */
export class ChatService {
  private socket: ChatSocket | null = null;

  connect(jwt: string) {
    if (this.socket?.connected) return;
    this.socket = io(`${DIALTONE_URL}/chat`, { auth: { token: jwt }, transports: ["websocket", "polling"], reconnectionAttempts: 5 });
    this.socket.on("connected", ({ message, userId }) => console.log(message, userId));
    this.socket.on("error", ({ code, message, event }) => console.log(code, message, event ?? "no event"));
  }

  disconnect() {
    this.socket?.disconnect();
    this.socket = null;
  }

  joinChat = (chatId: string) => this.socket?.emit("join_chat", { chatId });
  leaveChat = (chatId: string) => this.socket?.emit("leave_chat", { chatId });
  sendTyping = (chatId: string, isTyping: boolean) => this.socket?.emit("typing", { chatId, isTyping });
  markRead = (chatId: string) => this.socket?.emit("mark_read", { chatId });
  sendMessage = (chatId: string, message: string, message_type: Chat.MessageType = "text") =>
    this.socket?.emit("send_message", { chatId, message, message_type });

  onNewMessage = (callback: (message: Chat.NewMessage) => void) => this.socket?.on("new_message", callback);
  onUserTyping = (callback: (typing: Chat.UserTyping) => void) => this.socket?.on("user_typing", callback);
  onJoinedChat = (callback: (joined: { chatId: string; message: string }) => void) => this.socket?.on("joined_chat", callback);
}

/** What a component does with it. */
export function open(chat: ChatService, chatId: string, me: UserId, messages: Chat.NewMessage[]) {
  chat.connect(token);
  chat.joinChat(chatId);
  chat.onNewMessage((message) => messages.push(message));
  chat.onUserTyping(({ userId, isTyping }) => userId !== me && console.log(isTyping));
  return () => chat.leaveChat(chatId);
}

export async function loadHistory(chatId: string): Promise<Chat.NewMessage[]> {
  const answer = await fetch(`${DIALTONE_URL}/chat/${chatId}/messages`, { headers: { authorization: `Bearer ${token}` } });
  const { messages }: Http.ChatMessages = await answer.json();
  return messages;
}

export async function chatCreated(chat: { id: string; customer_id: number; provider_id: number }) {
  for (const member of [chat.customer_id, chat.provider_id]) await dialtone("PUT", `/rooms/chat:${chat.id}/members/${member}`);
}

/** Acks by callback, by promise and in time, all of them typed. */
export async function acks() {
  const socket: TypedAcks<Chat.ClientToServerEvents> & ChatSocket = io(`${DIALTONE_URL}/chat`, { auth: { token } });
  const joined = await socket.emitWithAck("join_chat", { chatId: 42 });
  if (!joined.ok) throw new Error(joined.error.code);
  const from: { room: string; epoch: string; offset: number } = joined;
  const stored = await socket.timeout(5_000).emitWithAck("send_message", { chatId: "42", message: "hi" });
  if (stored.ok) sent(stored.id.concat(String(stored.duplicate), from.epoch));
  socket.timeout(5_000).emit("typing", { chatId: "42", isTyping: true }, (error, ack) => {
    if (error) console.log(error.message);
    else if (!ack.ok) failed(ack.error.code);
  });
  socket.on("new_message", (message, offset) => console.log(message.created_at.slice(0, 10), offset?.length)).emit("mark_read", { chatId: 42 });
  const refreshed = await socket.emitWithAck("refresh", { token });
  return refreshed.ok;
}

/** The same with the stock client's types alone: callbacks are typed, in time too; a promise's type must be said. */
export async function stockAcks(socket: ChatSocket) {
  socket.timeout(5_000).emit("join_chat", { chatId: "42" }, (error: Error | null, ack) => {
    if (!error && ack.ok) console.log(ack.room, ack.epoch, ack.offset);
  });
  const ack: Ack<Chat.StoredMessage> = await socket.emitWithAck("send_message", { chatId: "42", message: "hi" });
  if (ack.ok) sent(ack.id);
}
