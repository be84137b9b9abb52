// Writes the golden tables beside this file, using the real NestJS and kafkajs:
//
//   node make_tables.mjs <a node_modules with @nestjs/microservices and kafkajs>
//
// The path may also come from NODE_PATH. In the tables, what JSON cannot say is tagged:
// {"$bytes": hex}, {"$float": text}, {"$date": milliseconds}.

import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const modules = path.resolve(process.argv[2] ?? process.env.NODE_PATH ?? "node_modules");
const require = createRequire(path.join(modules, "here.js"));
require("reflect-metadata");
const nest = (file) => import(pathToFileURL(path.join(modules, "@nestjs/microservices", file)));
const { KafkaRequestSerializer } = await nest("serializers/kafka-request.serializer.js");
const { KafkaParser } = await nest("helpers/kafka-parser.js");
const { transformPatternToRoute } = await nest("utils/transform-pattern.utils.js");
const { Partitioners } = require("kafkajs");
const version = (name) =>
  JSON.parse(readFileSync(path.join(modules, name, "package.json"), "utf8")).version;

const madeWith = {
  "@nestjs/microservices": version("@nestjs/microservices"),
  kafkajs: version("kafkajs"),
};

function untag(value) {
  if (Array.isArray(value)) return value.map(untag);
  if (value === null || typeof value !== "object") return value;
  if ("$bytes" in value) return Buffer.from(value.$bytes, "hex");
  if ("$float" in value) return Number(value.$float);
  if ("$date" in value) return new Date(value.$date);
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, untag(item)]));
}

function tag(value) {
  if (Buffer.isBuffer(value)) return { $bytes: value.toString("hex") };
  if (Array.isArray(value)) return value.map(tag);
  if (typeof value === "number" && !Number.isInteger(value)) return { $float: String(value) };
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, tag(item)]));
}

const hex = (encoded) => (encoded === null || encoded === undefined ? null : Buffer.from(encoded).toString("hex"));

function write(name, rows) {
  const lines = rows.map((row) => "    " + JSON.stringify(row)).join(",\n");
  const head = JSON.stringify(madeWith);
  writeFileSync(
    fileURLToPath(new URL(name, import.meta.url)),
    `{\n  "made_with": ${head},\n  "rows": [\n${lines}\n  ]\n}\n`,
  );
}

const float = (text) => ({ $float: text });
const bytes = (text) => ({ $bytes: text });

// ------------------------------------------------------------------ payload -> bytes
const payloads = [
  null, "", "plain text", "ünïcödé €", "日本語", "🐉", '"quoted"', "{not json", "123", "true", "\u0000nul",
  0, 1, -1, 5, 123456789, 9007199254740991, -9007199254740991,
  ...["1.0", "-1.0", "0.0", "-0.0", "1.5", "0.1", "100.0", "1e16", "123456789012345680000", "1e20", "1e21",
    "1.5e300", "1e-5", "1e-6", "1e-7", "1.5e-7", "5e-324", "NaN", "Infinity", "-Infinity"].map(float),
  true, false,
  bytes(""), bytes("00"), bytes("00ff41"), bytes("fffe"), bytes("7b7d"),
  {}, [], [[]], [{}], { a: 1 }, { b: 1, a: 2 }, { "": "" }, { " ": " " },
  [1, "a", null, true, false, { x: [] }],
  { nested: { deeper: { deepest: [1, [2, [3]]] } } },
  { text: "ünïcödé € 日本語 🐉" }, { "ключ": "значение" },
  { controls: "\b\t\n\f\r\u0000\u0001\u001f\u007f\u0080" }, { quotes: "\"'\\/" },
  { separators: "\u2028\u2029" }, { lone: "a\ud800b" }, { lone: "\udfff" }, { "\udc00": 1 },
  ["\ud83d", "\udc09", "\ud83d\udc09"],
  { floats: ["1.0", "-2.0", "0.0", "-0.0", "1.5", "100.0", "1e15", "1e16", "1.2345678901234567e20", "1e21", "1e22",
    "1e-4", "1e-5", "1e-6", "1e-7", "1.7976931348623157e308", "5e-324", "NaN", "Infinity", "-Infinity"].map(float) },
  [float("1.0")], [float("1e-7"), "1.0", "e-7", "1e-7,"], { a: "1.0,2.0", b: float("2.0") },
  { a: 'quote " and 1.0,', b: float("2.0") }, { "1.0": float("1.0") }, { "1e-7": "x" }, { version: "1.0" },
  { uuid: "0a1b2c3e-1234-4e-12-9e-10", b: [float("3.0")] }, { a: "NaN", b: "Infinity", c: "-0.0" },
  { when: { $date: 0 }, then: { $date: 1700000000123 } }, [{ $date: -1 }],
  { raw: bytes("000102ff") }, [bytes("")],
  { headers: { a: "b" } }, { topic: "x" },
  { value: 1 }, { value: null }, { value: "text" }, { value: { a: float("1.0") } }, { value: bytes("00ff") },
  { key: "k" }, { key: "k", value: { a: 1 } }, { key: 5, value: "v" }, { key: float("1.0"), value: "v" },
  { key: { id: 1 }, value: "v" }, { key: [1, 2], value: [] }, { key: "", value: "" }, { key: null, value: 1 },
  { key: bytes("00ff"), value: true }, { key: true, value: false }, { key: "k", value: "v", headers: { h: "x" } },
  { value: { value: 1, key: 2 } },
];
write("serializer.json", payloads.map((payload) => {
  const message = new KafkaRequestSerializer().serialize(untag(payload));
  return { payload, value: hex(message.value), key: hex(message.key) };
}));

