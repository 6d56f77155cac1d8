// Dialtone's types, for apps and backends. Copy this file into your project; it needs no package.
//
//   import { io, type Socket } from "socket.io-client";
//   import type { Chat } from "./dialtone";
//
//   const socket: Socket<Chat.ServerToClientEvents, Chat.ClientToServerEvents> =
//     io("https://dialtone.example.com/chat", { auth: { token } });
//
// Objects may carry more fields than are written here: ignore those you do not know.

// ── Everywhere ──

/** A user's id as the token has it: an integer stays an integer. */
export type UserId = string | number;

/** The id of a chat, a job or a brand as clients may send it: a number is taken for its digits. */
export type Id = string | number;

/** When: RFC 3339 with milliseconds, `2026-01-05T10:00:00.000Z`. */
export type Timestamp = string;

/** A publication's place in its room: 1, 2, 3… without gaps. */
export type Offset = number;

/** Someone who is in a room, over all of their tabs. */
export interface Person {
  userId: UserId;
  /** The token's `name`. */
  name?: string;
  since: Timestamp;
}

/** Who is in a room: sent to whoever joins it. */
export interface PresenceState {
  room: string;
  users: Person[];
}

/** Who came and who went. */
export interface PresenceDiff {
  room: string;
  joins: Person[];
  leaves: Person[];
}

/** Every code that a refusal may have: of acks, error frames, `connect_error` and HTTP problems. */
export type ErrorCode =
  | "bad_request"
  | "unauthorized"
  | "token_expired"
  | "forbidden"
  | "origin_not_allowed"
  | "not_found"
  | "method_not_allowed"
  | "conflict"
  | "opted_out"
  | "payload_too_large"
  | "unsupported_media_type"
  | "invalid_payload"
  | "unknown_event"
  | "not_in_room"
  | "wrong_namespace"
  | "invalid_namespace"
  | "too_many_rooms"
  | "rate_limited"
  | "internal"
  | "twilio_error"
  | "not_configured"
  | "unavailable"
  | "schema_newer";

/** Why something was refused: a stable code, and one sentence for people. */
export interface Refusal {
  code: ErrorCode;
  message: string;
}

// ── Socket.IO ──

/** `error.data` of the stock client's `connect_error`; none where the network failed. */
export interface ConnectErrorData {
  code: ErrorCode;
}

/** The event `error`: a refusal of an event that was sent without a callback. */
export interface EventError extends Refusal {
  /** The event that was refused; none where it was none, as with `token_expired`. */
  event?: string;
}

/** An ack: what was done, or why not. `ok` tells which. */
export type Ack<Success extends Ok = Ok> = Success | Refused;

/** It was done. */
export interface Ok {
  ok: true;
}

/** It was not. */
export interface Refused {
  ok: false;
  error: Refusal;
}

/** In a room (or out of it again), and how far the room is. */
export interface AtPosition extends Ok {
  room: string;
  epoch: string;
  offset: Offset;
}

/** Kept: `duplicate` if it was there already, under the id that you gave it. */
export interface Stored extends Ok {
  offset: Offset;
  duplicate: boolean;
}

/** An event that clients send: one argument and, if you like, a callback for the ack. */
export type Sends<Data, Success extends Ok = Ok> = (
  ...args: [data: Data] | [data: Data, ack: (ack: Ack<Success>) => void]
) => void;

/** An event that clients hear. Where recovery is on, each has the session's offset as a last argument; nothing needs it. */
export type Hears<Data> = (data: Data, offset?: string) => void;

/** What clients of every namespace may send. */
export interface SentEverywhere {
  /** A new token of the same user, on the live connection: for all of its namespaces that had the same old one. */
  refresh: Sends<{ token: string }>;
}

/** What clients of every namespace may hear. */
export interface HeardEverywhere {
  error: Hears<EventError>;
}

