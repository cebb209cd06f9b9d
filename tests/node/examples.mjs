// Clients of the examples, saying what the examples' documentation says: node examples.mjs URL EXAMPLE

import { io } from "socket.io-client";

const ANSWER_MS = 20_000;
const [url, example] = process.argv.slice(2);

const examples = {
  async chat() {
    const socket = io(url);
    const said = [];
    socket.on("said", (message) => said.push(message));
    // All at once, as they stand in the documentation: nothing waits for anything.
    const before = socket.timeout(ANSWER_MS).emitWithAck("say", "too early");
    socket.emit("enter", { room: "barn", name: "Babe" });
    const wrong = socket.timeout(ANSWER_MS).emitWithAck("say", { not: "text" });
    const sent = socket.timeout(ANSWER_MS).emitWithAck("say", "moo");
    return { before: await before, wrong: await wrong, sent: await sent, said };
  },

  async auth() {
    const answers = {};
    for (const [name, auth] of Object.entries({ s3cret: { token: "s3cret" }, hay: { token: "hay" }, wrong: { token: "straw" }, none: undefined })) {
      const socket = io(url, { auth, forceNew: true });
      answers[name] = await new Promise((resolve) => {
        socket.once("connect_error", (error) => resolve(error.message));
        socket.once("connect", () => resolve(socket.timeout(ANSWER_MS).emitWithAck("whoami")));
      });
      socket.close();
    }
    return answers;
  },
};

console.log(JSON.stringify(await examples[example]()));
process.exit(0);
