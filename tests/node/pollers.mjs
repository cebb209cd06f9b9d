// Sessions that poll, by hand: every request is counted by its status, and goes over a connection as the test wants.
// node pollers.mjs URL

import assert from "node:assert/strict";
import http from "node:http";
import { SEPARATOR, ask } from "./poller.mjs";
import { run, until } from "./steps.mjs";

const url = new URL(process.argv[2]);
const sessions = [];
const statuses = {};
const errors = {};

const count = (counts, what) => (counts[what] = (counts[what] ?? 0) + 1);

class Session {
  received = new Map(); // sender -> counts
  ends = []; // how it lost its sessions: statuses and errors

  constructor(number, room, agent) {
    Object.assign(this, { number, room, agent });
  }

  // Status and body of one request; 0 for one that was not answered.
  async request(method, query, body) {
    const answer = await ask(url, method, `/socket.io/?EIO=4&transport=polling${query}`, this.agent, body);
    const answered = Number.isInteger(answer.status);
    if (!answered) count(errors, answer.status);
    const status = answered ? answer.status : 0;
    count(statuses, status);
    return { status, text: answered ? answer.body : answer.status };
  }

  post(packet) {
    return this.request("POST", `&sid=${this.sid}`, packet);
  }

  // A new session, in its namespace and room.
  async open() {
    this.joined = undefined;
    const { status, text } = await this.request("GET", "");
    if (status !== 200) return false;
    this.sid = JSON.parse(text.slice(1)).sid;
    return (await this.post("40")).status === 200 && (await this.post(`420${JSON.stringify(["join", this.room])}`)).status === 200;
  }

  // Polls until told to stop. A poll whose connection broke is made again; a session that ends is opened again.
  async poll() {
    let lost; // since when there is no answer
    while (!this.stopping) {
      const { status, text } = await this.request("GET", `&sid=${this.sid}`);
      if (this.stopping) return;
      if (status === 200) {
        lost = undefined;
        text.split(SEPARATOR).forEach((packet) => this.hear(packet));
      } else if (status === 0) {
        lost ??= Date.now();
        await new Promise((resolve) => setTimeout(resolve, 50));
      } else {
        this.ends.push({ status, text, waited: Date.now() - (lost ?? Date.now()) });
        lost = undefined;
        while (!this.stopping && !(await this.open())) await new Promise((resolve) => setTimeout(resolve, 100));
      }
    }
  }

  hear(packet) {
    if (packet === "2") this.post("3");
    if (packet.startsWith("430")) this.joined = true;
    if (packet.startsWith('40{')) this.welcome = packet;
    if (!packet.startsWith('42["message"')) return;
    const { data } = JSON.parse(packet.slice(2))[1];
    const counts = this.received.get(data.sender) ?? [];
    counts.push(data.count);
    this.received.set(data.sender, counts);
  }

  say(count) {
    return this.post(`42${JSON.stringify(["message", { room: this.room, data: { sender: this.number, count } }])}`);
  }
}

const inRoom = (room) => sessions.filter((session) => session.room === room);

await run({
  // `connections`: how many kept-alive connections carry all requests; 0: each request has one of its own.
  async open({ count, rooms, connections }) {
    const agent = connections === 0 ? new http.Agent({ keepAlive: false }) : new http.Agent({ keepAlive: true, maxSockets: connections });
    for (let number = 0; number < count; number += 1) sessions.push(new Session(number, `room ${number % rooms}`, agent));
    await Promise.all(sessions.map(async (session) => assert.ok(await session.open(), "a session opens")));
    this.polling = sessions.map((session) => session.poll());
    await until("all are in their rooms", () => sessions.every((session) => session.joined));
    return sessions.map((session) => session.sid);
  },

  // Everybody speaks into his room again and again for that long; what was said must have arrived everywhere in the
  // room, once and in order.
  async chatter({ ms }) {
    const end = Date.now() + ms;
    const said = await Promise.all(sessions.map(async (session) => {
      let count = 0;
      for (; Date.now() < end; count += 1) {
        await session.say(count);
        await new Promise((resolve) => setTimeout(resolve, 100 + Math.random() * 300));
      }
      return count;
    }));
    const complete = (session) => inRoom(session.room).every((sender) => session.received.get(sender.number)?.length >= said[sender.number]);
    await until("everything arrives", () => sessions.every(complete));
    for (const session of sessions) {
      for (const [sender, counts] of session.received) {
        assert.deepEqual(counts, Array.from({ length: said[sender] }, (_, count) => count), `${sender} to ${session.number}`);
      }
      session.received.clear();
    }
    return said.reduce((sum, count) => sum + count, 0);
  },

  // Which sessions ended since the beginning, and how.
  async ended() {
    return sessions.map(({ sid, ends }) => ({ sid, ends }));
  },

  // Waits until so many sessions have ended and were opened again.
  async again({ count }) {
    const back = () => sessions.filter(({ joined, ends }) => ends.length > 0 && joined).length;
    await until(`${count} sessions have ended and are back`, () => back() >= count);
    return back();
  },

  async answers() {
    return { statuses, errors };
  },

  // Ends every session by its close packet.
  async close() {
    for (const session of sessions) session.stopping = true;
    await Promise.all(sessions.map((session) => session.post("1")));
    await Promise.all(this.polling);
    return { statuses, errors };
  },
});
