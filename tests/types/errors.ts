// What must not compile. Each line under a `@ts-expect-error` is wrong in one thing alone.

import type { Socket } from "socket.io-client";
import type {
  Analytics,
  Chat,
  ConnectErrorData,
  ErrorCode,
  Http,
  Inbox,
  Jobs,
  Notifications,
  PlainClientFrame,
  PlainServerFrame,
  TypedAcks,
} from "./dialtone";

export function inbox(socket: Socket<Inbox.ServerToClientEvents, Inbox.ClientToServerEvents>) {
  socket.emit("join", { room: "ticket:7" });
  socket.emit("join", "ticket:7");
  // @ts-expect-error no such event
  socket.emit("join_room", { room: "ticket:7" });
  // @ts-expect-error an event of another namespace
  socket.emit("join_chat", { chatId: "42" });
  // @ts-expect-error no such field
  socket.emit("join", { name: "ticket:7" });
  // @ts-expect-error a room is text
  socket.emit("join", { room: 7 });
  // @ts-expect-error a field is missing
  socket.emit("typing", { room: "ticket:7" });
  // @ts-expect-error one field too many
  socket.emit("mark_read", { room: "ticket:7", offset: 3, by: "ann" });
  // @ts-expect-error an argument too many
  socket.emit("leave", "ticket:7", "ticket:8", () => {});
  // @ts-expect-error no argument
  socket.emit("send");
  // @ts-expect-error the server says when
  socket.emit("message_sent", { phoneNumberId: "+1555", to: "+1666", body: "hi", timestamp: 5 });
  socket.emit("join", "ticket:7", (ack) => {
    // @ts-expect-error only once it is known to be ok
    ack.offset.toFixed();
    if (ack.ok) {
      ack.offset.toFixed();
      // @ts-expect-error a join is no message
      ack.duplicate;
    } else {
      // @ts-expect-error no such code
      if (ack.error.code === "not_found_at_all") return;
    }
  });
  socket.timeout(1_000).emit("join", "ticket:7", (error, ack) => {
    error.message.trim();
    // @ts-expect-error only once it is known to be ok
    ack.room;
  });
  // @ts-expect-error the arguments of `emitWithAck` too
  void socket.emitWithAck("join", { chatId: "42" });
  // @ts-expect-error no such event
  socket.on("new_sms", () => {});
  // @ts-expect-error no such field
  socket.on("new_message", ({ text }) => text);
  // @ts-expect-error a user's id may be an integer
  socket.on("connected", ({ userId }) => userId.length);
  // @ts-expect-error only what clients may send
  socket.emit("new_message", {});
  // @ts-expect-error the offset of recovery is text, and only there where recovery is on
  socket.on("new_message", (_, offset: string) => offset);
  // @ts-expect-error no such status
  socket.on("message_status", ({ status }) => status === "lost");
  // @ts-expect-error there may be none
  socket.on("message_status", ({ errorCode }) => errorCode.toFixed());
  // @ts-expect-error nobody may be assigned
  socket.on("conversation_assigned", ({ userId }) => userId.toString());
  // @ts-expect-error they are counted
  socket.on("conversation_updated", ({ lastMessage }) => lastMessage.media.length);
  // @ts-expect-error tickets are not known unless they are added
  socket.on("ticket:created", () => {});
}

export function tickets(socket: Socket<Inbox.ServerToClientEvents & Inbox.TicketEvents<{ id: string }>, Inbox.ClientToServerEvents>) {
  // @ts-expect-error a ticket as it was said to be
  socket.on("ticket:created", ({ number }) => number);
  // @ts-expect-error a comment was not said to be anything
  socket.on("comment:added", ({ text }) => text);
}

export async function chat(socket: Socket<Chat.ServerToClientEvents, Chat.ClientToServerEvents>) {
  socket.emit("send_message", { chatId: "42", message: "hi", message_type: "image" });
  // @ts-expect-error no such type
  socket.emit("send_message", { chatId: "42", message: "hi", message_type: "video" });
  // @ts-expect-error a message is text
  socket.emit("send_message", { chatId: "42", message: 5 });
  // @ts-expect-error `chatId`, not `chat_id`
  socket.emit("join_chat", { chat_id: "42" });
  // @ts-expect-error `created_at` is text: make a Date of it
  socket.on("new_message", ({ created_at }) => created_at.getTime());
  // @ts-expect-error a chat has its own events for presence
  socket.on("presence_diff", () => {});
  socket.on("connect_error", ({ data }: { data?: ConnectErrorData }) => {
    // @ts-expect-error no such code
    return data?.code === "expired";
  });

  const typed = socket as TypedAcks<Chat.ClientToServerEvents> & typeof socket;
  const joined = await typed.emitWithAck("join_chat", { chatId: "42" });
  // @ts-expect-error only once it is known to be ok
  joined.room;
  // @ts-expect-error no such field
  await typed.emitWithAck("join_chat", { room: "42" });
  const stored = await typed.timeout(1_000).emitWithAck("send_message", { chatId: "42", message: "hi" });
  // @ts-expect-error a message is not a room
  if (stored.ok) stored.room;
}

