// seeds/sms-hub.md: an inbox of SMS, with the user's own room and the admins'.

import { io, type Socket } from "socket.io-client";
import type { Inbox } from "./dialtone";
import { emit } from "./backend";

declare function addToConversation(contact: string, body: string, at: string): void;

export type InboxSocket = Socket<Inbox.ServerToClientEvents, Inbox.ClientToServerEvents>;

export function moved(phoneNumberId: string, to: string, body: string) {
  const socket: Socket<Inbox.ServerToClientEvents, Inbox.ClientToServerEvents> = io(DIALTONE_URL, { auth: { token } });
  socket.on("new_message", ({ from, body, timestamp }) => addToConversation(from, body, timestamp));
  socket.on("message_updated", ({ to, body, timestamp }) => addToConversation(to, body, timestamp));
  socket.emit("message_sent", { phoneNumberId, to, body });
  return socket;
}

/** A service around one socket, as the guide has it. */
export class InboxService {
  private socket: InboxSocket | null = null;

  connect(jwt: string) {
    this.socket ??= io(DIALTONE_URL, { path: "/socket.io", auth: { token: jwt }, transports: ["websocket", "polling"] });
    this.socket.on("connect", () => console.log(this.socket?.id, this.socket?.recovered));
    this.socket.on("connected", ({ userId, message }) => console.log(userId, message));
    this.socket.on("disconnect", (reason) => console.log(reason));
    return this.socket;
  }

  get connected(): boolean {
    return this.socket?.connected ?? false;
  }

  emit(message: Inbox.MessageSent) {
    this.socket?.emit("message_sent", message, (ack) => {
      if (ack.ok) console.log(ack.offset, ack.duplicate);
      else console.log(ack.error.code, ack.error.message);
    });
  }

  /** The guide's check in the browser's console. */
  probe() {
    this.socket?.on("test", (...args) => console.log(args));
    this.socket?.emit("test", { message: "hello" }, new Uint8Array(2));
  }
}

/** Where the guide's server has `io.to(…).emit("new_message", …)`, if it goes on receiving Twilio's webhook itself. */
export async function stillMine(assignedTeamMemberId: string, message: Inbox.NewMessage) {
  await emit({ room: `user:${assignedTeamMemberId}`, event: "new_message", data: message, id: message.messageSid });
}
