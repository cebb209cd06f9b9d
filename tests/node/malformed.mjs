// What a client may say and the stock server must refuse: [event, ...arguments].

const json = JSON.parse; // an object literal with the key __proto__ would set the prototype instead

const notRooms = [
  [],
  [null],
  [undefined],
  [true],
  [0],
  [-1.5],
  [""],
  ["x".repeat(257)],
  ["é".repeat(129)],
  ["x".repeat(50_000)],
  [{}],
  [{ room: "a" }],
  [json('{"__proto__":"a"}')],
  [[]],
  [["a"]],
  [Buffer.from("a")],
  [new Uint8Array(1000)],
];

const notMessages = [
  [],
  [null],
  ["a"],
  [7],
  [false],
  [[]],
  [["a", "data"]],
  [{}],
  [{ room: "a" }],
  [{ data: 1 }],
  [{ room: "a", data: undefined }],
  [{ room: undefined, data: 1 }],
  [{ Room: "a", Data: 1 }],
  [{ room: "a", data: "half of a pair: \ud83d" }],
  [Buffer.from('{"room":"a","data":1}')],
  [json('{"__proto__":{"room":"a","data":1}}')],
  [json('{"constructor":{"prototype":{"room":"a","data":1}}}')],
  [json('{"room":{"__proto__":"a"},"data":1}')],
  ...notRooms.filter((parts) => parts.length > 0).map(([room]) => [{ room, data: 1 }]),
];

const unknownEvents = [
  "",
  "Join",
  "join ",
  "welcome",
  "messages",
  "__proto__",
  "constructor",
  "toString",
  "hasOwnProperty",
  "💥",
  "x".repeat(10_000),
];

export const malformed = [
  ...notRooms.flatMap((parts) => [["join", ...parts], ["leave", ...parts]]),
  ...notMessages.map((parts) => ["message", ...parts]),
  ...unknownEvents.flatMap((event) => [[event], [event, "a"], [event, { room: "a", data: 1 }, Buffer.from("b")]]),
];

// Strings that are like nothing special in a room's name, as data or as a key in it.
export const peculiar = ["__proto__", "constructor", "toString", "hasOwnProperty", " ", "0", "ös 🐂", "a\u0000b", '"]'];