/**
 * Types `emitWithAck`, for which the stock client's own types give `any` where a callback may be left out. Comes first:
 * `TypedAcks<Chat.ClientToServerEvents> & Socket<Chat.ServerToClientEvents, Chat.ClientToServerEvents>`.
 */
export interface TypedAcks<Events> {
  emitWithAck<Event extends keyof Events & string>(
    event: Event,
    ...data: SentData<Events[Event]>
  ): Promise<SentAck<Events[Event]>>;
  timeout(ms: number): TimedAcks<Events>;
}

/** What {@link TypedAcks} gives for `timeout(ms)`. */
export interface TimedAcks<Events> {
  emitWithAck<Event extends keyof Events & string>(
    event: Event,
    ...data: SentData<Events[Event]>
  ): Promise<SentAck<Events[Event]>>;
  emit<Event extends keyof Events & string>(
    event: Event,
    ...args: [...data: SentData<Events[Event]>, ack: (error: Error | null, ack: SentAck<Events[Event]>) => void]
  ): unknown;
}

/** The arguments of an event, without the callback. */
export type SentData<Send> = Send extends (...args: infer Args) => void
  ? Args extends [...infer Data, (ack: infer _) => void]
    ? Data
    : never
  : never;

/** The ack of an event. */
export type SentAck<Send> = Send extends (...args: infer Args) => void
  ? Args extends [...infer _, (ack: infer Answer) => void]
    ? Answer
    : never
  : never;

/** `/`: the inbox, presence, tickets, rooms of your own. */
export namespace Inbox {
  interface ServerToClientEvents extends HeardEverywhere {
    connected: Hears<Connected>;
    new_message: Hears<NewMessage>;
    message_updated: Hears<MessageUpdated>;
    /** In a line's and in a conversation's room, like the two after it. */
    message_status: Hears<MessageStatus>;
    conversation_updated: Hears<ConversationUpdated>;
    conversation_assigned: Hears<ConversationAssigned>;
    presence_state: Hears<PresenceState>;
    presence_diff: Hears<PresenceDiff>;
    user_typing: Hears<UserTyping>;
    messages_read: Hears<MessagesRead>;
    /** What you sent as `test`. */
    test: (...args: any[]) => void;
  }

  interface ClientToServerEvents extends SentEverywhere {
    join: Sends<string | { room: string }, AtPosition>;
    leave: Sends<string | { room: string }, AtPosition>;
    /** To the others in a room of a kind of your own; with an `id` it is accepted once. */
    send: Sends<{ room: string; event: string; data?: unknown; id?: string }, Stored>;
    typing: Sends<{ room: string; isTyping: boolean }>;
    /** Without an `offset`, everything so far. */
    mark_read: Sends<{ room: string; offset?: Offset }>;
    /** A message went out by other means: one's tabs and the line's others hear `message_updated`. It sends nothing itself. */
    message_sent: Sends<MessageSent, Stored>;
    /** Comes back as it is. */
    test: (...args: any[]) => void;
  }

  /** Tickets are your backend's own: say what they are, and add this to {@link ServerToClientEvents} with `&`. */
  interface TicketEvents<Ticket, Comment = unknown, Attachment = unknown> {
    "ticket:created": Hears<Ticket>;
    "ticket:updated": Hears<Ticket>;
    "comment:added": Hears<Comment>;
    "attachment:added": Hears<Attachment>;
  }

  interface Connected {
    message: string;
    userId: UserId;
  }

  /** An SMS or WhatsApp message that came in on a line that one works. */
  interface NewMessage {
    /** The line, as Twilio writes it: with `whatsapp:` where it is one. */
    phoneNumberId: string;
    /** Both without the prefix. */
    from: string;
    to: string;
    body: string;
    direction: "inbound";
    timestamp: Timestamp;
    /** Twilio's; a message is accepted once under it. */
    messageSid: string;
    media: { url: string; contentType: string }[];
    channel: Channel;
    profileName?: string;
    /** The contact wants no more messages from this line, wants them again, or asked for help. */
    optOutType?: "STOP" | "START" | "HELP";
  }

