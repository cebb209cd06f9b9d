// One Node process: `node single.mjs PORT`. It says "ready" when it serves.

import { createServer } from "node:http";
import { Server } from "socket.io";
import { serve } from "./serve.mjs";

const http = createServer();
serve(new Server(http), 0);
http.listen(Number(process.argv[2]), "127.0.0.1", () => console.log("ready"));
