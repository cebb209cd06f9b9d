// An official client with an address of its own, which remembers what happened to it.

import assert from "node:assert/strict";
import http from "node:http";
import { io } from "socket.io-client";
import { until } from "./steps.mjs";

const ANSWER_MS = 20_000;

export class Client {
  welcomes = [];
  messages = [];
  disconnects = [];
  failures = [];

  // `address` is one of 127.0.0.0/8: connections *from* it, which the kernel takes on loopback without configuration.
  constructor(url, { address, transports }) {
    this.address = address;
    const agent = new http.Agent({ localAddress: address });
    // Reconnection is the client's own; it only shall not take 5 s in a test.
    this.socket = io(url, { agent, forceNew: true, reconnectionDelayMax: 1000, ...(transports && { transports }) });
    this.transports = transports?.join() ?? "default";
    this.socket.on("welcome", (welcome) => this.welcomes.push(welcome));
    this.socket.on("message", (message) => this.messages.push(message));
    this.socket.on("connect_error", (error) => this.failures.push(`cannot connect: ${error.message}`));
    this.socket.io.on("open", () => {
      this.socket.io.engine.on("upgradeError", (error) => this.failures.push(`cannot upgrade: ${error.message}`));
    });
    this.socket.on("disconnect", (reason) => this.disconnects.push(reason));
  }

  // Welcomed in its present connection, and on the transport that it is going to stay on.
  get settled() {
    const wanted = this.transports === "polling" ? "polling" : "websocket";
    const current = this.welcomes.at(-1)?.id === this.socket.id && this.socket.connected;
    return current && this.socket.io.engine?.transport.name === wanted;
  }

  // The acknowledgement of an event.
  ask(event, ...parts) {
    return this.socket.timeout(ANSWER_MS).emitWithAck(event, ...parts);
  }

  // The next message that nobody has looked at.
  async message() {
    await until(`a message for ${this.address}`, () => this.messages.length > 0);
    return this.messages.shift();
  }

  // Whether the answers and the effects are exactly those of the stock server.
  async send(room, data, receivers = [this]) {
    const sent = Date.now();
    const answer = await this.ask("message", { room, data });
    assert.deepEqual(answer, { ok: true, id: answer.id });
    assert.match(answer.id, /^.+$/);
    for (const receiver of receivers) {
      const message = await receiver.message();
      const { at } = message;
      assert.deepEqual(message, { id: answer.id, room, from: this.socket.id, at, data });
      assert.ok(Number.isInteger(at) && at >= sent && at <= Date.now(), `at ${at}, sent at ${sent}`);
    }
    return answer.id;
  }

  async join(room) {
    assert.deepEqual(await this.ask("join", room), { ok: true, room });
  }

  async leave(room) {
    assert.deepEqual(await this.ask("leave", room), { ok: true, room });
  }

  history() {
    const { address, transports, disconnects, failures } = this;
    const { worker, generation } = this.welcomes.at(-1) ?? {};
    return { address, transports, worker, generation, welcomes: this.welcomes.length, disconnects, failures };
  }
}