  type Channel = "sms" | "whatsapp";

  interface MessageSent {
    phoneNumberId: string;
    to: string;
    body: string;
    /** The server's own time replaces it. */
    timestamp?: Timestamp;
    /** That of the same message's `POST …/messages`, if there was one: it is told once then. */
    id?: string;
  }

  /** A message that goes out. Only one that Dialtone sends has what may be missing here. */
  interface MessageUpdated extends MessageSent {
    direction: "outbound";
    timestamp: Timestamp;
    from?: string;
    media?: { url: string }[];
    channel?: Channel;
    segments?: number;
    userId?: UserId;
    /** What it was then; {@link MessageStatus} tells what becomes of it. */
    status?: Status;
    /** These three in {@link Http.ConversationHistory}, where the status is what it is now. */
    messageSid?: string;
    errorCode?: number;
    errorMessage?: string;
  }

  /** How far a message is. `unknown`: whether Twilio took it is not known, and it is not sent again by itself. */
  type Status =
    | "queued"
    | "unknown"
    | "accepted"
    | "scheduled"
    | "sending"
    | "sent"
    | "delivered"
    | "undelivered"
    | "failed"
    | "canceled"
    | "read";

  /** A message's status moved on; it never goes back. */
  interface MessageStatus {
    /** The one that it was sent with. */
    id: string;
    /** Twilio's, once it has one. */
    messageSid?: string;
    status: Status;
    /** Twilio's. */
    errorCode?: number;
    /** A sentence for people. */
    errorMessage?: string;
    phoneNumberId: string;
    to: string;
  }

  /** A line's conversation with one contact. */
  interface Conversation {
    /** As the room `sms:{line}:{contact}` has it: with `whatsapp:` where it is one. */
    contact: string;
    channel: Channel;
    lastMessage: {
      body: string;
      direction: "inbound" | "outbound";
      timestamp: Timestamp;
      /** How many. */
      media: number;
      id?: string;
      messageSid?: string;
    };
    /** By the line: a `mark_read` of anyone who may send there counts. */
    unread: number;
    /** The contact wants no messages from this line. */
    optedOut: boolean;
    assignedTo: UserId | null;
    profileName?: string;
    updatedAt: Timestamp;
  }

  interface ConversationUpdated extends Conversation {
    line: string;
  }

  interface ConversationAssigned {
    line: string;
    contact: string;
    userId: UserId | null;
  }

  /** What a plain WebSocket at `/rooms/line:{line}` or `/rooms/sms:{line}:{contact}` hears, for {@link PlainServerFrame}. */
  interface PlainEvents {
    new_message: NewMessage;
    message_updated: MessageUpdated;
    message_status: MessageStatus;
    conversation_updated: ConversationUpdated;
    conversation_assigned: ConversationAssigned;
    user_typing: UserTyping;
    messages_read: MessagesRead;
  }

  interface UserTyping {
    userId: UserId;
    room: string;
    isTyping: boolean;
  }

  interface MessagesRead {
    userId: UserId;
    room: string;
    offset: Offset;
  }
}

/** `/chat`: conversations between people, in the rooms `chat:{chatId}`. */
export namespace Chat {
  interface ServerToClientEvents extends HeardEverywhere {
    connected: Hears<Inbox.Connected>;
    joined_chat: Hears<{ chatId: string; message: string }>;
    left_chat: Hears<{ chatId: string }>;
    new_message: Hears<NewMessage>;
    user_typing: Hears<UserTyping>;
    /** Someone's first tab came in. */
    user_joined: Hears<InChat>;
    /** Someone's last tab is out. */
    user_left: Hears<InChat>;
    messages_read: Hears<InChat>;
  }

