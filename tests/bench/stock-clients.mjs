// Stock socket.io-clients in a process of their own. It is told `{url, tokens}`, connects one client for each, says "connected",
// and, asked to "count", how many still are.

import { io } from "socket.io-client";

const CONNECTING_AT_ONCE = 50;
const sockets = [];

async function connect({ url, tokens }) {
  for (let from = 0; from < tokens.length; from += CONNECTING_AT_ONCE) {
    const batch = tokens.slice(from, from + CONNECTING_AT_ONCE).map(async (token) => {
      const socket = io(url, { transports: ["websocket"], forceNew: true, reconnection: false, auth: token ? { token } : {} });
      sockets.push(socket);
      await new Promise((resolve, reject) => socket.once("connect", resolve).once("connect_error", reject));
    });
    await Promise.all(batch);
  }
  process.send("connected");
}

process.on("message", (message) => {
  if (message === "count") process.send(sockets.filter(({ connected }) => connected).length);
  else connect(message).catch((error) => (process.send(error.message), process.exit(1)));
});
process.on("disconnect", () => process.exit());
