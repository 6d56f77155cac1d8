// The least that keeps stock Socket.IO clients connected to an object that sleeps: Engine.IO's handshake, CONNECT, and one alarm
// a ping interval that pings everyone and closes who has not answered the last ping. The runtime answers the pongs.
//
// Guarantees: it hibernates. No events, no tokens, nothing else.

/** Engine.IO's defaults, and ours. */
const PING_INTERVAL_MS = 25_000;
const PING_TIMEOUT_MS = 20_000;

let made = 0;

export class Room {
  constructor(ctx) {
    made++;
    this.ctx = ctx;
    ctx.setWebSocketAutoResponse(new WebSocketRequestResponsePair("3", "6"));
  }

  async fetch() {
    const [client, server] = Object.values(new WebSocketPair());
    this.ctx.acceptWebSocket(server);
    const sid = crypto.randomUUID();
    server.serializeAttachment({ sid, at: Date.now() });
    server.send("0" + JSON.stringify({ sid, upgrades: [], pingInterval: PING_INTERVAL_MS, pingTimeout: PING_TIMEOUT_MS, maxPayload: 1_000_000 }));
    if ((await this.ctx.storage.getAlarm()) === null) await this.ctx.storage.setAlarm(Date.now() + PING_INTERVAL_MS);
    return new Response(null, { status: 101, webSocket: client });
  }

  webSocketMessage(socket, text) {
    if (text.startsWith("40")) socket.send("40" + JSON.stringify({ sid: socket.deserializeAttachment().sid }));
  }

  async alarm() {
    const now = Date.now();
    const sockets = this.ctx.getWebSockets();
    for (const socket of sockets) {
      const heard = this.ctx.getWebSocketAutoResponseTimestamp(socket)?.getTime() ?? socket.deserializeAttachment().at;
      if (now - heard > PING_INTERVAL_MS + PING_TIMEOUT_MS) socket.close();
      else socket.send("2");
    }
    if (sockets.length > 0) await this.ctx.storage.setAlarm(now + PING_INTERVAL_MS);
  }

  webSocketClose(socket) {
    socket.close();
  }
}

export default {
  fetch(request, env) {
    if (!request.headers.has("upgrade")) return new Response(String(made));
    return env.ROOMS.get(env.ROOMS.idFromName("lobby")).fetch(request);
  },
};