  interface ClientToServerEvents extends SentEverywhere {
    join_chat: Sends<{ chatId: Id }, AtPosition>;
    leave_chat: Sends<{ chatId: Id }, AtPosition>;
    send_message: Sends<SendMessage, StoredMessage>;
    typing: Sends<{ chatId: Id; isTyping: boolean }>;
    mark_read: Sends<{ chatId: Id }>;
  }

  /** What a plain WebSocket at `/rooms/chat:{chatId}` hears, for {@link PlainServerFrame}. */
  interface PlainEvents {
    new_message: NewMessage;
    user_typing: UserTyping;
    messages_read: InChat;
  }

  type MessageType = "text" | "image" | "document";

  interface SendMessage {
    chatId: Id;
    message: string;
    /** `text` if left out. */
    message_type?: MessageType;
    /** The message is accepted once under it, however often it is sent. */
    clientMessageId?: string;
  }

  interface NewMessage {
    id: string;
    chatId: string;
    /** The sender's role; `user` for one without. */
    sender_type: string;
    sender_id: UserId;
    message: string;
    message_type: MessageType;
    created_at: Timestamp;
  }

  /** The ack of `send_message`: the `id` is the message's. */
  interface StoredMessage extends Stored {
    id: string;
  }

  interface UserTyping {
    userId: UserId;
    isTyping: boolean;
    chatId: string;
  }

  interface InChat {
    userId: UserId;
    chatId: string;
  }
}

/** `/jobs`: how far jobs are, in the rooms `job:{jobId}`. */
export namespace Jobs {
  interface ServerToClientEvents extends HeardEverywhere {
    subscribed: Hears<{ jobId: string }>;
    /** Right after `subscribed` too, if the job has a status. */
    "job:status-changed": Hears<JobStatusUpdate>;
  }

  interface ClientToServerEvents extends SentEverywhere {
    "subscribe-job": Sends<Id | { jobId: Id }, AtPosition>;
    "unsubscribe-job": Sends<Id | { jobId: Id }, AtPosition>;
  }

  type JobStatus = "draft" | "pending" | "approved" | "published" | "failed" | "in_progress";

  interface JobStatusUpdate {
    jobId: string;
    status: JobStatus;
    /** From 0 to 100. */
    progress?: number;
    currentPlatform?: string;
    error?: string;
    details?: Record<string, unknown>;
    timestamp: Timestamp;
  }
}

/** `/notifications`: what a user has not read yet, in the room `user:{userId}`. */
export namespace Notifications {
  interface ServerToClientEvents extends HeardEverywhere {
    subscribed: Hears<{ userId: UserId }>;
    /** After `subscribed`, those that are unread, oldest first; then each as it comes. */
    "notification:received": Hears<Notification>;
    /** It was read in another tab, over HTTP, or with its chat. */
    "notification:read": Hears<{ id: string }>;
    /** All were, in another tab or over HTTP. */
    "notifications:cleared": (offset?: string) => void;
  }

  interface ClientToServerEvents extends SentEverywhere {
    /** One's own id; others' with the role `admin`. */
    "subscribe-user": Sends<UserId | { userId: UserId }, AtPosition>;
    "unsubscribe-user": Sends<UserId | { userId: UserId }, AtPosition>;
    "mark-read": Sends<{ id: string }, Done>;
    "clear-all": (...args: [] | [ack: (ack: Ack<Done>) => void]) => void;
  }

  type NotificationType =
    | "job-completed"
    | "job-failed"
    | "approval-needed"
    | "insight-available"
    | "sync-complete"
    | "alert";

  type Severity = "info" | "warning" | "error" | "success";

  interface Notification {
    id: string;
    type: NotificationType;
    title: string;
    message: string;
    severity: Severity;
    brandId?: string;
    actionUrl?: string;
    timestamp: Timestamp;
    read?: boolean;
    /** These three where it tells of a chat's message that one was not there for. */
    chatId?: string;
    messageId?: string;
    senderId?: UserId;
  }

