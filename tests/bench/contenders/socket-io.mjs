// Node's socket.io with the events that the scenarios send. `node socket-io.mjs RECOVERY`; prints its port.
//
// Guarantees: order on one connection. RECOVERY=1: connection state recovery, from this process's memory. No log, no dedupe,
// an ack says that the server has it in memory; no tokens, no limits.

import { createServer } from "node:http";
import { Server } from "socket.io";

const recovery = process.argv[2];
const http = createServer((_, response) => response.end("ok"));
new Server(http, recovery === "1" ? { connectionStateRecovery: { maxDisconnectionDuration: 120_000 } } : {}).on("connection", (socket) => {
  socket.on("join", (room, ack) => {
    socket.join(room);
    ack({ ok: true });
  });
  socket.on("send", ({ room, event, data }, ack) => {
    socket.to(room).emit(event, data);
    ack({ ok: true });
  });
  socket.on("typing", ({ room, isTyping }, ack) => {
    socket.to(room).emit("user_typing", { room, isTyping });
    ack({ ok: true });
  });
});
http.listen(0, "127.0.0.1", () => console.log(http.address().port));
