// README, "Types".

import { io, type Socket } from "socket.io-client";
import type { Chat, ConnectErrorData } from "./dialtone";

const socket: Socket<Chat.ServerToClientEvents, Chat.ClientToServerEvents> = io(`${DIALTONE_URL}/chat`, { auth: { token } });
socket.on("new_message", ({ sender_id, message }) => show(sender_id, message));
socket.on("connect_error", ({ data }) => failed((data as ConnectErrorData | undefined)?.code));
socket.emit("send_message", { chatId: "42", message: "hi", clientMessageId: "m-1" }, (ack) => {
  if (ack.ok) sent(ack.id);
  else failed(ack.error.code);
});

declare function show(sender: string | number, message: string): void;
declare function sent(id: string): void;
declare function failed(code: string | undefined): void;
