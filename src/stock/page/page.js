// The chat page's script. It speaks Engine.IO 4 and Socket.IO 5 over one WebSocket by itself: a packet is a text
// frame, its first digit the Engine.IO type, and behind a 4 a second digit the Socket.IO type. Binary frames,
// attachments of a packet, match no type and are passed over.
const FIRST_ROOM = "lobby";
const KEPT_MESSAGES_MAX = 200; // of each room
const [RETRY_MS_FIRST, RETRY_MS_MAX] = [500, 15000];
const $ = (id) => document.getElementById(id);
const rooms = new Map(); // name → { lines, unread }
let current = null; // the name of the room that is shown
let me = null; // our socket id while connected
let link = null; // { ws, acks, nextAck } while there is a WebSocket
let attempts = 0; // since the last connection

function connect() {
  const ws = new WebSocket(new URL("socket.io/?EIO=4&transport=websocket", location.href.replace("http", "ws")));
  link = { ws, acks: new Map(), nextAck: 0 };
  let [patience, watchdog] = [20000]; // ms of silence, until the open packet says
  ws.onmessage = ({ data }) => {
    clearTimeout(watchdog);
    watchdog = setTimeout(() => ws.close(), patience);
    const [type, body] = [data[0], data.slice(1)];
    if (type === "0") {
      const { pingInterval, pingTimeout } = JSON.parse(body);
      patience = pingInterval + pingTimeout;
      ws.send("40");
    } else if (type === "1") ws.close();
    else if (type === "2") ws.send("3" + body);
    else if (type === "4") packet(body);
  };
  ws.onclose = () => {
    clearTimeout(watchdog);
    const { acks } = link;
    link = me = null;
    acks.forEach((answer) => answer({ ok: false, error: "the connection was lost" }));
    setTimeout(connect, Math.random() * Math.min(RETRY_MS_MAX, RETRY_MS_FIRST * 2 ** attempts++));
    status("waiting", "reconnecting…");
  };
}

function packet(text) {
  const [, type, ack, json] = text.match(/^(\d)(?:\d+-)?(\d*)(.*)$/s);
  if (type === "0") attempts = 0;
  else if (type === "1" || type === "4") link.ws.close();
  else if (type === "2" || type === "5") {
    const [event, argument] = JSON.parse(json);
    ({ welcome, message: received })[event]?.(argument);
  } else if (type === "3") {
    link.acks.get(Number(ack))?.(JSON.parse(json)[0]);
    link.acks.delete(Number(ack));
  }
}

function emit(event, argument, answer) {
  if (!me) return answer({ ok: false, error: "not connected" });
  link.acks.set(link.nextAck, answer);
  link.ws.send("42" + link.nextAck++ + JSON.stringify([event, argument]));
}

function status(state, text) {
  $("status").dataset.state = state;
  $("status").textContent = text;
  document.querySelectorAll("form button").forEach((button) => (button.disabled = state !== "connected"));
}

function welcome({ id, host, worker, generation }) {
  me = id;
  status("connected", "connected");
  Object.entries({ host, worker, generation }).forEach(([field, value]) => ($(field).textContent = value));
  const text = `connected to worker ${worker} on ${host}, generation ${generation}`;
  for (const room of rooms.size ? rooms.keys() : [FIRST_ROOM]) join(room, text);
}

function join(room, welcomed) {
  emit("join", room, ({ ok, error }) => {
    if (!ok) return add(current, note(`cannot join ${room}: ${error}`, "wrong"));
    if (!rooms.has(room)) rooms.set(room, { log: element("ol"), unread: 0 });
    if (!welcomed || current === null) pick(room);
    add(room, note(welcomed ?? `you joined ${room}`));
  });
}

function leave(room) {
  emit("leave", room, ({ ok }) => {
    if (ok) rooms.delete(room);
    pick(rooms.has(current) ? current : rooms.keys().next().value ?? null);
  });
}

function send(text, input) {
  const room = current;
  emit("message", { room, data: { text } }, ({ ok, error }) => {
    if (!ok) add(room, note(`not sent: ${error}`, "wrong"));
    if (!ok) input.value ||= text;
  });
}

function received({ room, from, at, data }) {
  const text = data?.text ?? (typeof data === "string" ? data : JSON.stringify(data));
  const head = `${from === me ? "you" : from} · ${new Date(at).toLocaleTimeString()}`;
  if (room !== current && rooms.has(room)) rooms.get(room).unread += 1;
  add(room, element("li", from === me ? "mine" : "", element("small", "", head), element("p", "", text)));
}

function add(name, line) {
  const log = rooms.get(name)?.log; // none: we left meanwhile
  log?.append(line);
  if (log?.childElementCount > KEPT_MESSAGES_MAX) log.firstChild.remove();
  show();
}

function pick(room) {
  current = room;
  if (room !== null) rooms.get(room).unread = 0;
  $("log").replaceChildren(rooms.get(room)?.log ?? element("ol", "", note("you are in no room")));
  show();
}

function element(tag, className = "", ...content) {
  const made = Object.assign(document.createElement(tag), { className });
  made.append(...content); // as text, never as HTML
  return made;
}
const note = (text, kind = "") => element("li", `note ${kind}`, text);

function button(text, onclick, attribute, value) {
  const made = Object.assign(element("button", "", text), { onclick, type: "button" });
  made.setAttribute(attribute, value);
  return made;
}

function show() {
  $("log").scrollTop = $("log").scrollHeight;
  $("rooms").replaceChildren(...[...rooms].map(([name, { unread }]) => {
    const choose = button(unread ? `${name} (${unread})` : name, () => pick(name), "aria-pressed", name === current);
    const close = button("×", () => leave(name), "aria-label", `Leave ${name}`);
    return element("li", name === current ? "current" : "", choose, close);
  }));
}

function onSubmit(form, input, act) {
  $(form).onsubmit = (event) => {
    event.preventDefault();
    act($(input).value, $(input));
    $(input).value = "";
  };
}

onSubmit("join-form", "join-room", (room) => join(room));
onSubmit("send-form", "message", send);
connect();
