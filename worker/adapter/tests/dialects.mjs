// Node's own two msgpack libraries, for the test in src/wire/interop.rs. Reads lines of hex and writes what each library
// makes of them as JSON; then, for as many rounds as the second argument says, writes a random value as JSON and as
// each library encodes it.

import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const require = createRequire(process.argv[2]);
const notepack = require("notepack.io");
const msgpack = require("@msgpack/msgpack");

const bytes = (_, value) => {
  if (value instanceof Uint8Array) return { type: "Buffer", data: [...value] };
  return value;
};

let seed = 42;
const random = (n) => {
  seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
  return seed % n;
};
const text = () => {
  const parts = ["", "a", "é", "😀", "\u0000", "\"\\\n", "x".repeat(40), "y".repeat(300)];
  return [...Array(random(4))].map(() => parts[random(parts.length)]).join("");
};
const members = () => (random(20) === 0 ? 17 : random(4));
const number = () =>
  [random(128), -random(33), random(256), -random(129), random(65536), random(2 ** 32), -random(2 ** 31), 2 ** 53 - 1, 1 - 2 ** 53, random(1000) / 7, -1e-9, 2 ** 40][random(12)];
const value = (depth) => {
  const kind = random(depth > 0 ? 9 : 6);
  if (kind < 1) return null;
  if (kind < 2) return random(2) === 0;
  if (kind < 4) return number();
  if (kind < 5) return text();
  if (kind < 6) return random(2) ? Buffer.from(text()) : new Date(random(2 ** 32) * 1000 + random(1000));
  if (kind < 7) return [...Array(members())].map(() => value(depth - 1));
  return Object.fromEntries([...Array(members())].map((_, at) => [text() + at, value(depth - 1)]));
};

for await (const line of createInterface({ input: process.stdin })) {
  const message = Buffer.from(line, "hex");
  console.log(JSON.stringify([notepack.decode(message), msgpack.decode(message)], bytes));
}
for (let round = 0; round < Number(process.argv[3]); round++) {
  const one = value(4);
  const hex = (encoded) => Buffer.from(encoded).toString("hex");
  console.log(JSON.stringify({ value: one, notepack: hex(notepack.encode(one)), msgpack: hex(msgpack.encode(one)) }));
}
