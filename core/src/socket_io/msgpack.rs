//! The format of `socket.io-msgpack-parser`.
