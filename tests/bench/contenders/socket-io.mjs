// Node's socket.io with the three events that the benchmarks send; no log, no tokens. `node socket-io.mjs PORT`

import { createServer } from "node:http";
import { Server } from "socket.io";

const http = createServer();
new Server(http).on("connection", (socket) => {
  socket.on("join", (room, ack) => {
    socket.join(room);
    ack({ ok: true });
  });
  socket.on("send", ({ room, event, data }, ack) => {
    socket.to(room).emit(event, data);
    ack({ ok: true });
  });
  socket.on("test", (...args) => {
    const ack = args.pop();
    socket.emit("test", ...args);
    ack({ ok: true });
  });
});
http.listen(Number(process.argv[2]), "127.0.0.1", () => console.log("listening"));
