//! Every limit of Dialtone, by name, with its arithmetic. Going past one has one defined answer: an
//! error to whoever did it; the others lose nothing (DESIGN §3.9).

/// How long to wait after so many attempts that failed before this one: `first_ms`, doubled each time,
/// `most_ms` at most.
pub const fn backoff(first_ms: u64, attempts: u32, most_ms: u64) -> u64 {
    let wait = first_ms.saturating_mul(2_u64.saturating_pow(attempts));
    if wait < most_ms { wait } else { most_ms }
}

/// A room's `kind`: `[a-z][a-z0-9-]{0,31}`.
pub const MAX_KIND_LEN: usize = 32;
/// A room's `id`: 1–128 characters of `[A-Za-z0-9_.@+:-]`.
pub const MAX_ROOM_ID_LEN: usize = 128;
/// A user id, as text.
pub const MAX_USER_ID_LEN: usize = 128;
/// A display name; longer ones are cut, for they are decoration.
pub const MAX_NAME_LEN: usize = 128;
/// A client's message id or idempotency key, in bytes.
pub const MAX_CLIENT_ID_LEN: usize = 64;
/// An event's name, in bytes.
pub const MAX_EVENT_NAME_LEN: usize = 128;
/// How deep an event's data may nest. Every JSON parser we know of takes 64 levels.
pub const MAX_JSON_DEPTH: usize = 64;
/// Packets in one polling body. A client that was away flushes its whole buffer in one; the smallest
/// packet takes two bytes of it, so without a limit 1 MB would be 500,000 packets in one turn.
pub const MAX_PAYLOAD_PACKETS: usize = 10_000;
/// Binary attachments of one Socket.IO packet, as in socket.io-parser.
pub const MAX_ATTACHMENTS: usize = 10;
/// An acknowledgement's id: what JavaScript's numbers count up to without gaps, 2^53 − 1.
pub const MAX_ACK_ID: u64 = (1 << 53) - 1;
/// Grants in one token: with 128 bytes each they stay well under a 16 KiB header.
pub const MAX_GRANTS: usize = 100;
/// A token, in bytes: what fits the usual 16 KiB limit on all headers together.
pub const MAX_TOKEN_LEN: usize = 8 * 1024;
/// An HS256 secret, at least: as long as the hash (RFC 7518 §3.2).
pub const MIN_JWT_SECRET_BYTES: usize = 32;
/// Keys in `JWT_PUBLIC_KEYS`.
pub const MAX_PUBLIC_KEYS: usize = 32;
/// Keys that a token without a `kid` is tried with, at a tenth of a millisecond or two each: whoever
/// sends nonsense costs no more than that. All of `JWT_PUBLIC_KEYS` are among them.
pub const MAX_CANDIDATE_KEYS: usize = MAX_PUBLIC_KEYS;
/// A JWK set, in bytes: each key is a few hundred, with its certificates a few thousand.
pub const MAX_JWKS_BYTES: usize = 256 * 1024;
/// Keys of a JWK set that are used, the first so many.
pub const MAX_JWKS_KEYS: usize = 100;
/// A JWK set this old is fetched anew when a token wants it.
pub const JWKS_MAX_AGE_MS: u64 = 10 * 60_000;
/// A JWK set is fetched anew for a `kid` that it has not at most so often, and so long after a try that
/// failed.
pub const JWKS_REFRESH_MS: u64 = 60_000;
/// Where there has never been one, it is tried again so long after a try that failed.
pub const JWKS_RETRY_MS: u64 = 5_000;
/// Whoever fetches the JWK set has it after the shell's 10 s, or never: another one tries then.
pub const JWKS_LOST_MS: u64 = 12_000;
/// Who needs what another one fetches looks after this whether it has come; doubled each time.
pub const JWKS_WAIT_MS: u64 = 25;
/// The longest such wait: ten thousand sockets may wait at once.
pub const JWKS_MAX_WAIT_MS: u64 = 1_000;
/// Tokens that the runtime checks for one object at once: one for each session.
pub const MAX_VERIFYING: usize = MAX_SESSIONS;
/// An RSA key's modulus, in bytes: 2048 bits (RFC 7518 §3.3) …
pub const MIN_RSA_MODULUS_BYTES: usize = 256;
/// … to 8192: what it costs to check a signature grows with its square.
pub const MAX_RSA_MODULUS_BYTES: usize = 1024;
/// Keys in `TWILIO_SIGNING_KEYS`: two while rotating, for each of a few settings.
pub const MAX_SIGNING_KEYS: usize = 32;
/// A chat message, in characters (CONTRACT `/chat`).
pub const MAX_CHAT_MESSAGE_CHARS: usize = 10_000;
/// An event that goes into the log, in bytes of its arguments: SQLite's rows hold 2 MB on Durable
/// Objects, and the other columns need some of it.
pub const MAX_LOGGED_BYTES: usize = 1_900_000;
/// Connections that one Room object holds. workerd's own limit is 32,768 hibernatable sockets;
/// the design's lobbies hold about 10,000.
pub const MAX_CONNECTIONS_PER_ROOM: usize = 20_000;
/// Connections of one user in one room: tabs and devices, with room to spare.
pub const MAX_CONNECTIONS_PER_USER: usize = 100;
/// Socket.IO sockets of one user in one object: as many tabs with the five namespaces each.
pub const MAX_SOCKETS_PER_USER: usize = 5 * MAX_CONNECTIONS_PER_USER;
/// Members of one room.
pub const MAX_MEMBERS: u64 = 10_000;
/// Conversations that a line's assignees have opened and must be put out of when they are assignees
/// no longer: a thousand for each of a hundred people.
pub const MAX_FOLLOWERS: u64 = 100_000;
/// A page of history, at most.
pub const MAX_HISTORY_LIMIT: u32 = 200;
/// A page of history when nobody said.
pub const DEFAULT_HISTORY_LIMIT: u32 = 50;
/// What `?since=` replays at most; a reader further behind is told `recovered: false` and pages
/// through the history instead. 10,000 × a few hundred bytes stays far under the isolate's 128 MB.
pub const MAX_REPLAY: u32 = 10_000;
/// workerd's limit on a statement's parameters.
pub const MAX_SQL_PARAMETERS: usize = 100;
/// How many publications pile up past `HISTORY_MAX_MESSAGES` before they are pruned in one go: a
/// row deleted is a row written, but a statement a message would be worse.
pub const PRUNE_SLACK: u64 = 100;
/// What is kept of publications that are gone, their keys above all, is looked for so often at the most: in a
/// busy room that is all keys of a day.
pub const SWEEP_EVERY_MS: u64 = 60 * 60_000;
/// How long a client's message id or an idempotency key is remembered at the least.
pub const DEDUPE_MIN_AGE_MS: u64 = 24 * 60 * 60 * 1000;
/// Twilio's webhook bodies (CONTRACT: one over 1 MB is a 413).
pub const MAX_WEBHOOK_BYTES: usize = 1_000_000;
/// Parameters of one webhook; Twilio sends about forty.
pub const MAX_WEBHOOK_PARAMETERS: usize = 1_000;
/// Media of one message (Twilio's own limit).
pub const MAX_MEDIA: usize = 10;
/// The text of a message that is sent, in characters (Twilio's own limit: error 21617).
pub const MAX_TEXT_CHARS: usize = 1_600;
/// The URL of a medium that is sent, in bytes: signed ones of object stores have about 2,000. Ten of
/// them stay far under [`MAX_LOGGED_BYTES`].
pub const MAX_MEDIA_URL_BYTES: usize = 8_192;
/// What Twilio says of an error that we have no sentence for is shown so far, in characters.
pub const MAX_ERROR_MESSAGE_CHARS: usize = 300;
/// Messages that Twilio is asked for at once when one's fate is not known.
pub const LISTED_MESSAGES: usize = 50;
/// A message counts as the one that was tried if Twilio made it so long before the try at the most:
/// clocks differ.
pub const FOUND_BEFORE_MS: u64 = 60_000;
/// And so long after it at the most: a try takes 10 s, and Twilio's API may queue it.
pub const FOUND_AFTER_MS: u64 = 10 * 60_000;
/// A picture or a file that is passed on from Twilio, in bytes. Twilio takes 5 MB of MMS; WhatsApp's
/// documents may be larger.
pub const MAX_MEDIA_BYTES: usize = 25_000_000;
/// How often Twilio may say that a medium is elsewhere: its API names its store, which may name another.
pub const MAX_MEDIA_REDIRECTS: usize = 3;
/// What is read of an answer of Twilio's REST API: a page of fifty messages has some 60 KB.
pub const MAX_TWILIO_ANSWER_BYTES: usize = 1_000_000;
/// Lines of one list, each of which is asked: Cloudflare allows 1,000 subrequests.
pub const MAX_LINES_LISTED: usize = 500;
/// In a room of so many people who comes and goes is told at most once in as many milliseconds as
/// there are people, and in [`PRESENCE_GATHER_MS`] at the most.
pub const PRESENCE_GATHER_FROM: u64 = 50;
/// The longest that is gathered who comes and goes.
pub const PRESENCE_GATHER_MS: u64 = 1_000;
/// A person who dropped counts as present for so long, so that a reconnect does not flash.
pub const PRESENCE_GRACE_MS: u64 = 5_000;
/// `typing` is over by itself after this.
pub const TYPING_MS: u64 = 3_000;
/// A timer up to this long may live in memory; anything longer is an alarm (DESIGN §3.7).
pub const MAX_TIMER_MS: u64 = 10_000;
/// Leeway on `exp` and `nbf`.
pub const TOKEN_LEEWAY_MS: u64 = 5_000;
/// The first retry of an outbox entry; doubled each time. Sooner where panics are tested, which wait for ten.
pub const OUTBOX_RETRY_MS: u64 = if cfg!(feature = "panics") { 20 } else { 1_000 };
/// The longest wait between two tries of an outbox entry.
pub const OUTBOX_MAX_RETRY_MS: u64 = 5 * 60_000;
/// How long the outbox is held back after two panics that no frame made, doubled with each more.
pub const HOLD_MS: u64 = 60_000;
/// The longest it is: an hour, for one panic in it.
pub const HOLD_MAX_MS: u64 = 3_600_000;
/// After so long without one, panics are not counted on.
pub const FALLS_FORGOTTEN_MS: u64 = 24 * 3_600_000;
/// After so many tries that came to nothing (some eight minutes) an outbox entry holds up no other: it goes
/// alone from then on.
pub const OUTBOX_TRIES_IN_ORDER: u64 = 10;
/// Outbox entries under way at once; workerd allows six connections, the rest would only queue.
pub const OUTBOX_IN_FLIGHT: usize = 6;
/// A webhook waits this long for its message to reach the agents' rooms before it answers; it is
/// committed already, the outbox goes on. Twilio's own time-out is 15 s.
pub const SETTLE_TIMEOUT_MS: u64 = 3_000;
/// The first retry of a request over a link; doubled each time.
pub const LINK_RETRY_MS: u64 = 100;
/// The longest wait between two tries over a link; a timer, so at most [`MAX_TIMER_MS`].
pub const LINK_MAX_RETRY_MS: u64 = 10_000;
/// A lobby that was told something with an answer says within this time that it has it, or is told the
/// newest offset once more. While it waits the room cannot sleep, which costs more than that request.
pub const LINK_CONFIRM_MS: u64 = 250;
/// An object has a WebSocket to another one while it asks it so often within [`PEER_WINDOW_MS`]: to be
/// awake for a second, which it then is, costs as much as ten requests.
pub const PEER_SOCKET_AFTER: u32 = 10;
/// How long is counted how often another object is asked.
pub const PEER_WINDOW_MS: u64 = 1_000;
/// Who has not answered by then is asked again later, or never.
pub const CALL_TIMEOUT_MS: u64 = 10_000;
/// Objects of which is remembered how often they were asked; past it those that are quiet are forgotten.
pub const MAX_PEERS: usize = 1_000;
/// A socket's join, or an event with an id, is tried over a link for so long before its sender is
/// told that it failed.
pub const LINK_GIVE_UP_MS: u64 = 15_000;
/// Notices that wait for a link; past it the lobby is told the newest offset and pulls.
pub const MAX_LINK_NOTICES: usize = 10_000;
/// What a lobby may have waiting for one room, in ops; past it events are refused.
pub const MAX_LINK_OPS: usize = 10_000;
/// Engine.IO sessions that one object holds (its sockets: [`MAX_CONNECTIONS_PER_ROOM`]).
pub const MAX_SESSIONS: usize = 20_000;
/// What may wait for a polling client's next GET, in bytes; a reader that does not read is closed,
/// and recovers.
pub const MAX_POLL_BACKLOG_BYTES: usize = 4_000_000;
/// Rooms that one Socket.IO socket is in: its stored row is written anew with each join.
pub const MAX_ROOMS_PER_SOCKET: usize = 256;
/// Events of one socket that wait for its join to be answered.
pub const MAX_HELD_EVENTS: usize = 1_000;
/// Namespaces that one session is connected to.
pub const MAX_NAMESPACES: usize = 16;
/// The attachments of a binary packet must follow it within this.
pub const ATTACHMENTS_TIMEOUT_MS: u64 = 10_000;
/// A heartbeat interval from this on is the object's alarm; shorter ones are timers of each session.
pub const MIN_ALARM_INTERVAL_MS: u64 = 10_000;
/// An object that sleeps through its heartbeats wakes to itself at least so often: what it noted of itself
/// is not trusted for longer.
pub const MAX_ASLEEP_MS: u64 = 10 * 60_000;
/// A closed polling session is remembered for so long, to answer the GET that was on its way.
pub const CLOSED_SESSION_MS: u64 = 5_000;
/// One row of the journal holds at most so many bytes.
pub const MAX_JOURNAL_ROW_BYTES: usize = 1_500_000;
/// A session that went to another object is pointed at from its first one for so long.
pub const MOVED_SESSION_MS: u64 = 24 * 60 * 60 * 1000;
/// Socket.IO sockets that were lost or went elsewhere and are kept by one object; past it one that is lost is
/// over. Twice those that it holds: at some 500 bytes each they are 20 MB of the isolate's 128.
pub const MAX_LOST_SOCKETS: usize = 2 * MAX_SESSIONS;
/// What is lost is kept at least so long, recoverable or not: its rooms are told again that it left.
pub const LOST_SOCKET_MS: u64 = 30_000;
/// Publications of a room that are remembered while a join to it is not answered; one that is answered
/// later still comes back by recovery.
pub const MAX_RECENT_PUBLICATIONS: usize = 1_000;
/// How much longer a room waits for the answers of a link than the link's sockets have to give them.
pub const QUESTION_SLACK_MS: u64 = 1_000;
/// After so many bytes to a WebSocket the runtime is asked how many of them it still holds.
pub const MEASURE_EVERY_BYTES: usize = 1_000_000;
/// A WebSocket for which the runtime holds more does not read …
pub const MAX_UNREAD_BYTES: usize = 4_000_000;
/// … if that is so still after this long: it is closed, and recovers. What it missed with `?since=` may
/// be more at once.
pub const READ_TIMEOUT_MS: u64 = 5_000;
/// Items of one `POST /api/emit`.
pub const MAX_EMIT_ITEMS: usize = 100;
/// Rooms of one item.
pub const MAX_EMIT_ROOMS: usize = 100;
/// Rooms of one request in all, each of which is asked: Cloudflare allows 1,000 subrequests.
pub const MAX_EMIT_TARGETS: usize = 500;
/// Users that one item leaves out.
pub const MAX_EMIT_EXCEPT: usize = 100;
/// A notification's id, in bytes.
pub const MAX_NOTIFICATION_ID_LEN: usize = 128;
/// Notifications that a user's room keeps. Past it the oldest goes, those first that were read.
pub const MAX_NOTIFICATIONS: u64 = 1_000;
/// Members of a chat who are told of one message that they were not there for, each in a room of their
/// own; where more are away, the first so many are.
pub const MAX_AWAY_NOTIFIED: usize = 1_000;
/// What a notification of a chat message shows of it, in characters.
pub const MAX_PREVIEW_CHARS: usize = 200;
/// A POST to `EVENT_WEBHOOK_URL` is tried for so long.
pub const EVENT_WEBHOOK_GIVE_UP_MS: u64 = 24 * 60 * 60 * 1000;
/// Conversations that a line lists. Past it the one without news for the longest goes from the list,
/// with its next message it is back; its history stays.
pub const MAX_CONVERSATIONS: u64 = 100_000;
/// Lines in one list of lines.
pub const MAX_LINES: u64 = 10_000;
/// Messages that wait at one line to be sent: at one a second, more than an hour. Past it a message is
/// `failed`, and says so.
pub const MAX_QUEUED_SENDS: usize = 5_000;
/// A message may be tried for so long, as long as Twilio itself keeps one in its queue.
pub const SEND_GIVE_UP_MS: u64 = 4 * 60 * 60 * 1000;
/// The first wait after Twilio said "too many"; doubled each time.
pub const SEND_RETRY_MS: u64 = 1_000;
/// The longest such wait.
pub const SEND_MAX_RETRY_MS: u64 = 5 * 60_000;
/// The longest that a line waits after a try of which nothing is known before it tries the next message.
pub const SEND_MAX_PAUSE_MS: u64 = 60_000;
/// An answer of Twilio's is awaited for 10 s by the shell; an object that hears nothing at all for so
/// long looks again.
pub const SEND_LOST_MS: u64 = 12_000;
/// Without credentials nothing can be sent; they are looked for again so often.
pub const SEND_UNCONFIGURED_MS: u64 = 60_000;
/// When Twilio is asked about a message that it may or may not have taken: so long after it became
/// unknown, or after the question before.
pub const ASK_AFTER_MS: [u64; 7] = [
    2_000, 10_000, 60_000, 300_000, 1_800_000, 7_200_000, 43_200_000,
];
/// A client that says `message_sent` without an id means a message that it sent over HTTP within this.
pub const ANNOUNCE_MS: u64 = 60_000;
/// An isolate writes a data point for Analytics Engine so often at most: each one is billed.
pub const ANALYTICS_INTERVAL_MS: u64 = 10_000;
/// A page of a backup ends with the first ten rows that make it larger than this, in bytes: with ten of 1 MB,
/// which JSON's escapes double, it stays well under the isolate's 128 MB.
pub const MAX_BACKUP_PAGE_BYTES: usize = 1_000_000;
/// The body of a page that is restored: 1 MB, and one row, of 2 MB, which JSON's escapes double.
pub const MAX_RESTORE_BYTES: usize = 8_000_000;
/// An object whose state is a later version's looks again so long after its alarm: it may have been served
/// by that version meanwhile.
pub const SCHEMA_NEWER_RETRY_MS: u64 = 60_000;
/// Sockets that an admin is shown at once, of one object and of all: more than a page can list. Past it
/// the first are, and the admin is told how many there are.
pub const MAX_SHOWN_SOCKETS: usize = 5_000;
/// A list of sockets in one frame, in bytes, and no longer than `MAX_PAYLOAD_BYTES`; the rest follow one by one.
pub const MAX_SHOWN_BYTES: usize = 250_000;
/// Lobbies that an admin watches, each of which is asked: Cloudflare allows 1,000 subrequests.
pub const MAX_WATCHED_LOBBIES: u32 = 500;
/// Objects from which one object is watched. Past it no other may.
pub const MAX_WATCHERS: usize = 100;
/// Changes that wait to be told to one of them, or to an admin until all lobbies have said what they hold.
/// Past it they are forgotten, and everything is asked for anew.
pub const MAX_CHANGES: usize = 10_000;
/// So many times an object tries to tell what it could not, before it waits for its next change to do so.
pub const NEWS_ATTEMPTS: u32 = 6;
