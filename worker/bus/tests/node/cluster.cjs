// Two Socket.IO servers and an emitter whose only Redis is the server at 127.0.0.1:argv[2]: they must form one cluster.
// Packages come from the directory argv[3], where `npm ci` has been run.
const assert = require("node:assert");
const { once } = require("node:events");
const { createServer } = require("node:http");
const { createRequire } = require("node:module");
const packages = createRequire(`${process.argv[3]}/package.json`);
const { Server } = packages("socket.io");
const { io: connect } = packages("socket.io-client");
const { createAdapter } = packages("@socket.io/redis-adapter");
const { Emitter } = packages("@socket.io/redis-emitter");
const { createClient } = packages("redis");
const Redis = packages("ioredis");

setTimeout(() => {
  console.error("timed out");
  process.exit(1);
}, 20_000).unref();

const port = Number(process.argv[2]);

async function start(pub, sub) {
  const http = createServer();
  const io = new Server(http, { adapter: createAdapter(pub, sub) });
  io.on("connection", (socket) => socket.join("room"));
  http.listen(0, "127.0.0.1");
  await once(http, "listening");
  return { io, url: `http://127.0.0.1:${http.address().port}` };
}

async function main() {
  const nodeRedis = createClient({ socket: { port, host: "127.0.0.1" } });
  const nodeRedisSub = nodeRedis.duplicate();
  await Promise.all([nodeRedis.connect(), nodeRedisSub.connect()]);
  const a = await start(nodeRedis, nodeRedisSub);
  const b = await start(new Redis(port), new Redis(port));
  const clients = [a, b].map((server) => connect(server.url, { transports: ["websocket"] }));
  await Promise.all(clients.map((client) => once(client, "connect")));
  const sockets = async (server) => (await server.io.fetchSockets()).map((socket) => socket.id).sort();
  const ids = clients.map((client) => client.id).sort();

  // Requests count subscribers and wait for that many answers.
  while ((await sockets(a)).length < 2 || (await sockets(b)).length < 2);
  assert.deepStrictEqual(await sockets(a), ids);
  assert.deepStrictEqual(await sockets(b), ids);

  const next = (event) => Promise.all(clients.map((client) => once(client, event).then(([value]) => value)));
  let heard = next("from-a");
  a.io.to("room").emit("from-a", { n: 1, bytes: Buffer.from([1, 2, 255]) });
  for (const value of await heard) assert.deepStrictEqual(value, { n: 1, bytes: Buffer.from([1, 2, 255]) });

  heard = next("from-emitter");
  new Emitter(new Redis(port)).to("room").emit("from-emitter", "hello");
  assert.deepStrictEqual(await heard, ["hello", "hello"]);

  b.io.on("question", (value, answer) => answer(value + 1));
  a.io.on("question", (value, answer) => answer(value + 2));
  const answers = await new Promise((resolve, reject) =>
    a.io.serverSideEmit("question", 1, (error, answers) => (error ? reject(error) : resolve(answers))),
  );
  assert.deepStrictEqual(answers, [2]);

  clients.forEach((client) => client.on("acked", (answer) => answer("yes")));
  assert.deepStrictEqual(await a.io.timeout(5000).emitWithAck("acked"), ["yes", "yes"]);

  const gone = Promise.all(clients.map((client) => once(client, "disconnect")));
  b.io.in("room").disconnectSockets(true);
  await gone;
  console.log("one cluster");
  process.exit(0);
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
