// A picture to send as if a phone had taken it: a PNG, made here so that the repository needs none.

import { deflateSync } from "node:zlib";

const [WIDTH, HEIGHT] = [480, 320];
const RGB = 2;

/** A sunset of sorts, another one each time. */
export function picture() {
  const sun = { x: WIDTH * (0.2 + 0.6 * Math.random()), y: HEIGHT * (0.3 + 0.3 * Math.random()), radius: HEIGHT / 8 };
  return png(WIDTH, HEIGHT, (x, y) => colour(x, y, sun));
}

/** A PNG: `colour(x, y)` gives red, green and blue. */
export function png(width, height, colour = (x, y) => [(255 * x) / width, (255 * y) / height, 128]) {
  const rows = Array.from({ length: height }, (_, y) => {
    const row = Buffer.alloc(1 + 3 * width); // the first byte: no filter
    for (let x = 0; x < width; x++) row.set(colour(x, y).map(Math.round), 1 + 3 * x);
    return row;
  });
  const size = Buffer.alloc(8);
  size.writeUInt32BE(width, 0);
  size.writeUInt32BE(height, 4);
  return Buffer.concat([
    Buffer.from("\x89PNG\r\n\x1a\n", "latin1"),
    chunk("IHDR", Buffer.concat([size, Buffer.from([8, RGB, 0, 0, 0])])),
    chunk("IDAT", deflateSync(Buffer.concat(rows))),
    chunk("IEND", Buffer.alloc(0)),
  ]);
}

function colour(x, y, sun) {
  if (Math.hypot(x - sun.x, y - sun.y) < sun.radius) return [255, 236, 179];
  if (y > HEIGHT * 0.72) return [24, 48 + (y % 7), 74 + (y % 11)];
  const far = y / HEIGHT;
  return [90 + 160 * far, 70 + 70 * far, 140 - 50 * far];
}

/** https://www.w3.org/TR/png-3/#5Chunk-layout */
function chunk(type, data) {
  const typed = Buffer.concat([Buffer.from(type, "latin1"), data]);
  const [length, crc] = [Buffer.alloc(4), Buffer.alloc(4)];
  length.writeUInt32BE(data.length);
  crc.writeUInt32BE(crc32(typed));
  return Buffer.concat([length, typed, crc]);
}

function crc32(bytes) {
  let crc = ~0;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (0xedb88320 & -(crc & 1));
  }
  return ~crc >>> 0;
}
