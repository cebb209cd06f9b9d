// Node's cluster with @socket.io/sticky: `node cluster.mjs PORT WORKERS [REDIS_PORT]`, over the cluster adapter or, with
// a Redis, over the Redis adapter. It says "ready" when all workers serve.

import cluster from "node:cluster";
import { createServer } from "node:http";
import { createAdapter as createClusterAdapter, setupPrimary } from "@socket.io/cluster-adapter";
import { createAdapter as createRedisAdapter } from "@socket.io/redis-adapter";
import { setupMaster, setupWorker } from "@socket.io/sticky";
import { createClient } from "redis";
import { Server } from "socket.io";
import { serve } from "./serve.mjs";

const [port, workers, redisPort] = process.argv.slice(2).map(Number);

if (cluster.isPrimary) {
  const http = createServer();
  setupMaster(http, { loadBalancingMethod: "least-connection" });
  if (!redisPort) setupPrimary();
  cluster.setupPrimary({ serialization: "advanced" });
  let ready = 0;
  cluster.on("message", (_, message) => {
    if (message !== "ready" || ++ready !== workers) return;
    http.listen(port, "127.0.0.1", () => console.log("ready"));
  });
  for (let worker = 0; worker < workers; worker += 1) cluster.fork();
} else {
  const io = new Server(createServer());
  if (redisPort) {
    const publisher = createClient({ socket: { host: "127.0.0.1", port: redisPort } });
    const subscriber = publisher.duplicate();
    await Promise.all([publisher.connect(), subscriber.connect()]);
    io.adapter(createRedisAdapter(publisher, subscriber));
  } else {
    io.adapter(createClusterAdapter());
  }
  serve(io, cluster.worker.id - 1);
  setupWorker(io);
  process.send("ready");
}