export function jobs(socket: Socket<Jobs.ServerToClientEvents, Jobs.ClientToServerEvents>) {
  // @ts-expect-error no such field
  socket.emit("subscribe-job", { id: "7" });
  // @ts-expect-error `subscribe-job`
  socket.emit("subscribe_job", "7");
  socket.on("job:status-changed", ({ status, progress }) => {
    // @ts-expect-error no such status
    if (status === "done") return;
    // @ts-expect-error there may be none
    progress.toFixed();
  });
  // @ts-expect-error there is no such event here
  socket.on("connected", () => {});
}

export function notifications(socket: Socket<Notifications.ServerToClientEvents, Notifications.ClientToServerEvents>) {
  // @ts-expect-error an object
  socket.emit("mark-read", "n-1");
  // @ts-expect-error no argument
  socket.emit("clear-all", { all: true });
  socket.on("notification:received", ({ severity, type }) => {
    // @ts-expect-error no such severity
    if (severity === "fatal") return;
    // @ts-expect-error no such type
    if (type === "job_completed") return;
  });
}

export function analytics(socket: Socket<Analytics.ServerToClientEvents, Analytics.ClientToServerEvents>) {
  // @ts-expect-error no such event
  socket.on("analytics:sync-failed", () => {});
  // @ts-expect-error it is the event's own name
  socket.on("analytics:sync-started", ({ eventType }) => eventType === "analytics:sync-completed");
  // @ts-expect-error in `data`
  socket.on("analytics:sync-progress", ({ progress }) => progress);
}

export function plain(frame: PlainServerFrame<Chat.PlainEvents>) {
  // @ts-expect-error an answer has no event
  frame.event;
  if ("event" in frame) {
    // @ts-expect-error no such event
    if (frame.event === "new_sms") return;
    // @ts-expect-error no such field
    if (frame.event === "new_message") frame.data.body;
  } else {
    // @ts-expect-error there may be none
    frame.error.code;
  }
  // @ts-expect-error `event` is missing
  const nothing: PlainClientFrame = { data: 5 };
  // @ts-expect-error an id is text
  const numbered: PlainClientFrame = { event: "note", id: 5 };
  return [nothing, numbered];
}

export function http(problem: Http.Problem) {
  // @ts-expect-error `event` is missing
  const none: Http.Emit = { room: "user:7" };
  // @ts-expect-error one room or several
  const both: Http.Emit = { room: "user:7", rooms: ["user:8"], event: "note" };
  // @ts-expect-error one argument or several
  const args: Http.Emit = { room: "user:7", event: "note", data: 1, args: [1, 2] };
  // @ts-expect-error no such field, in a batch
  const batch: Http.Emit = [{ room: "user:7", event: "note" }, { to: "user:7", event: "note" }];
  // @ts-expect-error no such status
  const job: Http.PublishJob = { status: "done" };
  // @ts-expect-error a title is missing
  const notification: Http.PublishNotification = { type: "alert", message: "Oh", severity: "info" };
  // @ts-expect-error where it is is missing
  const event: Http.PublishAnalytics = { syncId: "s", eventType: "analytics:sync-started", data: { progress: 5, recordsProcessed: 1 } };
  // @ts-expect-error an id is missing
  const anonymous: Http.SendMessage = { body: "hi" };
  // @ts-expect-error some text, or media
  const empty: Http.SendMessage = { id: "m-1" };
  // @ts-expect-error media by their URLs
  const media: Http.SendMessage = { id: "m-1", media: [{ url: "https://www.example.com/a.png" }] };
  // @ts-expect-error nobody is `null`
  const nobody: Http.AssignConversation = {};
  // @ts-expect-error no such code
  const code: ErrorCode = "teapot";
  // @ts-expect-error there may be none
  problem.errors.length;
  return [none, both, args, batch, job, notification, event, anonymous, empty, media, nobody, code];
}
