// The same server in Node with socket.io, one process.

import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { createInterface } from "node:readline";

const require = createRequire(process.env.PACKAGES);
const { Server } = require("socket.io");

const http = createServer();
const io = new Server(http, { maxHttpBufferSize: 1e7 });
io.on("connection", (socket) => socket.join("room"));
http.listen(0, "127.0.0.1", () => console.log(`127.0.0.1:${http.address().port}`));

const cpu = () => Object.values(process.cpuUsage()).reduce((a, b) => a + b);
const memory = () => /RssAnon:\s+(\d+)/.exec(readFileSync("/proc/self/status", "utf8"))[1];
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

for await (const line of createInterface({ input: process.stdin })) {
  const [, rate, seconds, bytes] = line.split(" ").map(Number);
  const before = line.startsWith("run") ? cpu() : 0;
  if (line.startsWith("run")) {
    const padding = "x".repeat(bytes);
    const begun = performance.now();
    for (let n = 0; n < rate * seconds; n++) {
      const wait = (n * 1000) / rate - (performance.now() - begun);
      await (wait > 0 ? sleep(wait) : new Promise(setImmediate));
      // A number beyond 2^53 needs its digits as they are.
      const now = Number((performance.timeOrigin + performance.now()).toFixed(3)) * 1e6;
      io.to("room").emit("m", Math.round(now), padding);
    }
    await sleep(500);
  }
  console.log(`${Math.round(cpu() - before)} ${memory()} node`);
}
process.exit(0);
