// The floor: a Durable Object in plain JavaScript with the hibernation API, one send for each socket and event.
//
// Guarantees: it hibernates. LOG=0: nothing else; an event is acknowledged at once and kept nowhere. LOG=1: each event is
// inserted before anyone hears of it, and workerd's output gate holds the frames and the ack until it is on disk: a log,
// order, ack after the commit. No dedupe, no recovery, no tokens, no limits.

/** How often an object was made: it proves that one has slept. */
let made = 0;

export class Room {
  constructor(ctx, env) {
    made++;
    this.ctx = ctx;
    this.log = env.LOG === "1";
    this.offset = 0;
    if (!this.log) return;
    ctx.storage.sql.exec("CREATE TABLE IF NOT EXISTS log (offset INTEGER PRIMARY KEY, event TEXT, args TEXT, at INTEGER)");
    // It hibernates while the others have their rounds.
    this.offset = ctx.storage.sql.exec("SELECT COALESCE(MAX(offset), 0) AS head FROM log").one().head;
  }

  fetch() {
    const [client, server] = Object.values(new WebSocketPair());
    this.ctx.acceptWebSocket(server);
    return new Response(null, { status: 101, webSocket: client });
  }

  webSocketMessage(sender, text) {
    const { event, data, id } = JSON.parse(text);
    const offset = ++this.offset;
    const at = new Date().toISOString();
    if (this.log) this.ctx.storage.sql.exec("INSERT INTO log VALUES (?, ?, ?, ?)", offset, event, JSON.stringify(data), Date.now());
    const frame = JSON.stringify({ event, data, offset, at });
    for (const socket of this.ctx.getWebSockets()) if (socket !== sender) socket.send(frame);
    sender.send(JSON.stringify({ ack: id, offset, duplicate: false }));
  }

  webSocketClose(socket) {
    socket.close();
  }
}

export default {
  fetch(request, env) {
    if (!request.headers.has("upgrade")) return new Response(String(made));
    return env.ROOMS.get(env.ROOMS.idFromName(new URL(request.url).pathname)).fetch(request);
  },
};
