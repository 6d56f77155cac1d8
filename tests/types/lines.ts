// A team's phone lines: conversations, what is sent, what becomes of it.

import { io, type Socket } from "socket.io-client";
import type { Http, Inbox, PlainServerFrame, UserId } from "./dialtone";
import { dialtone } from "./backend";

type InboxSocket = Socket<Inbox.ServerToClientEvents, Inbox.ClientToServerEvents>;

/** A line's list, kept up to date. */
export async function open(line: string, list: Map<string, Inbox.Conversation>) {
  const socket: InboxSocket = io(DIALTONE_URL, { auth: { token } });
  socket.on("connect", () => socket.emit("join", { room: `line:${line}` }));
  socket.on("conversation_updated", (conversation) => list.set(conversation.contact, conversation));
  socket.on("conversation_assigned", ({ contact, userId }) => console.log(contact, userId ?? "nobody"));
  socket.on("message_status", ({ id, status, errorMessage }) => console.log(id, status === "unknown" ? "sent or not?" : status, errorMessage));
  let cursor: string | undefined;
  do {
    const after: string = cursor ? `?cursor=${encodeURIComponent(cursor)}` : "";
    const page = await dialtone<Http.Conversations>("GET", `/api/lines/${line}/conversations${after}`);
    for (const conversation of page.conversations) list.set(conversation.contact, conversation);
    cursor = page.cursor;
  } while (cursor);
  return socket;
}

export async function mine() {
  const { lines } = await dialtone<Http.Lines>("GET", "/api/lines");
  return lines.filter(({ unread }) => unread > 0).map(({ number }) => number);
}

export async function send(line: string, contact: string, id: string) {
  const path = `/api/lines/${line}/conversations/${contact}/messages`;
  const text: Http.SendMessage = { id, body: "Until six." };
  const picture: Http.SendMessage = { id: `${id}-picture`, media: ["https://www.example.com/menu.png"] };
  for (const message of [text, picture]) {
    const { status, segments, duplicate } = await dialtone<Http.Queued>("POST", path, message);
    console.log(status, segments, duplicate ? "again" : "once");
  }
}

/** What was said, as lines of text. */
export async function read(line: string, contact: string) {
  const { messages } = await dialtone<Http.ConversationHistory>("GET", `/api/lines/${line}/conversations/${contact}/messages`);
  return messages.map((message) =>
    message.event === "new_message"
      ? `${message.data.from}: ${message.data.body} ${message.data.optOutType ?? ""}`
      : `${message.data.userId}: ${message.data.body} (${message.data.errorMessage ?? message.data.status})`,
  );
}

/** A picture that came in, as `<img>` can show it. */
export const picture = (line: string, contact: string, { messageSid }: Inbox.NewMessage, n: number) =>
  `${DIALTONE_URL}/api/lines/${line}/conversations/${contact}/media/${messageSid}/${n}?token=${token}`;

export async function take(line: string, contact: string, userId: UserId | null) {
  const body: Http.AssignConversation = { userId };
  const { assignedTo } = await dialtone<Inbox.Conversation>("PUT", `/api/lines/${line}/conversations/${contact}/assignee`, body);
  return assignedTo;
}

/** The same events on a plain WebSocket. */
export function heard(frame: PlainServerFrame<Inbox.PlainEvents>) {
  if (!("event" in frame)) return;
  if (frame.event === "message_updated") console.log(frame.data.media?.length, frame.data.segments);
  if (frame.event === "conversation_updated") console.log(frame.data.line, frame.data.lastMessage.media, frame.data.profileName);
}
