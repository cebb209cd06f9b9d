// The official clients against the engine. Usage: node clients.mjs SCENARIO URL

import assert from "node:assert/strict";
import { once } from "node:events";
import { createRequire } from "node:module";

const require = createRequire(process.env.PACKAGES);
const { io } = require("socket.io-client");
const { Socket: EngineSocket } = require("engine.io-client");
const { WebSocket } = require("ws");

const [scenario, url] = process.argv.slice(2);
setTimeout(() => fail("the script took too long"), 40_000).unref();

const TRANSPORTS = [["polling"], ["websocket"], ["polling", "websocket"]];
const MEGABYTE = 1_000_000;

function fail(reason) {
  console.error(reason);
  process.exit(1);
}

const say = (line) => console.log(line);

const connect = async (transports, options = {}) => {
  const socket = io(url, { transports, forceNew: true, reconnectionDelay: 20, reconnectionDelayMax: 50, ...options });
  await event(socket, "connect");
  // socketioxide runs the connect handler in a task of its own: on several threads an event may come before its handler.
  while (!(await socket.timeout(500).emitWithAck("ask", blob("ready")).catch(() => null)));
  return socket;
};

// socket.io-client's emitters are not Node's.
const event = (emitter, name) => new Promise((resolve) => emitter.once(name, (...args) => resolve(args)));

const bytes = (length, seed) => Buffer.from(Array.from({ length }, (_, i) => (i * 31 + seed) & 0xff));

const blob = (name, ...parts) => ({ name, parts });

const scenarios = {
  // Text, binary and large messages, acknowledgements, order; over each way to connect.
  async messages() {
    for (const transports of TRANSPORTS) {
      const socket = await connect(transports);
      const texts = ["", "hello", "€ and 𝕊 and \u001e", { nested: [1, null, { a: "b" }] }, "x".repeat(MEGABYTE)];
      for (const text of texts) {
        socket.emit("text", text);
        assert.deepEqual(await event(socket, "text"), [text]);
      }
      const blobs = [
        blob("none"),
        blob("one", bytes(1, 1)),
        blob("three", bytes(0, 2), bytes(5000, 3), bytes(70_000, 4)),
        blob("large", bytes(MEGABYTE, 5)),
      ];
      for (const sent of blobs) {
        socket.emit("blob", sent);
        assert.deepEqual(await event(socket, "blob"), [sent]);
        assert.deepEqual(await socket.emitWithAck("ask", sent), sent);
      }
      const numbers = [];
      socket.on("n", (n) => numbers.push(n));
      socket.emit("burst", 100);
      while (numbers.length < 100) await event(socket, "n");
      assert.deepEqual(numbers, [...Array(100).keys()]);
      assert.equal(socket.io.engine.transport.name, transports.at(-1));
      socket.disconnect();
    }
  },

  // The engine's own client against the engine without socketioxide.
  async engine() {
    for (const transports of TRANSPORTS) {
      const socket = new EngineSocket(url, { path: "/engine.io", transports });
      await event(socket, "open");
      if (transports.length > 1) await event(socket, "upgrade");
      for (const sent of ["text", "x".repeat(MEGABYTE), bytes(3, 1), bytes(MEGABYTE, 2)]) {
        socket.send(sent);
        const [data] = await event(socket, "message");
        assert.deepEqual(typeof sent === "string" ? data : Buffer.from(data), sent);
      }
      socket.close();
    }
  },

  // A session that the server ends comes back by itself.
  async ended() {
    for (const transports of TRANSPORTS) {
      const socket = await connect(transports);
      const before = socket.id;
      const left = event(socket, "disconnect");
      socket.emit("end me");
      const [reason] = await left;
      assert.match(reason, /^transport (close|error)$/);
      await event(socket, "connect");
      assert.notEqual(socket.id, before);
      socket.disconnect();
    }
  },

  // The server goes away and comes back.
  async restart() {
    const sockets = [];
    for (const transports of TRANSPORTS) {
      const socket = await connect(transports);
      // A server that dies between the last poll and the change of transport is noticed by the heartbeat only.
      while (socket.io.engine.transport.name !== transports.at(-1)) await event(socket.io.engine, "upgrade");
      sockets.push(socket);
    }
    const left = sockets.map((socket) => event(socket, "disconnect"));
    say("connected");
    await Promise.all(left);
    const back = sockets.map((socket) => event(socket, "connect"));
    say("disconnected");
    await Promise.all(back);
    for (const socket of sockets) {
      assert.deepEqual(await socket.emitWithAck("ask", blob("again")), blob("again"));
      socket.disconnect();
    }
  },

  // Either side ends the session while the client upgrades.
  async upgrading() {
    for (let round = 0; round < 20; round++) {
      const mine = new EngineSocket(url, { path: "/engine.io", transports: ["polling", "websocket"] });
      await event(mine, "upgrading");
      const closed = event(mine, "close");
      mine.close();
      await closed;

      const theirs = new EngineSocket(url, { path: "/engine.io", transports: ["polling", "websocket"] });
      await event(theirs, "upgrading");
      const ended = event(theirs, "close");
      theirs.send("close");
      await ended;
    }
  },

  // A WebSocket that dies in the middle of the upgrade leaves the session on polling.
  async probe() {
    const socket = new EngineSocket(url, { path: "/engine.io", transports: ["polling"] });
    await event(socket, "open");
    const target = `${url.replace("http", "ws")}/engine.io/?EIO=4&transport=websocket&sid=${socket.id}`;
    for (const say of [[], ["2probe"], ["garbage"]]) {
      const probe = new WebSocket(target);
      await once(probe, "open");
      for (const message of say) probe.send(message);
      if (say[0] === "2probe") assert.equal(String((await once(probe, "message"))[0]), "3probe");
      const closed = once(probe, "close");
      if (say[0] === "garbage") await closed;
      else probe.terminate();
      await closed;
      socket.send("still here");
      assert.deepEqual(await event(socket, "message"), ["still here"]);
    }
    socket.close();
  },

  // Pings are answered for three rounds, and the session is still the same.
  async heartbeat() {
    for (const transports of [["polling"], ["websocket"]]) {
      const socket = new EngineSocket(url, { path: "/engine.io", transports });
      await event(socket, "open");
      for (let pings = 0; pings < 3; pings++) await event(socket, "ping");
      socket.send("alive");
      await event(socket, "message");
      socket.close();
    }
  },
};

await scenarios[scenario]();
