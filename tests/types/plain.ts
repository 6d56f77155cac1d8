// README, "Connect with a bare WebSocket".

import type { Chat, PlainClientFrame, PlainServerFrame } from "./dialtone";

export function chat() {
  const socket = new WebSocket(`${DIALTONE_URL.replace("http", "ws")}/rooms/chat:42`, ["dialtone.v1", `bearer.${token}`]);
  const send = (frame: PlainClientFrame) => socket.send(JSON.stringify(frame));
  socket.onmessage = ({ data }) => {
    const frame: PlainServerFrame<Chat.PlainEvents> = JSON.parse(data);
    if (!("event" in frame)) return frame.error ? console.log(frame.error.code, frame.ack) : console.log(frame.offset, frame.duplicate);
    switch (frame.event) {
      case "connected":
        return console.log(frame.data.epoch, frame.data.offset, frame.data.recovered);
      case "presence_diff":
        return console.log(frame.data.joins.map(({ userId, name }) => name ?? userId));
      case "new_message":
        return console.log(frame.offset, frame.at, frame.data.sender_id, frame.data.message);
      case "user_typing":
        return console.log(frame.data.isTyping);
    }
  };
  send({ event: "send_message", data: { message: "hi" } satisfies Omit<Chat.SendMessage, "chatId">, id: "c-1" });
  send({ event: "typing", data: { isTyping: true } });
}

/** A room of a kind of your own: its events are yours. */
export function own(frame: PlainServerFrame<{ drawn: { from: number[]; to: number[] } }>, any: PlainServerFrame) {
  if ("event" in frame && frame.event === "drawn") console.log(frame.data.from, frame.data.to, frame.sender ?? "a backend");
  if ("event" in any) console.log(any.event, any.data, any.args);
}
