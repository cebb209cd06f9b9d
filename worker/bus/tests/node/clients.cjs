// One sequence by node-redis and by ioredis against the server at the Unix socket argv[2]; prints what they saw as JSON.
// Packages come from the directory argv[3], where `npm ci` has been run.
const { createRequire } = require("node:module");
const packages = createRequire(`${process.argv[3]}/package.json`);
const path = process.argv[2];
const seen = [];

const deadline = setTimeout(() => {
  console.error("timed out after", JSON.stringify(seen));
  process.exit(1);
}, 15_000);

// Resolves once `list` has `count` entries.
const reaches = (list, count) =>
  new Promise((resolve) => {
    const look = () => (list.length >= count ? resolve() : setImmediate(look));
    look();
  });

async function nodeRedis() {
  const { createClient } = packages("redis");
  const socket = { path, reconnectStrategy: false };
  const pub = createClient({ socket, name: "node-redis" });
  const sub = createClient({ socket });
  await Promise.all([pub.connect(), sub.connect()]);
  const got = [];
  await sub.subscribe("news", (message, channel) => got.push(["message", channel, message]));
  await sub.pSubscribe("ne*", (message, channel) => got.push(["pattern", channel, message]));
  await sub.subscribe("binary", (message) => got.push(["binary", message.toString("hex")]), true);
  seen.push(["ping", await pub.ping(), await pub.clientGetName()]);
  seen.push(["publish", await pub.publish("news", "one"), await pub.publish("nobody", "x")]);
  seen.push(["publish", await pub.publish("binary", Buffer.from([0, 255, 13, 10, 128]))]);
  seen.push(["numsub", { ...(await pub.pubSubNumSub(["news", "nobody"])) }, await pub.pubSubNumPat()]);
  seen.push(["channels", (await pub.pubSubChannels()).sort()]);
  await reaches(got, 3);
  await sub.unsubscribe("news");
  seen.push(["publish", await pub.publish("news", "two")]);
  await reaches(got, 4);
  seen.push(got);
  const error = await pub.sendCommand(["NOSUCH", "a", "b"]).catch((error) => error.message);
  seen.push(["error", error]);
  await sub.unsubscribe("binary");
  await sub.pUnsubscribe("ne*");
  seen.push(["quit", await pub.quit(), await sub.quit()]);
}

async function ioredis() {
  const Redis = packages("ioredis");
  const options = { path, connectionName: "ioredis", retryStrategy: null };
  const pub = new Redis(options);
  const sub = new Redis(options);
  const got = [];
  sub.on("messageBuffer", (channel, message) => got.push(["message", `${channel}`, message.toString("hex")]));
  sub.on("pmessage", (pattern, channel, message) => got.push(["pattern", pattern, channel, message]));
  seen.push(["subscribed", await sub.subscribe("a", "b"), await sub.psubscribe("[ab]", "c*")]);
  seen.push(["publish", await pub.publish("a", "one"), await pub.publish("cc", "two")]);
  seen.push(["pipeline", await pub.pipeline().publish("b", "1").publish("b", "2").publish("b", "3").exec()]);
  seen.push(["numsub", await pub.pubsub("NUMSUB", "a", "b", "z"), await pub.pubsub("NUMPAT")]);
  seen.push(["name", await pub.client("GETNAME"), await pub.select(1)]);
  await reaches(got, 9);
  seen.push(got);
  seen.push(["error", await pub.call("NOSUCH", "x").catch((error) => error.message)]);
  seen.push(["mode", await sub.publish("a", "x").catch((error) => error.message)]);
  // By name: without, both libraries wait for a count of 0, which the other kind of subscription prevents.
  await sub.unsubscribe("a", "b");
  await sub.punsubscribe("[ab]", "c*");
  // A large payload both ways of the wire.
  const large = "x".repeat(3_000_000);
  await sub.subscribe("large");
  const arrived = new Promise((resolve) => sub.once("message", (_, message) => resolve(message === large)));
  seen.push(["large", await pub.publish("large", large), await arrived]);
  seen.push(["quit", await sub.quit(), await pub.quit()]);
}

nodeRedis()
  .then(ioredis)
  .then(() => {
    clearTimeout(deadline);
    console.log(JSON.stringify(seen, null, 1));
  })
  .catch((error) => {
    console.error(error);
    process.exit(1);
  });
