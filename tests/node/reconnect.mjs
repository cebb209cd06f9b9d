// Two official clients, one a transport. Each prints the worker that welcomes it; after the second welcome of each,
// which takes a reconnect of its own, the process exits.
import { io } from "socket.io-client";

const left = new Set(["polling", "websocket"]);
for (const transport of ["polling", "websocket"]) {
  const socket = io(process.argv[2], { transports: [transport], reconnectionDelay: 100, reconnectionDelayMax: 300 });
  let welcomes = 0;
  socket.on("welcome", (worker) => {
    console.log(transport, worker);
    if (++welcomes < 2) return;
    socket.disconnect();
    left.delete(transport);
    if (left.size === 0) process.exit(0);
  });
}
setTimeout(() => process.exit(1), 60_000);
