// What someone who knows workerd well writes by hand: what arrives in one turn of the event loop is one transaction and
// goes out socket by socket, each socket's frames back to back.
//
// Guarantees: it hibernates; a log, order, ack after the commit. No dedupe, no recovery, no tokens, no limits.

/** How often an object was made: it proves that one has slept. */
let made = 0;

export class Room {
  constructor(ctx) {
    made++;
    this.ctx = ctx;
    this.turn = [];
    ctx.storage.sql.exec("CREATE TABLE IF NOT EXISTS log (offset INTEGER PRIMARY KEY, event TEXT, args TEXT, at INTEGER)");
    this.offset = ctx.storage.sql.exec("SELECT COALESCE(MAX(offset), 0) AS head FROM log").one().head;
  }

  fetch() {
    const [client, server] = Object.values(new WebSocketPair());
    this.ctx.acceptWebSocket(server);
    return new Response(null, { status: 101, webSocket: client });
  }

  webSocketMessage(sender, text) {
    if (this.turn.length === 0) setTimeout(() => this.flush(), 0);
    this.turn.push({ sender, ...JSON.parse(text) });
  }

  flush() {
    const turn = this.turn;
    this.turn = [];
    const now = Date.now();
    const at = new Date(now).toISOString();
    this.ctx.storage.transactionSync(() => {
      for (const item of turn) {
        item.offset = ++this.offset;
        this.ctx.storage.sql.exec("INSERT INTO log VALUES (?, ?, ?, ?)", item.offset, item.event, JSON.stringify(item.data), now);
        item.frame = JSON.stringify({ event: item.event, data: item.data, offset: item.offset, at });
      }
    });
    for (const socket of this.ctx.getWebSockets()) {
      for (const { sender, frame } of turn) if (socket !== sender) socket.send(frame);
    }
    for (const { sender, id, offset } of turn) sender.send(JSON.stringify({ ack: id, offset, duplicate: false }));
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