  /** `duplicate` if it was read already. */
  interface Done extends Ok {
    offset?: Offset;
    duplicate?: boolean;
  }
}

/** `/analytics`: how far the syncs of a brand are, in the rooms `brand:{brandId}`. */
export namespace Analytics {
  interface ServerToClientEvents extends HeardEverywhere {
    /** The brand's last event, if any, comes right after it. */
    subscribed: Hears<{ brandId: string }>;
    "analytics:sync-started": Hears<AnalyticsEvent<"analytics:sync-started">>;
    "analytics:sync-progress": Hears<AnalyticsEvent<"analytics:sync-progress">>;
    "analytics:sync-completed": Hears<AnalyticsEvent<"analytics:sync-completed">>;
    "analytics:insights-generated": Hears<AnalyticsEvent<"analytics:insights-generated">>;
    "analytics:forecast-ready": Hears<AnalyticsEvent<"analytics:forecast-ready">>;
  }

  interface ClientToServerEvents extends SentEverywhere {
    "subscribe-brand": Sends<Id | { brandId: Id }, AtPosition>;
    "unsubscribe-brand": Sends<Id | { brandId: Id }, AtPosition>;
  }

  type EventType =
    | "analytics:sync-started"
    | "analytics:sync-progress"
    | "analytics:sync-completed"
    | "analytics:insights-generated"
    | "analytics:forecast-ready";

  interface AnalyticsEvent<Name extends EventType = EventType> {
    syncId: string;
    /** The event's own name. */
    eventType: Name;
    data: {
      platform: string;
      /** From 0 to 100. */
      progress: number;
      recordsProcessed: number;
      totalRecords?: number;
      currentMetric?: string;
      timestamp: Timestamp;
    };
  }
}

/** `/admin`, for role `admin`: what npm `@socket.io/admin-ui` speaks. */
export namespace Admin {
  interface ServerToClientEvents extends HeardEverywhere {
    config: Hears<{ supportedFeatures: string[] }>;
    /** All sockets of all lobbies; those that go into no frame with the others follow as `socket_connected`. */
    all_sockets: Hears<ShownSocket[]>;
    socket_connected: (socket: ShownSocket, at: Timestamp) => void;
    /** It polls no longer. */
    socket_updated: Hears<{ id: string; nsp: string; transport: "websocket" }>;
    socket_disconnected: (nsp: string, id: string, reason: string, at: Timestamp) => void;
    room_joined: (nsp: string, room: string, id: string, at: Timestamp) => void;
    room_left: (nsp: string, room: string, id: string, at: Timestamp) => void;
    /** A lobby, when something has happened there. */
    server_stats: Hears<LobbyStats>;
  }

  /** `whom` is a socket's id, or a room: all who are in it. */
  interface ClientToServerEvents extends SentEverywhere {
    /** As if its client had asked: its own token must open the room. */
    join: (nsp: string, room: string, whom: string, ack?: (answer: Ack) => void) => void;
    /** Without `whom`, everyone in the room. */
    leave: (nsp: string, room: string, whom?: string, ack?: (answer: Ack) => void) => void;
    /** With `client`, all its sockets in all namespaces. */
    _disconnect: (nsp: string, client: boolean, whom: string, ack?: (answer: Ack) => void) => void;
  }

  interface ShownSocket {
    id: string;
    clientId: string;
    transport: "websocket" | "polling";
    nsp: string;
    data: { userId: UserId; name: string | null; role: string | null };
    /** `address` is the lobby; `issued` when it connected, in milliseconds since 1970. */
    handshake: { address: string; issued: number; headers: {}; query: {} };
    rooms: string[];
  }

  interface LobbyStats {
    serverId: string;
    hostname: string;
    pid: number;
    /** Seconds since it last slept. */
    uptime: number;
    clientsCount: number;
    pollingClientsCount: number;
  }
}

// ── Plain WebSockets, `/rooms/{room}` ──