// ------------------------------------------------------------------ numbers
// xorshift, so that the same bit patterns come out each time
let state = 0x9e3779b97f4a7c15n;
const next = () => {
  state ^= (state << 13n) & 0xffffffffffffffffn;
  state ^= state >> 7n;
  state ^= (state << 17n) & 0xffffffffffffffffn;
  return state;
};
const numbers = [];
while (numbers.length < 400) {
  const raw = Buffer.alloc(8);
  if (numbers.length % 2) raw.writeBigUInt64BE(next());
  else raw.writeDoubleBE(Number(next() % 10000000000000n) / 10 ** (numbers.length % 30));
  const number = raw.readDoubleBE();
  if (!Number.isNaN(number)) numbers.push({ double: raw.toString("hex"), text: String(number) });
}
write("numbers.json", numbers);

// ------------------------------------------------------------------ bytes -> payload
const text = (characters) => Buffer.from(characters).toString("hex");
const bodies = [
  null, "", ...["plain", "123", "true", "null", '"text"', "12345678901234567890", "ünïcödé", "🐉"].map(text),
  ...['{"a":1}', '{"a":1}  ', '{"a":1}\n\t\r ', ' {"a":1}', '\ufeff{"a":1}', '{"a":1}\u00a0', "{}", "[]", "[1,2", "{bad",
    '{"a":NaN}', '{"a":Infinity}', "[-Infinity]", "{}{}", "[1]x", '{"a":1,}', "{'a':1}", "[01]", "[1.]", "[.5]", "[+1]", "[-]",
    '["\t"]', '["\\x"]', '["\\ud800"]', '["\\ud83d\\udc09"]', '["\\u12"]', '{"a":1,"a":2}', "[1.5,-2e3,1e400]", "[1e2]", "[0]",
    '{"a":{"b":[1,null,true,false,"x"]}}', "[tru]", "[nul]", "[true]", '{"ü":"€"}', "[//c\n1]", '{"__proto__":1}', "[[[[]]]]",
    '{"n":9007199254740991}', '{"text":"5"}'].map(text),
  "00", "0061", "007b7d", "fffe41", "7b2261223aff7d", "7b2261223a22ff227d", "c3", "61ff", "e282", "f09f9089", "20",
];
const parser = new KafkaParser();
const parse = (body) => tag(parser.decode(body === null ? null : Buffer.from(body, "hex")));
const headerRows = [
  [["a", text("x")]], [["a", text("x")], ["a", text("y")]], [["a", text("x")], ["b", text("z")], ["a", text("y")]],
  [["a", null]], [["a", text("")]], [["a", text("x")], ["a", null]], [["a", null], ["a", null]],
  [["a", text('{"n":1}')]], [["a", text("[1")], ["a", text("2]")]], [["a", text("[1]")], ["a", text("[2]")]],
  [["a", "00ff"]], [["a", "00"], ["a", text("x")]], [["a", "ff"]], [["a", "ff"], ["a", "fe"]], [["a", text("5")]], [],
];
const parseHeaders = (pairs) => {
  const headers = {}; // a name that repeats is an array, as kafkajs decodes it
  for (const [name, value] of pairs) {
    const raw = value === null ? null : Buffer.from(value, "hex");
    headers[name] = name in headers ? [].concat(headers[name], [raw]) : raw;
  }
  return tag(parser.parse({ value: null, headers }).headers);
};
write("parser.json", [
  ...bodies.map((body) => ({ body, parsed: parse(body) })),
  ...headerRows.map((pairs) => ({ headers: pairs, parsed: parseHeaders(pairs) })),
]);

