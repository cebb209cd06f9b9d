// A client that speaks Engine.IO over long-polling and Socket.IO over that, by hand: every request and every answer
// passes through here, so every status is known.

import http from "node:http";
import https from "node:https";

export const SEPARATOR = "\x1e";
const ANSWER_MS = 40_000;

export class Poller {
  // What was answered by anything but 200: status and body, or the code of an error of the connection.
  bad = [];
  requests = 0;
  #outbox = [];
  #posting = false;
  #acks = new Map();
  #nextAck = 0;
  #ended = false;

  constructor(url, agent) {
    this.url = new URL(url);
    this.agent = agent;
    this.onEvent = () => {};
  }

  // Opens a session, connects to the namespace and goes on polling.
  async open() {
    const opened = await this.#request("GET");
    if (opened.status !== 200) throw new Error(`no session: ${opened.status} ${opened.body}`);
    this.sid = JSON.parse(opened.body.slice(1)).sid;
    const connected = new Promise((resolve) => (this.connected = resolve));
    this.#send("40");
    this.polling = this.#poll();
    await connected;
  }

  // The acknowledgement of an event.
  ask(event, argument) {
    const id = this.#nextAck++;
    const late = new Error(`no answer to ${event}`);
    return new Promise((resolve, reject) => {
      const timer = setTimeout(reject, ANSWER_MS, late);
      const settle = (settled) => (value) => {
        clearTimeout(timer);
        settled(value);
      };
      this.#acks.set(id, { answered: settle(resolve), lost: settle(reject) });
      this.#send(`42${id}${JSON.stringify([event, argument])}`);
    });
  }

  async close() {
    this.#ended = true;
    await this.#request("POST", "1");
    await this.polling;
  }

  async #poll() {
    while (!this.#ended) {
      const { status, body } = await this.#request("GET");
      if (this.#ended) return;
      if (status !== 200) return this.#lose("an answer");
      const packets = body.split(SEPARATOR);
      packets.filter((packet) => packet !== "1").forEach((packet) => this.#receive(packet));
      if (packets.includes("1")) return this.#lose("a close packet");
    }
  }

  // The session is gone, and with it all answers that it owed.
  #lose(why) {
    if (this.#ended) return;
    this.#ended = true;
    this.#acks.forEach(({ lost }) => lost(new Error(`the session ended: ${why}`)));
    this.onLost?.(why);
  }

  #receive(packet) {
    const [, type, id, json] = /^(..?)(\d*)(.*)$/s.exec(packet);
    if (packet === "2") this.#send("3");
    else if (type === "40") this.connected(JSON.parse(id + json));
    else if (type === "42") this.onEvent(...JSON.parse(id + json));
    else if (type === "43") this.#acks.get(Number(id))?.answered(JSON.parse(json)[0]);
  }

  // One body at a time, as the protocol wants; what comes meanwhile goes with the next one.
  async #send(packet) {
    this.#outbox.push(packet);
    if (this.#posting) return;
    this.#posting = true;
    while (this.#outbox.length > 0 && !this.#ended) {
      const { status } = await this.#request("POST", this.#outbox.splice(0).join(SEPARATOR));
      if (status !== 200) this.#lose("an answer to a post");
    }
    this.#posting = false;
  }

  async #request(method, body) {
    this.requests++;
    const query = this.sid ? `&sid=${this.sid}` : "";
    const answer = await ask(this.url, method, `/socket.io/?EIO=4&transport=polling${query}`, this.agent, body);
    if (answer.status !== 200 && !this.#ended) this.bad.push(`${method} ${answer.status} ${answer.body}`);
    return answer;
  }
}

// One request: its status and body, or the code of what went wrong.
export function ask({ protocol, hostname, port }, method, path, agent, body) {
  const client = protocol === "https:" ? https : http;
  return new Promise((resolve) => {
    const failed = (error) => resolve({ status: error.code ?? error.message, body: "" });
    const request = client.request({ hostname, port, method, path, agent }, (response) => {
      let text = "";
      response.setEncoding("utf8");
      response.on("data", (part) => (text += part));
      response.on("end", () => resolve({ status: response.statusCode, body: text }));
      response.on("error", failed);
    });
    request.on("error", failed);
    request.setTimeout(ANSWER_MS, () => request.destroy(new Error("no answer")));
    request.end(body);
  });
}
