// seeds/tickets.md: help-desk tickets that change under everyone's eyes.

import { io, type Socket } from "socket.io-client";
import type { Inbox } from "./dialtone";
import { emit } from "./backend";

interface Ticket {
  id: string;
  status: "open" | "closed";
  priority: number;
}
interface Comment {
  author: string;
  text: string;
}

declare function show(ticket: Ticket): void;
declare function append(comment: Comment): void;

export function moved(id: string) {
  type TicketEvents = Inbox.TicketEvents<Ticket, Comment, { url: string }>;
  const socket: Socket<Inbox.ServerToClientEvents & TicketEvents, Inbox.ClientToServerEvents> = io(DIALTONE_URL, { auth: { token } });
  socket.on("connect", () => socket.emit("join", { room: `ticket:${id}` }));
  socket.on("ticket:updated", (ticket) => show(ticket)); // everyone hears it: compare the id
  socket.on("comment:added", (comment) => append(comment));
  const leave = () => socket.emit("leave", { room: `ticket:${id}` });
  socket.on("attachment:added", ({ url }) => console.log(url));
  return { socket, leave };
}

export async function changed(ticket: Ticket, comment: Comment) {
  await emit({ event: "ticket:created", data: ticket }); // io.emit(…)
  await emit({ rooms: ["*", `ticket:${ticket.id}`], event: "ticket:updated", data: ticket }); // both, each client once
  await emit({ room: `ticket:${ticket.id}`, event: "comment:added", data: comment }); // io.to(…).emit(…)
}