/** What a client sends, as JSON; with an `id` it is acknowledged, and accepted once. */
export interface PlainClientFrame<Event extends string = string, Data = unknown> {
  event: Event;
  data?: Data;
  /** 1 to 64 bytes. */
  id?: string;
}

/** What the server sends, as JSON: an event, or the answer to one. `Events` says which data each of the room's events has. */
export type PlainServerFrame<Events = Record<string, any>> =
  | PlainEvent<"connected", PlainConnected>
  | PlainEvent<"presence_state", PresenceState>
  | PlainEvent<"presence_diff", PresenceDiff>
  | { [Event in keyof Events & string]: PlainEvent<Event, Events[Event]> }[keyof Events & string]
  | PlainAck
  | PlainError;

/** An event. What is ephemeral (presence, typing, read marks) has only the first two fields. */
export interface PlainEvent<Event extends string, Data> {
  event: Event;
  data: Data;
  /** In place of `data` where the event has no argument, or several. */
  args?: unknown[];
  offset?: Offset;
  at?: Timestamp;
  /** `null` where a backend or a webhook sent it. */
  sender?: UserId | null;
}

/** The first event of a connection. */
export interface PlainConnected {
  room: string;
  userId: UserId;
  epoch: string;
  offset: Offset;
  /** Whether what came after `?since=` follows. */
  recovered: boolean;
}

/** Your event with this `id` was accepted; no `offset` where it is ephemeral. */
export interface PlainAck {
  ack: string;
  /** The message's own id, in a chat. */
  id?: string;
  offset?: Offset;
  duplicate: boolean;
  error?: undefined;
}

/** It was refused; no `ack` where it had no `id`. */
export interface PlainError {
  ack?: string;
  error: Refusal;
}

// ── HTTP ──

/** Bodies of requests and answers. */
export namespace Http {
  /** Every error, `application/problem+json` (RFC 9457). */
  interface Problem {
    type: string;
    title: string;
    status: number;
    /** One sentence; it names the field that is wrong. */
    detail: string;
    code: ErrorCode;
    /** `POST /api/emit` with a batch: what is wrong with which of its items. */
    errors?: { index: number; code: ErrorCode; detail: string }[];
  }

  /** `POST /api/emit`: one item, or up to 100. */
  type Emit = EmitItem | EmitItem[];

  /** An event, and where it goes: without a room, or to `"*"`, to everyone in the namespace. */
  type EmitItem = {
    event: string;
    /** Left out: each room's own, and `/` for everyone. */
    namespace?: string;
    /** Users who do not get it. */
    except?: UserId[];
    /** Only those who are connected now get it; it is not kept. */
    volatile?: boolean;
    /** Of several within a turn the last one is enough. */
    latest?: boolean;
    /** It is accepted once under it, 1 to 64 bytes. */
    id?: string;
  } & ({ room?: string; rooms?: undefined } | { room?: undefined; rooms: string[] }) &
    ({ data?: unknown; args?: undefined } | { data?: undefined; args: unknown[] });

  /** One result for each item and room, in their order. */
  interface Emitted {
    results: EmitResult[];
  }

  interface EmitResult {
    /** `"*"` for everyone. */
    room: string;
    /** None where it was volatile. */
    offset?: Offset;
    duplicate: boolean;
    /** The item's place in the batch, where it was one. */
    index?: number;
  }

  /** `POST /api/jobs/{id}`: `jobId` and `timestamp` are filled in. */
  type PublishJob = Partial<Pick<Jobs.JobStatusUpdate, "jobId" | "timestamp">> &
    Omit<Jobs.JobStatusUpdate, "jobId" | "timestamp">;

  /** `POST /api/users/{id}/notifications`: `id` and `timestamp` are filled in. */
  type PublishNotification = Partial<Pick<Notifications.Notification, "id" | "timestamp">> &
    Omit<Notifications.Notification, "id" | "timestamp">;

