// Sessions that poll, from one address, driven by tests/sticky.rs: node sticky.mjs URL fresh|CONNECTIONS
//
// Half of them are official clients, half are pollers whose every answer is seen. Rooms have members of both kinds.
// Every message is numbered by its sender, so gaps and duplicates show.

import assert from "node:assert/strict";
import http from "node:http";
import https from "node:https";
import { io } from "socket.io-client";
import { Poller } from "./poller.mjs";
import { run, until } from "./steps.mjs";

const [url, connections] = process.argv.slice(2);
const ROOM_SIZE = 5;
const SEND_EVERY_MS = 2000;

// Every request on a connection of its own, or all requests over so many. A long poll occupies a connection, so what
// is posted has some that no poll can take.
function newAgent() {
  const { Agent } = url.startsWith("https:") ? https : http;
  if (connections === "fresh") return new Agent({ keepAlive: false });
  const posting = Math.ceil(Number(connections) / 4);
  const agents = {
    GET: new Agent({ keepAlive: true, maxSockets: Number(connections) - posting }),
    POST: new Agent({ keepAlive: true, maxSockets: posting }),
  };
  // What a request asks of its agent before it asks for a connection: whether to say that it will be kept.
  return { keepAlive: true, addRequest: (request, options) => agents[request.method].addRequest(request, options) };
}

const agent = newAgent();
const AT_A_TIME = connections === "fresh" ? 8 : Infinity;
const HUM_EVERY_MS = 250;
const members = [];

class Member {
  sent = 0;
  heard = new Map(); // the next number, by sender
  wrong = []; // numbers that were not the next
  lost = []; // why, each time

  constructor(number) {
    this.number = number;
    this.room = `room ${Math.floor(number / ROOM_SIZE)}`;
    this.life = 0;
  }

  // What it calls itself: another name after it was lost, whose numbers begin anew.
  get name() {
    return `${this.number}.${this.life}`;
  }

  async open() {
    const welcomed = new Promise((resolve) => (this.welcome = resolve));
    if (this.number % 2) await this.openPoller();
    else this.openOfficial();
    this.worker = (await welcomed).worker; // its first one
    assert.deepEqual(await this.ask("join", this.room), { ok: true, room: this.room });
    this.isOpen = true;
  }

  async openPoller() {
    const bad = this.poller?.bad ?? [];
    this.poller = new Poller(url, agent);
    this.poller.bad = bad;
    this.poller.onEvent = (event, data) => this.hear(event, data);
    this.poller.onLost = (why) => this.lose(why);
    await this.poller.open();
  }

  openOfficial() {
    const options = { agent, forceNew: true, transports: ["polling"], reconnectionDelayMax: 1000, timeout: 30_000 };
    this.socket = io(url, options);
    this.socket.on("welcome", (data) => this.hear("welcome", data));
    this.socket.on("message", (data) => this.hear("message", data));
    this.socket.on("disconnect", (reason) => reason !== "io client disconnect" && this.lose(reason));
    this.socket.on("connect_error", (error) => this.lost.push(error.message));
  }

  async lose(why) {
    this.lost.push(why);
    const life = ++this.life;
    this.sent = 0;
    this.heard.clear();
    this.back = false;
    try {
      const welcomed = new Promise((resolve) => (this.welcome = resolve));
      if (this.poller) await this.openPoller();
      await welcomed;
      if (life !== this.life) return; // lost again meanwhile
      await this.ask("join", this.room);
      this.back = life === this.life;
    } catch (error) {
      if (life === this.life) this.wrong.push(`does not come back: ${error.message}`);
    }
  }

  ask(event, argument) {
    return this.poller ? this.poller.ask(event, argument) : this.socket.timeout(40_000).emitWithAck(event, argument);
  }

  hear(event, data) {
    if (event === "welcome") return this.welcome(data);
    const { name, count } = data.data;
    const expected = this.heard.get(name) ?? (this.lost.length === 0 ? 0 : count);
    if (count !== expected) this.wrong.push(`${name}: ${count} instead of ${expected}`);
    this.heard.set(name, count + 1);
  }

  async talk(stop) {
    await sleep(Math.random() * SEND_EVERY_MS);
    for (; !stop(); await sleep(SEND_EVERY_MS)) {
      if (this.lost.length > 0 && !this.back) continue;
      const data = { name: this.name, count: this.sent };
      this.sent++;
      const answer = await this.ask("message", { room: this.room, data }).catch(() => ({ ok: false }));
      if (!answer.ok && this.lost.length === 0) this.wrong.push(`not sent: ${JSON.stringify(answer)}`);
    }
  }

  // Whether it has heard all that this one, who was never lost, has said.
  hasHeard(other) {
    return (this.heard.get(other.name) ?? 0) === other.sent;
  }

  async close() {
    await this.poller?.close();
    this.socket?.close();
  }
}

// Does it while everybody who is there asks for answers: else their polls would keep the few connections.
async function humming(act) {
  if (connections === "fresh") return act();
  let acting = true;
  const hum = async () => {
    for (; acting; await sleep(HUM_EVERY_MS)) {
      await Promise.all(members.filter(({ isOpen }) => isOpen).map((member) => member.ask("leave", "nothing")));
    }
  };
  const hums = hum();
  try {
    return await act();
  } finally {
    acting = false;
    await hums;
  }
}

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const steady = () => members.filter(({ lost }) => lost.length === 0);

await run({
  // `count` sessions, a few at a time.
  async open({ count }) {
    for (let number = 0; number < count; number++) members.push(new Member(number));
    const waiting = [...members];
    const openSome = async () => {
      for (let member; (member = waiting.shift()); ) await member.open();
    };
    await humming(() => Promise.all(Array.from({ length: Math.min(AT_A_TIME, count) }, openSome)));
    return members.map(({ worker }) => worker);
  },

  // Everybody talks for so long; then what was said is waited for. What each of them has to complain about.
  async talk({ seconds }) {
    const end = Date.now() + seconds * 1000;
    await Promise.all(members.map((member) => member.talk(() => Date.now() > end)));
    const complete = (one) => steady().every((other) => other.room !== one.room || one.hasHeard(other));
    await until("everything has arrived", () => steady().every(complete));
    await until("who was lost is back", () => members.every(({ lost, back }) => lost.length === 0 || back));
    return members.map(({ poller, lost, wrong, sent, back }) => {
      return { official: !poller, bad: poller?.bad ?? [], lost, wrong, sent, back: back ?? false };
    });
  },

  requests: () => members.reduce((sum, { poller }) => sum + (poller?.requests ?? 0), 0),

  // Official clients begin by polling and go on over a WebSocket.
  async upgrade({ count }) {
    const upgradeOne = async (number) => {
      const disconnects = [];
      const socket = io(url, { agent, forceNew: true });
      socket.on("disconnect", (reason) => disconnects.push(reason));
      await until(`client ${number} is upgraded`, () => socket.io.engine?.transport?.name === "websocket");
      const room = `upgraded ${number}`;
      const heard = [];
      socket.on("message", ({ data }) => heard.push(data));
      await socket.timeout(20_000).emitWithAck("join", room);
      for (let data = 0; data < 5; data++) await socket.timeout(20_000).emitWithAck("message", { room, data });
      await until("all messages", () => heard.length >= 5);
      assert.deepEqual([heard, disconnects], [[0, 1, 2, 3, 4], []]);
      socket.close();
    };
    const numbers = Array.from({ length: count }, (_, number) => number);
    await humming(() => Promise.all(numbers.map(upgradeOne)));
  },

  async close() {
    await Promise.all(members.splice(0).map((member) => member.close()));
  },
});