// ------------------------------------------------------------------ keys -> partitions
const keys = [
  "", "a", "ab", "abc", "abcd", "abcde", "hero-1", "hero-2", "21", "foobar", "a-little-bit-long-string", "ünïcödé", "日本語", "🐉",
  "00000000-0000-4000-8000-000000000001", "x".repeat(31), "x".repeat(32), "x".repeat(33), "long ".repeat(200), " ", "{", "{\"a\":1}",
  0, 1, -1, 42, 123456789, 9007199254740991, float("1.5"), float("1.0"), float("1e21"), true, false,
  bytes(""), bytes("00"), bytes("ff"), bytes("00ff"), bytes("ffffffff"), bytes("80808080"), bytes("000102030405060708090a0b0c0d0e0f"),
  bytes("ff".repeat(13)), { id: 1 }, { id: 1, realm: "Nest" }, { realm: "Nest", id: 1 }, { "имя": "Ünï" }, { weight: float("2.0") }, [], [1, 2], {},
];
const counts = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 50];
const partition = Partitioners.DefaultPartitioner();
write("partitions.json", keys.map((key) => {
  const message = new KafkaRequestSerializer().serialize({ key: untag(key), value: "v" });
  const partitions = counts.map((count) => {
    const partitionMetadata = Array.from({ length: count }, (_, partitionId) => ({ partitionId, leader: 0 }));
    return partition({ topic: "t", partitionMetadata, message });
  });
  return { key, encoded: hex(message.key), counts, partitions };
}));

// ------------------------------------------------------------------ patterns -> topics
const letters = "abcdefghij";
const printable = Array.from({ length: 94 }, (_, index) => String.fromCharCode(33 + index));
const patterns = [
  "hero.kill.dragon", "", " ", 5, -5, 0, {}, [], ["a", "b"], { cmd: "x" }, { cmd: 1 }, { b: 1, a: 2 }, { B: 1, a: 2, A: 3, b: 4 },
  { a: { c: 1, b: "x" } }, { a: null, b: true, c: false }, { a: [1, { b: 2 }] }, { 'q"uote': 'back\\slash "x"' }, { "10": 1, "9": 2, a1: 3, a10: 4, a2: 5 },
  { a: { b: { c: { d: { e: { f: "deep" } } } } } }, { a: { b: { c: { d: { e: { f: { g: "too deep" } } } } } } },
  Object.fromEntries(Array.from({ length: 20 }, (_, index) => [letters[index % 10] + index, index])),
  Object.fromEntries(Array.from({ length: 21 }, (_, index) => [letters[index % 10] + index, index])),
  { ab: 1, aB: 2, Ab: 3, AB: 4, a_b: 5, "a-b": 6, "a.b": 7, a: 8, b: 9 },
  ...[0, 19, 38, 57, 76].map((start) => Object.fromEntries(printable.slice(start, start + 19).map((name) => [name, 1]))),
];
write("patterns.json", patterns.map((pattern) => ({ pattern, topic: transformPatternToRoute(pattern) })));

// ------------------------------------------------------------------ the reply assignor's bytes
const { KafkaReplyPartitionAssigner } = await nest("helpers/kafka-reply-partition-assigner.js");
const { AssignerProtocol } = require("kafkajs");
const claims = [
  { topics: ["t.reply"], previous_assignment: {} },
  { topics: ["t.reply"], previous_assignment: { "t.reply": 0 } },
  { topics: ["ra.reply", "rb.reply"], previous_assignment: { "ra.reply": 3, "rb.reply": 12 } },
];
const assignments = [{ "t.reply": [0, 2] }, { "ra.reply": [1], "rb.reply": [] }, {}];
write("reply_assignor.json", [
  ...claims.map((claim) => {
    const client = { getConsumerAssignments: () => claim.previous_assignment };
    const assigner = new KafkaReplyPartitionAssigner(client, { cluster: {} });
    const { name, metadata } = assigner.protocol({ topics: claim.topics });
    return { name, ...claim, metadata: hex(metadata) };
  }),
  ...assignments.map((assignment) => ({
    assignment,
    encoded: hex(AssignerProtocol.MemberAssignment.encode({ version: 1, assignment })),
  })),
]);