  /** `POST /api/analytics/{brandId}`: `data.timestamp` is filled in. */
  type PublishAnalytics = Omit<Analytics.AnalyticsEvent, "data"> & {
    data: Omit<Analytics.AnalyticsEvent["data"], "timestamp"> & { timestamp?: Timestamp };
  };

  /** The answer to those three; `id` is a notification's. */
  interface Published {
    room: string;
    id?: string;
    offset: Offset;
    duplicate: boolean;
  }

  /** `GET /api/notifications`: oldest first. */
  interface NotificationList {
    notifications: (Notifications.Notification & { read: boolean })[];
    /** How many are unread. */
    unread: number;
  }

  /** `POST /api/notifications/{id}/read`. */
  interface NotificationRead {
    offset?: Offset;
    duplicate: boolean;
  }

  /** `GET /chat/{chatId}/messages`: oldest first. */
  interface ChatMessages {
    messages: Chat.NewMessage[];
  }

  /** `GET /rooms/{room}/history`: ascending. */
  interface History {
    epoch: string;
    offset: Offset;
    messages: HistoryMessage[];
  }

  interface HistoryMessage {
    event: string;
    data?: unknown;
    /** In place of `data` where the event has no argument, or several. */
    args?: unknown[];
    offset: Offset;
    at: Timestamp;
    /** `null` where a backend or a webhook sent it. */
    sender: UserId | null;
  }

  /** `GET /rooms/{room}/presence`. */
  interface Presence {
    users: Person[];
  }

  /** `POST /rooms/{room}/events`: the body is a {@link PlainClientFrame}. */
  interface EventAccepted {
    id?: string;
    offset?: Offset;
    duplicate: boolean;
  }

  /** `GET | PUT | DELETE /rooms/{room}/members[/{userId}]`. */
  interface Members {
    members: { userId: UserId; since: Timestamp }[];
  }

  /** `GET | PUT | DELETE /api/lines/{number}/assignees[/{userId}]`. */
  interface Assignees {
    assignees: UserId[];
  }

  /** `GET /api/lines`: one's own. */
  interface Lines {
    lines: { number: string; unread: number }[];
  }

  /** `GET /api/lines/{number}/conversations`: newest first. */
  interface Conversations {
    conversations: Inbox.Conversation[];
    /** `?cursor=` of the next page, if there is one. */
    cursor?: string;
  }

  /** `PUT /api/lines/{number}/conversations/{contact}/assignee`, answered by the {@link Inbox.Conversation}. */
  interface AssignConversation {
    /** `null` is nobody. */
    userId: UserId | null;
  }

  /** `POST /api/lines/{number}/conversations/{contact}/messages`: some text, or media, or both. */
  type SendMessage = {
    /** 1 to 64 bytes; the message is accepted once under it, however often it is sent. */
    id: string;
  } & ({ body: string; media?: string[] } | { body?: string; media: string[] });

  /** Its answer, a 202: the message is stored, and sent after that. */
  interface Queued {
    id: string;
    /** `queued`, or what it is by now if it was accepted before. */
    status: Inbox.Status;
    /** How many SMS it is. */
    segments: number;
    duplicate?: true;
  }

  /** `GET /api/lines/{number}/conversations/{contact}/messages`: ascending. */
  interface ConversationHistory extends Omit<History, "messages"> {
    messages: (ConversationMessage<"new_message", Inbox.NewMessage> | ConversationMessage<"message_updated", Inbox.MessageUpdated>)[];
  }

  interface ConversationMessage<Event extends string, Data> extends HistoryMessage {
    event: Event;
    data: Data;
  }

  /** What is POSTed to `EVENT_WEBHOOK_URL`. */
  interface EventWebhook {
    type: "notification:received";
    timestamp: Timestamp;
    data: {
      userId: UserId;
      /** Whether the user has a socket in their own room. */
      online: boolean;
      notification: Notifications.Notification;
    };
  }
}
