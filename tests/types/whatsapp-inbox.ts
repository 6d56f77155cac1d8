// seeds/whatsapp-inbox.md: WhatsApp conversations with typing and presence.

import { io, type Socket } from "socket.io-client";
import type { Http, Inbox, Person, UserId } from "./dialtone";

declare function showDots(userId: UserId, isTyping: boolean): void;
declare function setOnline(people: Person[]): void;
declare const messages: Map<string, Inbox.NewMessage>;

export function moved() {
  const socket: Socket<Inbox.ServerToClientEvents, Inbox.ClientToServerEvents> = io(DIALTONE_URL, { auth: { token } });
  const room = "sms:whatsapp:+15550001111:whatsapp:+15552223333"; // the line, then the contact
  let online: Person[] = [];
  socket.on("connect", () => socket.emit("join", { room }));
  socket.on("presence_state", ({ users }) => setOnline((online = users)));
  socket.on("presence_diff", ({ joins, leaves }) => {
    const gone = new Set([...joins, ...leaves].map(({ userId }) => userId));
    setOnline((online = [...online.filter(({ userId }) => !gone.has(userId)), ...joins]));
  });
  socket.on("user_typing", ({ userId, isTyping }) => showDots(userId, isTyping)); // false by itself after 3 s
  socket.on("new_message", (message) => messages.set(message.messageSid, message));
  const onInput = () => socket.emit("typing", { room, isTyping: true });
  return { socket, onInput };
}

/** A status for the screen, in the stock client's own events. */
export function watch(socket: ReturnType<typeof moved>["socket"], set: (status: string) => void) {
  socket.on("connect", () => set("connected"));
  socket.on("disconnect", (reason) => set(reason === "io server disconnect" ? "offline" : "reconnecting"));
  socket.io.on("reconnect_failed", () => set("offline"));
  socket.on("messages_read", ({ userId, room, offset }) => console.log(userId, "has read", room, "up to", offset));
}

/** What was said before. */
export async function history(room: string): Promise<Inbox.NewMessage[]> {
  const answer = await fetch(`${DIALTONE_URL}/rooms/${room}/history?limit=50`, { headers: { authorization: `Bearer ${token}` } });
  const { messages }: Http.History = await answer.json();
  return messages.filter(({ event }) => event === "new_message").map(({ data }) => data as Inbox.NewMessage);
}
