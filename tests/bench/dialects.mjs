// How a client speaks to a server: the two wire formats, as little of them as the scenarios need. Frames are told apart by
// a byte or two, so that the load costs little beside the servers.

/** The text of an event makes it 100 characters, as it stands in a plain WebSocket's frame. */
const TEXT = "x".repeat(53);
/** Events are numbered from here on; all numbers are as long. */
export const FIRST = 1_000_000;

const NEWLINE = 10;
const [A, C, E, N, P, R, T, U] = Buffer.from("acenprtu");
const [ZERO, TWO, THREE, FOUR, SIX] = Buffer.from("02346");
const PLAIN_NUMBER = '{"event":"note","data":{"n":'.length;
const PLAIN_NAME = '{"event":"'.length;
const SOCKET_IO_NUMBER = '42["note",{"n":'.length;
const SOCKET_IO_NAME = '42["'.length;

function numberAt(data, at) {
  let number = 0;
  for (let digit; (digit = data[at] - ZERO) >= 0 && digit <= 9; at++) number = number * 10 + digit;
  return number;
}

/**
 * JSON over a bare WebSocket. `hear` tells the client what a frame says: `ready()`, `event(number)`, `ack(id)`, `refused(text)`.
 * `greets`: the server says `connected`, else a client is in as soon as it is open.
 */
export const plain = ({ greets }) => ({
  opened(client) {
    if (!greets) client.ready();
  },
  hear(client, data) {
    for (let at = 0; at < data.length; ) {
      let end = data.indexOf(NEWLINE, at);
      if (end < 0) end = data.length;
      plainLine(client, data, at, end);
      at = end + 1;
    }
  },
  publish: (room, number, id) => `{"event":"note","data":{"n":${number},"text":"${TEXT}"},"id":"${id}"}`,
  echo: (room, id) => `{"event":"typing","data":{"isTyping":${id % 2 === 0}},"id":"${id}"}`,
});

function plainLine(client, data, at, end) {
  if (data[at + 2] === A) {
    const { ack, error, duplicate } = JSON.parse(data.toString("latin1", at, end));
    if (error || duplicate) client.refused(data.toString("utf8", at, end));
    else client.ack(Number(ack));
  } else if (data[at + 2] !== E || data[at + 3] === R) client.refused(data.toString("utf8", at, end));
  else if (data[at + PLAIN_NAME] === N) client.event(numberAt(data, at + PLAIN_NUMBER));
  else if (data[at + PLAIN_NAME] === C) client.ready();
  else if (![P, T, U].includes(data[at + PLAIN_NAME])) client.refused(data.toString("utf8", at, end));
}

/** Engine.IO and Socket.IO over WebSocket. `recovers`: the server must offer connection state recovery. */
export const socketIo = ({ recovers }) => ({
  opened() {},
  hear(client, data) {
    if (data[0] === TWO && data.length === 1) return client.send("3");
    if (data[0] === ZERO) return client.send(`40${client.token ? JSON.stringify({ token: client.token }) : ""}`);
    if (data[0] === SIX) return;
    if (data[0] === FOUR && data[1] === TWO) {
      const name = data[SOCKET_IO_NAME];
      if (name === N) return client.event(numberAt(data, SOCKET_IO_NUMBER));
      // connected, presence_…, user_typing
      if (name === C || name === P || name === U) return;
    } else if (data[0] === FOUR && data[1] === THREE) {
      if (!data.includes('{"ok":true') || data.includes('"duplicate":true')) return client.refused(data.toString());
      const id = numberAt(data, 2);
      return id === 0 ? client.ready() : client.ack(id);
    } else if (data[0] === FOUR && data[1] === ZERO) {
      if (recovers !== data.includes('"pid":')) return client.refused(`connection state recovery is not as it should be: ${data}`);
      return client.send(`420["join","${client.room}"]`);
    }
    client.refused(data.toString());
  },
  publish: (room, number, id) => `42${id}["send",{"room":"${room}","event":"note","data":{"n":${number},"text":"${TEXT}"},"id":"${id}"}]`,
  echo: (room, id) => `42${id}["typing",{"room":"${room}","isTyping":${id % 2 === 0}}]`,
});
