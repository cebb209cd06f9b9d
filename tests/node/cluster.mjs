// Official clients in rooms that cross workers. Every message carries its sender's count, so gaps, duplicates and
// reorderings show.

import assert from "node:assert/strict";
import { Client } from "./client.mjs";
import { run, until } from "./steps.mjs";

const TRANSPORTS = [["websocket"], ["polling"], undefined];
const urls = process.argv[2].split(","); // clients take turns at these boxes
const clients = [];

// What each client got in rooms that it is in for the whole test: `received.get(sender)` is a list of counts.
function watch(client) {
  client.received = new Map();
  client.strange = [];
  client.socket.on("message", ({ room, data }) => {
    if (data?.count === undefined) return;
    if (room !== client.room) client.strange.push({ room, data });
    const counts = client.received.get(data.sender) ?? [];
    counts.push(data.count);
    client.received.set(data.sender, counts);
  });
}

await run({
  // Clients on every transport, spread over `rooms` rooms. Gives the room and worker of each.
  async open({ count, rooms, named = "room", local = true }) {
    for (let number = 0; number < count; number += 1) {
      // On loopback each client has an address of its own; elsewhere all have their machine's.
      const address = local ? `127.0.${1 + (number >> 7)}.${1 + (number & 127)}` : undefined;
      const client = new Client(urls[number % urls.length], { address, transports: TRANSPORTS[number % TRANSPORTS.length] });
      client.number = number;
      client.room = `${named} ${number % rooms}`;
      watch(client);
      clients.push(client);
    }
    await until("all clients are welcome", () => clients.every((client) => client.settled)).catch((error) => {
      const unsettled = clients.filter((client) => !client.settled).map((client) => client.history());
      throw new Error(`${error.message}: ${JSON.stringify(unsettled)}`);
    });
    await Promise.all(clients.map((client) => client.join(client.room)));
    return clients.map((client) => ({ room: client.room, worker: client.welcomes.at(-1).worker }));
  },

  // Everybody sends `each` messages into his room, two at a time, since the engine drops what a client has over 128
  // packets waiting; all must have arrived, once and in order.
  async chatter({ each, churn }) {
    const joining = churn ? stirring() : undefined;
    for (let count = 0; count < each; count += 1) {
      for (const client of clients) {
        client.socket.emit("message", { room: client.room, data: { sender: client.number, count } });
      }
      if (count % 2 === 1 || count === each - 1) {
        const complete = (client) =>
          clients.every((sender) => sender.room !== client.room || client.received.get(sender.number)?.length > count);
        await until("every message arrives everywhere", () => clients.every(complete), 50_000);
      }
    }
    await joining?.stop();
    await Promise.all(clients.map((client) => client.join(client.room))); // all that is on its way has come by now
    const expected = Array.from({ length: each }, (_, count) => count);
    for (const client of clients) {
      assert.deepEqual(client.strange, [], `client ${client.number} got what is not for it`);
      for (const [sender, counts] of client.received) {
        assert.equal(clients[sender].room, client.room);
        assert.deepEqual(counts, expected, `${sender} to ${client.number}`);
      }
      client.received.clear();
    }
    return clients.length * each;
  },

  // Everybody is connected, by the transport that it wants, and in its room again.
  async settled() {
    await until("all clients are welcome", () => clients.every((client) => client.settled));
    await Promise.all(clients.map((client) => client.join(client.room)));
  },

  // Every loss of a session since the beginning, and every upgrade that failed.
  async disconnects() {
    return clients.flatMap((client) => [...client.disconnects, ...client.failures]);
  },

  // What clients on each worker hear of messages that come from outside: an emitter, POST, a Node server.
  async heard({ event, times }) {
    for (const client of clients) {
      client.outside = [];
      client.socket.removeAllListeners(event);
      client.socket.on(event, (...parts) => client.outside.push(parts));
    }
    return times ?? null;
  },

  async outside({ count }) {
    await until(`${count} messages from outside`, () => clients.every((client) => client.outside.length >= count));
    return clients.map((client) => ({ room: client.room, worker: client.welcomes.at(-1).worker, heard: client.outside }));
  },

  // One sender, 1,000 messages a second, until told to stop; receivers keep what they got.
  async stream() {
    const sender = clients[0];
    let count = 0;
    const timer = setInterval(() => {
      for (let burst = 0; burst < 5; burst += 1) {
        sender.socket.emit("message", { room: sender.room, data: { sender: sender.number, count } });
        count += 1;
      }
    }, 5);
    this.stopStream = () => {
      clearInterval(timer);
      return count;
    };
  },

  // Ends the stream; of every client in the room how many it got, and whether they were in order and single.
  async streamed() {
    const sent = this.stopStream();
    const last = { sender: clients[0].number, count: sent };
    await until("the stream crosses again", () => {
      clients[0].socket.emit("message", { room: clients[0].room, data: last });
      return clients.every((client) => client.room !== clients[0].room || client.received.get(0)?.at(-1) === sent);
    });
    const got = clients.filter((client) => client.room === clients[0].room).map((client) => {
      const counts = client.received.get(0).filter((count) => count < sent);
      const ordered = counts.every((count, at) => at === 0 || count > counts[at - 1]);
      return { worker: client.welcomes.at(-1).worker, got: counts.length, ordered };
    });
    for (const client of clients) client.received.clear();
    return { sent, sender: clients[0].welcomes.at(-1).worker, got };
  },
});

// Clients that join and leave other rooms all the time.
function stirring() {
  let going = true;
  const stir = async (client) => {
    while (going) {
      await client.join(`other ${client.number % 5}`);
      await client.leave(`other ${client.number % 5}`);
    }
  };
  const done = Promise.all(clients.filter((_, at) => at % 4 === 0).map(stir));
  return { stop: () => ((going = false), done) };
}
