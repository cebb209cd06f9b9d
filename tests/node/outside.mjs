// A Node server with the official Redis adapter, and the official emitter, which take a box's bus for their Redis.

import { once } from "node:events";
import http from "node:http";
import { createAdapter } from "@socket.io/redis-adapter";
import { Emitter } from "@socket.io/redis-emitter";
import Redis from "ioredis";
import { createClient } from "redis";
import { Server } from "socket.io";
import { io as connect } from "socket.io-client";
import { run, until } from "./steps.mjs";

const [, , host, port, password] = process.argv;
const connection = { host, port: Number(port), password };
const publisher = new Redis(connection);
const subscriber = publisher.duplicate();
const emitting = createClient({ socket: { host, port: Number(port) }, password });
for (const redis of [publisher, subscriber, emitting]) redis.on("error", (error) => console.error(error));
await emitting.connect();
await Promise.all([publisher, subscriber].map((redis) => once(redis, "ready")));

const server = http.createServer();
const node = new Server(server, { adapter: createAdapter(publisher, subscriber) });
node.on("connection", (socket) => socket.join("room 0"));
await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
const client = connect(`http://127.0.0.1:${server.address().port}`, { transports: ["websocket"], forceNew: true });
const heard = [];
client.on("message", (message) => heard.push(message));
client.on("hello", (...parts) => heard.push(parts));
await until("the Node client connects", () => client.connected);

await run({
  async count({ expected }) {
    let servers;
    const look = async () => (servers = await node.of("/").adapter.serverCount());
    const timer = setInterval(look, 20);
    await until(`${expected} servers`, () => servers === expected).finally(() => clearInterval(timer));
    return servers;
  },
  async emit({ event, room, parts }) {
    node.to(room).emit(event, ...parts);
  },
  async emitter({ event, room, parts }) {
    new Emitter(emitting).to(room).emit(event, ...parts);
  },
  async fetch({ room }) {
    return (await node.in(room).fetchSockets()).map(({ id, rooms }) => ({ id, rooms: [...rooms] }));
  },
  async join({ from, to }) {
    node.in(from).socketsJoin(to);
  },
  async acknowledge({ event, room, parts }) {
    return node.to(room).timeout(5000).emitWithAck(event, ...parts);
  },
  async heard({ count }) {
    await until(`${count} messages at the Node client`, () => heard.length >= count);
    return heard;
  },
});
