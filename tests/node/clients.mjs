// Many official clients of one box, driven by tests/clients.rs: node clients.mjs URL

import assert from "node:assert/strict";
import { Client } from "./client.mjs";
import { malformed, peculiar } from "./malformed.mjs";
import { run, until } from "./steps.mjs";

const [url] = process.argv.slice(2);
const TRANSPORTS = [["websocket"], ["polling"], undefined];
const clients = [];

const all = (act) => Promise.all(clients.map(act));
const of = (transports) => clients.find((client) => client.transports === transports);

// Joins, sends to itself, leaves, hears nothing more.
async function converse(client) {
  const { id } = client.socket;
  const room = `room of ${client.address}`;
  await client.join(room);
  await client.join(room); // again changes nothing: one copy of each message
  const ids = [];
  for (const data of ["text", 1.5, null, true, [], { nested: [{ deep: "ox" }] }]) ids.push(await client.send(room, data));
  await client.leave(room);
  await client.leave(room);
  ids.push(await client.send(room, "to nobody", []));
  await client.join(room);
  ids.push(await client.send(room, "last")); // would come after what should not have come
  await client.leave(room);
  assert.equal(new Set(ids).size, ids.length);
  assert.deepEqual([client.messages, client.socket.id], [[], id]); // nothing more, and in the same session
}

// Says everything at once: it takes effect, and is answered, in the order in which it was said.
async function hurry(client) {
  const room = `haste of ${client.address}`;
  const numbers = Array.from({ length: 20 }, (_, number) => number);
  const joined = client.ask("join", room);
  const sent = numbers.map((data) => client.ask("message", { room, data }));
  const left = client.ask("leave", room);
  sent.push(client.ask("message", { room, data: "to nobody" }));
  assert.deepEqual(await Promise.all([joined, left]), [{ ok: true, room }, { ok: true, room }]);
  const ids = (await Promise.all(sent)).map(({ ok, id }) => ok && id);
  const heard = client.messages.splice(0);
  assert.deepEqual(heard.map(({ data }) => data), numbers);
  assert.deepEqual(heard.map(({ id }) => id), ids.slice(0, numbers.length));
}

// Says everything that makes no sense, with an acknowledgement and without.
async function misbehave(client) {
  const { id } = client.socket;
  for (const [event, ...parts] of malformed) {
    const answer = await client.ask(event, ...parts);
    const said = JSON.stringify([event, ...parts])?.slice(0, 80);
    assert.deepEqual(answer, { ok: false, error: answer.error }, said);
    assert.match(answer.error, /\w/, said);
    client.socket.emit(event, ...parts);
  }
  assert.deepEqual([client.messages, client.socket.id], [[], id]);
}

// Names that are something special to JavaScript or to JSON are nothing special here.
async function beStrange(client) {
  for (const name of peculiar) {
    await client.join(name);
    await client.send(name, name);
    await client.send(name, { list: [name] });
    const keyed = JSON.parse(`{"a":1,${JSON.stringify(name)}:{"polluted":true}}`); // as a literal it would be set
    await client.send(name, keyed);
    await client.leave(name);
  }
  assert.deepEqual(client.disconnects, []);
}

// Two clients in one room: each hears each message once.
async function meet([first, second]) {
  await Promise.all([first.join("both"), second.join("both")]);
  await first.send("both", "from the first", [first, second]);
  await second.send("both", Buffer.from([0, 1, 255]), [first, second]);
  await second.leave("both");
  await first.send("both", "alone");
  assert.deepEqual(second.messages, []);
}

await run({
  // `count` clients, each from an address of its own, with every kind of transports in turn.
  async open({ count, host }) {
    for (let number = 0; number < count; number++) {
      const address = `127.9.${number >> 5}.${1 + (number & 31)}`;
      clients.push(new Client(url, { address, transports: TRANSPORTS[number % TRANSPORTS.length] }));
    }
    await until("everybody is welcome", () => clients.every((client) => client.settled));
    for (const { socket, welcomes } of clients) {
      const [{ worker, generation }] = welcomes;
      assert.deepEqual(welcomes, [{ id: socket.id, host, worker, generation }]);
      assert.ok(Number.isInteger(worker) && Number.isInteger(generation));
    }
    return clients.map((client) => client.history());
  },

  converse: () => all(converse),

  hurry: () => all(hurry),

  misbehave: () => all(misbehave),

  // One after another, as they share the rooms.
  async beStrange() {
    for (const transports of ["websocket", "polling", "default"]) await beStrange(of(transports));
  },

  // A second client from the first one's address, so on the same worker.
  async meet() {
    const first = of("websocket");
    const second = new Client(url, { address: first.address, transports: ["polling"] });
    await until("the second is welcome", () => second.settled);
    await meet([first, second]);
    second.socket.close();
  },

  // What is large, binary or from all over Unicode comes back as it was sent.
  async carry({ transports, bytes }) {
    const client = of(transports);
    await client.join("large");
    await client.send("large", "aé漢🐂".repeat(bytes / 10)); // 1 + 2 + 3 + 4 bytes
    await client.send("large", "x".repeat(bytes));
    await client.send("large", Buffer.alloc(bytes, "ox"));
    await client.send("large", { first: Buffer.from("a"), between: ["text", Buffer.alloc(0)], last: Buffer.from([0]) });
    await client.send("large", "\u2028 \ud83d\udc02 \u0000 \\u0000 \u202e");
    await client.leave("large");
    assert.deepEqual(client.disconnects, []);
  },

  // What socketioxide's parser cannot read although it is JSON: an escape in the name of an event (it ends the
  // session, from which the client comes back) and in the first key of an object (it is refused).
  async beUnreadable() {
    const client = of("websocket");
    const refused = await client.ask("message", { room: "a", data: { 'first "key"': 1 } });
    assert.deepEqual(refused, { ok: false, error: refused.error });
    assert.deepEqual(client.disconnects, []);
    client.socket.emit('an "event"');
    await until("the client is back", () => client.welcomes.length === 2 && client.settled);
    assert.deepEqual(client.disconnects, ["transport close"]);
  },

  // A namespace that is not there is refused, and the one that is goes on over the same connection.
  async wrongNamespace() {
    const [client] = clients;
    for (const name of ["/nothing", "/__proto__", "/ö", "/a/b"]) {
      const error = await new Promise((resolve) => {
        client.socket.io.socket(name).connect().once("connect_error", resolve);
      });
      assert.deepEqual([error.message, error.data], ["Invalid namespace", undefined]);
      client.socket.io.socket(name).close();
    }
    await converse(client);
  },

  // What has happened to each client.
  history: () => clients.map((client) => client.history()),

  // All have seen this many welcomes, and are served.
  async served({ addresses, welcomes }) {
    const these = clients.filter(({ address }) => addresses.includes(address));
    const isBack = (client) => client.welcomes.length >= welcomes && client.settled;
    for (const client of these) {
      let joined;
      // A slot may still move to another worker under a client that polls: then it reconnects once more.
      while (!joined?.ok) {
        await until(`${welcomes} welcomes of ${client.address}`, () => isBack(client));
        joined = await client.ask("join", "again").catch(() => null);
      }
    }
  },

  // All have lost their connection.
  lost: () => until("everybody is disconnected", () => clients.every((client) => !client.socket.connected)),

  async close() {
    for (const { socket } of clients) socket.close();
  },
});
