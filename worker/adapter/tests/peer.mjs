// A Node process that a test drives: reads lines {id, code}, runs each as the body of an async function, and answers
// {id, result} or {id, error}. Nothing catches what the adapter throws by itself: a peer that would die, dies.

import { createRequire } from "node:module";
import { createServer } from "node:http";
import { createInterface } from "node:readline";

const require = createRequire(process.argv[2]);
const { Server } = require("socket.io");
const { createAdapter } = require("@socket.io/redis-adapter");
const { Emitter } = require("@socket.io/redis-emitter");
const { Manager } = require("socket.io-client");
const { Redis } = require("ioredis");

// Waits until check() returns something true, and returns it.
async function until(check, ms = 10_000) {
  const deadline = Date.now() + ms;
  for (;;) {
    const value = await check();
    if (value) return value;
    if (Date.now() > deadline) throw new Error(`not within ${ms} ms: ${check}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

function redis(url) {
  const client = new Redis(url, { retryStrategy: (times) => Math.min(times * 20, 200), maxRetriesPerRequest: null });
  client.on("error", () => {});
  return client;
}

// A Socket.IO server with the classic adapter; resolves when its subscriptions to the given namespaces are confirmed.
async function server(url, { namespaces = ["/"], ...options } = {}) {
  const [pub, sub] = [redis(url), redis(url)];
  const http = createServer();
  const io = new Server(http, { adapter: createAdapter(pub, sub, options) });
  for (const name of namespaces) {
    io.of(name).on("connection", (socket) => {
      socket.on("join", (room, done) => { socket.join(room); done(); });
      socket.on("data", (data, done) => { socket.data = data; done(); });
    });
  }
  await new Promise((resolve) => http.listen(0, "127.0.0.1", resolve));
  const key = options.key ?? "socket.io";
  await until(async () => {
    const counts = await Promise.all(namespaces.map((name) => pub.pubsub("NUMSUB", `${key}-request#${name}#`)));
    return counts.every(([, count]) => count > 0);
  });
  return { io, pub, sub, url: `http://127.0.0.1:${http.address().port}` };
}

// A client that keeps what it gets: [event, ...args] each.
async function connect(url, { namespace = "/", ...options } = {}) {
  const socket = new Manager(url, { transports: ["websocket"], ...options }).socket(namespace, options);
  socket.got = [];
  socket.onAny((...event) => socket.got.push(event));
  socket.on("disconnect", (reason) => { socket.left = reason; });
  await new Promise((resolve, reject) => { socket.on("connect", resolve); socket.on("connect_error", reject); socket.connect(); });
  return socket;
}

// What a client got before the event `fence`, and forgets it all.
async function before(socket, fence = "fence") {
  await until(() => socket.got.some(([event]) => event === fence));
  const got = socket.got.splice(0);
  return got.slice(0, got.findIndex(([event]) => event === fence));
}

const scope = { require, Server, createAdapter, Emitter, Manager, Redis, until, redis, server, connect, before, my: {} };
const AsyncFunction = (async () => {}).constructor;
const names = Object.keys(scope);

// JSON has no bytes: they travel as {"$hex": …}.
const replacer = (_, value) => {
  if (value && value.type === "Buffer" && Array.isArray(value.data)) return { $hex: Buffer.from(value.data).toString("hex") };
  if (value instanceof Uint8Array || value instanceof ArrayBuffer) return { $hex: Buffer.from(value).toString("hex") };
  return value;
};

for await (const line of createInterface({ input: process.stdin })) {
  const { id, code } = JSON.parse(line);
  new AsyncFunction(...names, code)(...names.map((name) => scope[name])).then(
    (result) => console.log(JSON.stringify({ id, result: result ?? null }, replacer)),
    (error) => console.log(JSON.stringify({ id, error: String(error?.stack ?? error) })),
  );
}
process.exit(0);
