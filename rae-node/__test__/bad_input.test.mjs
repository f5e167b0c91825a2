// Bad input: one clear typed error, or a sensible answer, and nothing half-written. Never a throw in place of a rejection.
import assert from "node:assert/strict";
import { test } from "node:test";
import { InvalidInputError, open } from "../index.mjs";
import { NOWHERE, complete, opened, refused } from "./helpers.mjs";

const MIB = 1 << 20;
class Custom {
  constructor(fields) {
    Object.assign(this, fields);
  }
}

// Everything that is not what it should be.
const junk = {
  undefined: undefined,
  null: null,
  true: true,
  zero: 0,
  fraction: 1.5,
  NaN: NaN,
  Infinity: Infinity,
  bigint: 10n,
  empty: "",
  text: "text",
  surrogate: "\ud800",
  symbol: Symbol("s"),
  function: () => 1,
  class: Custom,
  array: [],
  "array of null": [null],
  holes: new Array(3),
  "array of arrays": [["a"]],
  object: {},
  instance: new Custom({ content: "x" }),
  "without prototype": Object.create(null),
  Map: new Map([["content", "x"]]),
  Set: new Set([1]),
  Date: new Date(0),
  "invalid Date": new Date(NaN),
  RegExp: /x/,
  Error: new Error("x"),
  Buffer: Buffer.from("x"),
  Float32Array: new Float32Array(2),
  ArrayBuffer: new ArrayBuffer(8),
  Promise: Promise.resolve("x"),
  boxed: new String("x"),
  URL: new URL("http://example.com/x"),
  proxy: new Proxy({}, {}),
  "odd constructor": { constructor: { name: Symbol("s") } },
  "throwing constructor": Object.create({ get constructor() { throw new Error("never seen"); } }),
};

/** The call may succeed or be InvalidInput (or one of the other kinds), but nothing else may happen. */
async function tried(call, name, ...kinds) {
  let promise;
  assert.doesNotThrow(() => (promise = call()), name);
  assert.ok(promise instanceof Promise, name);
  const error = await promise.then(() => undefined, (e) => e ?? new Error("rejected with nothing"));
  if (error === undefined) return "fine";
  complete(error, kinds.includes(error.kind) ? error.kind : "invalid_input");
  return error.kind;
}

test("anything at all in any place is InvalidInput or a sensible answer", async (t) => {
  const fields = {
    remember: "kind layer role speaker sessionId agentId userId occurredAt tags metadata importance confidence ttl source trustLevel infoClass validFrom validTo infer idempotencyKey signal",
    recall: "k layers kinds tags tagsAny filter since until asOf knownAt sessionId agentId userId minScore maxTokens rerank explain signal",
    context: "sessionId maxTokens agentId userId layers tags filter minScore signal",
    list: "limit cursor layer tags filter signal",
    relate: "weight confidence validFrom validTo sourceId signal",
    relations: "subject relation object limit cursor signal",
    update: "content kind layer role speaker occurredAt tags metadata importance confidence ttl source trustLevel infoClass validFrom validTo supersededBy expectedVersion",
  };
  const seen = { fine: 0, invalid_input: 0, not_found: 0 };
  for (const [name, value] of Object.entries(junk)) {
    const mem = await opened(t);
    const { id } = await mem.remember("A first memory.");
    const calls = {};
    for (const field of fields.remember.split(" ")) {
      calls[`remember ${field}`] = () => mem.remember("x", { [field]: value });
      if (field !== "signal") calls[`item ${field}`] = () => mem.rememberMany([{ content: "x", [field]: value }]);
    }
    for (const field of fields.recall.split(" ")) calls[`recall ${field}`] = () => mem.recall("x", { [field]: value });
    for (const field of fields.context.split(" ")) calls[`context ${field}`] = () => mem.context("x", { [field]: value });
    for (const field of fields.list.split(" ")) calls[`list ${field}`] = () => mem.list({ [field]: value });
    for (const field of fields.relate.split(" ")) calls[`relate ${field}`] = () => mem.relate("a", "b", "c", { [field]: value });
    for (const field of fields.relations.split(" ")) calls[`relations ${field}`] = () => mem.relations({ [field]: value });
    for (const field of fields.update.split(" ")) calls[`update ${field}`] = () => mem.update(id, { [field]: value });
    for (const operator of ["eq", "ne", "in", "nin", "gt", "gte", "lt", "lte", "contains", "like"]) {
      for (const field of ["speaker", "importance", "createdAt", "tags", "metadata.a"]) {
        calls[`filter ${field} ${operator}`] = () => mem.list({ filter: { [field]: { [operator]: value } } });
      }
    }
    for (const node of ["and", "or", "not", "speaker", "importance", "createdAt", "metadata.a", "metadata."]) {
      calls[`filter ${node}`] = () => mem.list({ filter: { [node]: value } });
      calls[`filter and ${node}`] = () => mem.list({ filter: { and: [{ [node]: value }, value] } });
    }
    Object.assign(calls, {
      "remember content": () => mem.remember(value),
      "relate subject": () => mem.relate(value, "b", "c"),
      "relate relation": () => mem.relate("a", value, "c"),
      "relate object": () => mem.relate("a", "b", value),
      "relate options": () => mem.relate("a", "b", "c", value),
      "relations options": () => mem.relations(value),
      "remember options": () => mem.remember("x", value),
      items: () => mem.rememberMany(value),
      item: () => mem.rememberMany([value]),
      "item content": () => mem.rememberMany([{ content: value }]),
      "items options": () => mem.rememberMany([], value),
      metadata: () => mem.remember("x", { metadata: { a: { b: [value] } } }),
      tag: () => mem.remember("x", { tags: [value] }),
      recall: () => mem.recall(value),
      "recall options": () => mem.recall("x", value),
      context: () => mem.context(value),
      "context options": () => mem.context("x", value),
      get: () => mem.get(value),
      "get options": () => mem.get(id, value),
      list: () => mem.list(value),
      update: () => mem.update(value, { content: "x" }),
      "update fields": () => mem.update(id, value),
      "update options": () => mem.update(id, { content: "A second wording." }, value),
      history: () => mem.history(value),
      "history options": () => mem.history(id, value),
      "forget filter": () => mem.forget({ filter: value }),
      "forget scope": () => mem.forget({ scope: value, target: "x" }),
      "forget target": () => mem.forget({ scope: "session", target: value }),
      "forget options": () => mem.forget(NOWHERE, value),
      "feedback id": () => mem.feedback(value, true),
      feedback: () => mem.feedback(id, value),
      "feedback options": () => mem.feedback(id, true, value),
      stats: () => mem.stats(value),
      maintain: () => mem.maintain(value),
      "maintain now": () => mem.maintain({ now: value }),
      doctor: () => mem.doctor(value),
      "export options": () => mem.export("/nowhere/at/all", value),
      "import options": () => mem.import("/nowhere/at/all", value),
      "backup options": () => mem.backup("/nowhere/at/all", value),
      "reembed options": () => mem.reembed(null, value),
      "open tenant": () => open(":memory:", { tenant: value }).then((m) => m.close()),
      "open project": () => open(":memory:", { project: value }).then((m) => m.close()),
      "open durability": () => open(":memory:", { durability: value }).then((m) => m.close()),
      "open reembed": () => open(":memory:", { reembed: value }).then((m) => m.close()),
      "open timeout": () => open(":memory:", { timeout: value }).then((m) => m.close()),
      "open options": () => open(":memory:", value).then((m) => m.close()),
    });
    // A text is a file's name, or a folder with a model.
    if (typeof value !== "string") {
      Object.assign(calls, {
        export: () => mem.export(value),
        import: () => mem.import(value),
        backup: () => mem.backup(value),
        open: () => open(value),
      });
      if (name !== "class" && name !== "function") {
        calls["open embedder"] = () => open(":memory:", { embedder: value }).then((m) => m.close());
        calls.reembed = () => mem.reembed(value);
      }
    }
    for (const [place, call] of Object.entries(calls)) seen[await tried(call, `${name} as ${place}`, "not_found")]++;
    assert.ok((await mem.stats()).memories >= 1);
    assert.deepEqual((await mem.doctor()).filter((f) => f.level !== "ok"), []);
    await mem.close();
  }
  t.diagnostic(JSON.stringify(seen));
  assert.ok(seen.invalid_input > 5_000 && seen.fine > 100, JSON.stringify(seen));
});

test("empty content is refused", async (t) => {
  const mem = await opened(t);
  for (const content of ["", " ", "\n\t\u2003 "]) {
    assert.equal((await refused(() => mem.remember(content), "content")).reason, "content_empty");
    assert.deepEqual((await refused(() => mem.rememberMany([{ content: "fine" }, { content }]), "item 1")).details, { item: 1 });
  }
  assert.equal((await mem.stats()).memories, 0);
});

test("content of one mebibyte is kept whole and more is refused", async (t) => {
  const mem = await opened(t);
  const text = `${"All work and no play makes Jack a dull boy. ".repeat(25_000).slice(0, MIB - 1)}.`;
  assert.equal(Buffer.byteLength(text), MIB);
  const { id } = await mem.remember(text);
  assert.equal((await mem.get(id)).content, text);
  assert.equal((await mem.recall("dull boy"))[0].content, text);
  for (const long of [`${text}x`, `${"é".repeat(MIB / 2)}x`, "a".repeat(100 * MIB)]) {
    assert.equal((await refused(() => mem.remember(long), "1 MiB")).reason, "content_too_long");
    assert.equal((await refused(() => mem.update(id, { content: long }), "1 MiB")).reason, "content_too_long");
    assert.deepEqual((await refused(() => mem.rememberMany([{ content: "ok" }, { content: long }]), "1 MiB", "item 1")).details, { item: 1 });
  }
  assert.equal((await mem.stats()).memories, 1);
});

test("text of any kind is kept and found", async (t) => {
  const texts = [
    "zero \0 byte", "smile 🙂 family 👩‍👩‍👧‍👦 flag 🇺🇦", "שלום עולם מימין לשמאל", "مرحبا بالعالم", "我昨天在北京吃了烤鸭", "東京タワーに登りました",
    "สวัสดีชาวโลก", "e\u0301clair\u200d\u202e reversed", "\x7f\x1b[31m control", "𝕬𝖗𝖙 \u{10ffff}", "🙂", "!?.,", "😀".repeat(1000),
    "a".repeat(10_000), "quote \" back \\ slash / line \u2028 \u2029 feed \f", "__proto__", "\ufeffmark \ufffe \uffff",
  ];
  for (const text of texts) {
    const mem = await opened(t);
    await mem.remember("Something else entirely, about boats.");
    const { id } = await mem.remember(text);
    assert.equal((await mem.get(id)).content, text);
    const query = [...text].slice(0, 1000).join("");
    const found = (await mem.recall(query)).map((hit) => hit.id);
    if (/[\p{L}\p{N}]/u.test(text)) assert.ok(found.includes(id), JSON.stringify(text.slice(0, 40)));
    assert.ok((await mem.context(query)).tokenCount >= 0);
    await mem.close();
  }
});

test("lone surrogates are refused wherever text goes", async (t) => {
  const mem = await opened(t);
  const { id } = await mem.remember("x");
  for (const text of ["\ud800", "tail \udfff", "\udc80byte", "a\ud83d"]) {
    for (const call of [
      () => mem.remember(text),
      () => mem.remember("x", { speaker: text }),
      () => mem.remember("x", { tags: [text] }),
      () => mem.remember("x", { metadata: { a: [text] } }),
      () => mem.remember("x", { metadata: { [text]: 1 } }),
      () => mem.remember("x", { occurredAt: text }),
      () => mem.remember("x", { kind: text }),
      () => mem.remember("x", { [text]: 1 }),
      () => mem.rememberMany([{ content: text }]),
      () => mem.rememberMany([{ content: "x", [text]: "x" }]),
      () => mem.recall(text),
      () => mem.recall("x", { filter: { speaker: text } }),
      () => mem.recall("x", { filter: { [text]: 1 } }),
      () => mem.recall("x", { filter: { [`metadata.${text}`]: 1 } }),
      () => mem.recall("x", { filter: { not: { speaker: { in: [text] } } } }),
      () => mem.context(text),
      () => mem.get(text),
      () => mem.history(text),
      () => mem.list({ cursor: text }),
      () => mem.update(id, { content: text }),
      () => mem.forget(text),
      () => mem.forget({ scope: "session", target: text }),
      () => mem.export(text),
      () => mem.backup(text),
      () => open(":memory:", { project: text }),
      () => open(":memory:", { embedder: text }),
      () => open(text),
    ]) {
      await refused(call);
    }
    assert.throws(() => mem.withScope({ tenant: text }), InvalidInputError);
  }
  assert.equal((await mem.stats()).memories, 1);
});

test("k out of range or of another type is refused", async (t) => {
  const mem = await opened(t);
  for (const k of [-1, 0, -0, 1001, 1e9, 1e30, -1e30, 2 ** 63, Number.MAX_SAFE_INTEGER, -Infinity, Infinity, NaN]) {
    assert.equal((await refused(() => mem.recall("x", { k }), "k must be")).reason, "invalid_k");
  }
  for (const k of [1.5, "3", true, 10n, [], {}, new Number(3)]) await refused(() => mem.recall("x", { k }), "k must be");
});

test("limits, budgets and parts of one out of range are refused", async (t) => {
  const mem = await opened(t);
  for (const n of [-1, 0, 1e9, 1e30, 1.5, NaN, "5", true]) {
    await refused(() => mem.list({ limit: n }), "limit");
    await refused(() => mem.context("x", { maxTokens: n }), "max");
    await refused(() => mem.recall("x", { maxTokens: n }), "max");
  }
  for (const n of [-0.1, 1.1, NaN, Infinity, "1", true, 1n]) {
    await refused(() => mem.recall("x", { minScore: n }));
    await refused(() => mem.remember("x", { importance: n }), "importance");
    await refused(() => mem.remember("x", { confidence: n }), "confidence");
  }
  for (const ttl of [0, -1, 1e12, 1e300, NaN, Infinity, "60", true]) await refused(() => mem.remember("x", { ttl }), "ttl");
  for (const timeout of [0, -1, NaN, Infinity, "1", true]) await refused(() => open(":memory:", { timeout }), "timeout");
});

test("names are bounded and not empty", async (t) => {
  const mem = await opened(t);
  for (const field of ["speaker", "sessionId", "role", "source", "agentId", "userId", "idempotencyKey"]) {
    for (const value of ["", "  ", "x".repeat(257), "new\nline", "nul\0"]) {
      await refused(() => mem.remember("x", { [field]: value }));
      assert.deepEqual((await refused(() => mem.rememberMany([{ content: "ok" }, { content: "x", [field]: value }]))).details, { item: 1 });
    }
  }
  for (const name of ["", "x".repeat(257), "a\0b"]) {
    await refused(() => open(":memory:", { tenant: name }), "tenant");
    assert.throws(() => mem.withScope({ project: name }), (error) => (complete(error, "invalid_input", "project"), true));
  }
  for (const scope of [5, "x", [], { tenants: "x" }, { tenant: 5 }, new Custom({ tenant: "x" })]) {
    assert.throws(() => mem.withScope(scope), (error) => (complete(error, "invalid_input"), true));
  }
  assert.equal((await mem.stats()).memories, 0);
});

test("lists are bounded lists of text, wherever they end", async (t) => {
  const mem = await opened(t);
  const cycle = [];
  cycle.push(cycle);
  let deep = [];
  for (let i = 0; i < 100_000; i++) deep = [deep];
  const endless = function* () {
    for (;;) yield "x";
  };
  for (const tags of ["pets", Buffer.from("pets"), { a: 1 }, 5, [1], [null], [undefined], new Array(2), [["a"]], ["x".repeat(129)], [""], cycle, deep, new Set([1]), new Map([["a", "b"]])]) {
    await refused(() => mem.remember("x", { tags }));
    await refused(() => mem.recall("x", { tags }));
    await refused(() => mem.list({ tags }));
    assert.deepEqual((await refused(() => mem.rememberMany([{ content: "x" }, { content: "x", tags }]), "item 1")).details, { item: 1 });
  }
  await refused(() => mem.remember("x", { tags: Array.from({ length: 65 }, (_, i) => `${i}`) }), "64");
  for (const field of ["tags", "tagsAny", "layers", "kinds"]) await refused(() => mem.recall("x", { [field]: endless() }), field);
  await refused(() => mem.recall("x", { layers: ["nowhere"] }), "layer");
  await refused(() => mem.recall("x", { kinds: ["note"] }), "kind must be one of");
});

test("metadata is a bounded JSON object, and nothing that JSON cannot say is dropped", async (t) => {
  const mem = await opened(t);
  const cycle = {};
  cycle.again = cycle;
  const ring = { list: [] };
  ring.list.push(ring);
  let deep = "bottom";
  for (let i = 0; i < 100_000; i++) deep = [deep];
  // Small in memory, 10^16 leaves as JSON.
  let wide = "leaf";
  for (let i = 0; i < 16; i++) wide = new Array(10).fill(wide);
  const sparse = [];
  sparse[2 ** 32 - 2] = 1;
  const wrong = [
    [], "text", 1, true, new Map(), new Custom({ a: 1 }), new Date(), () => 1,
    { a: new Set([1]) }, { a: new Map() }, { a: new Date() }, { a: Buffer.from("x") }, { a: new Custom() }, { a: new String("x") },
    { a: NaN }, { a: [Infinity] }, { a: -Infinity }, { a: 1n }, { a: Symbol("s") }, { a: () => 1 }, { a: [undefined] }, { a: new Array(3) }, { a: sparse },
    { a: { toJSON: () => "x" } }, { a: { b: { c: deep } } }, { a: wide }, { a: "x".repeat(70_000) }, { ["x".repeat(70_000)]: 1 },
    cycle, ring, { a: new Proxy([], { get: (_, key) => (key === "length" ? 1e9 : "x") }) },
    Object.fromEntries(Array.from({ length: 100_000 }, (_, i) => [`key ${i}`, i])),
  ];
  for (const metadata of wrong) {
    await refused(() => mem.remember("x", { metadata }), "metadata");
    assert.deepEqual((await refused(() => mem.rememberMany([{ content: "x", metadata }]), "metadata")).details, { item: 0 });
  }
  const nested = (levels) => (levels === 1 ? {} : { down: nested(levels - 1) });
  assert.deepEqual((await mem.get((await mem.remember("deep", { metadata: nested(16) })).id)).metadata, nested(16));
  await refused(() => mem.remember("deeper", { metadata: nested(17) }), "metadata");
  assert.equal((await mem.stats()).memories, 1);
});

test("times out of range or shape are refused", async (t) => {
  const mem = await opened(t);
  const wrong = [
    "yesterday", "", "2023-02-30", "2023-13-01T00:00:00Z", "10000-01-01T00:00:00Z", "-000001-01-01T00:00:00Z", "0000-12-31", "1700000000",
    1_700_000_000, 1.5, true, {}, new Date(NaN), new Date(8.64e15), new Date(-8.64e15), new Date("+010000-01-01T00:00:00Z"), Date,
  ];
  for (const time of wrong) {
    for (const field of ["occurredAt", "validFrom", "validTo"]) await refused(() => mem.remember("x", { [field]: time }));
    for (const field of ["since", "until", "asOf", "knownAt"]) await refused(() => mem.recall("x", { [field]: time }));
    await refused(() => mem.maintain({ now: time }));
    if (!/^-|^0000/.test(time)) await refused(() => mem.list({ filter: { createdAt: { gt: time } } }));
  }
  await refused(() => mem.remember("x", { validFrom: "2024-01-02", validTo: "2024-01-01" }));
  await refused(() => mem.recall("x", { since: new Date("2024-01-02"), until: new Date("2024-01-01") }), "until");
});

test("filters of the wrong shape are refused", async (t) => {
  const mem = await opened(t);
  await mem.remember("x");
  const cycle = {};
  cycle.not = cycle;
  const wideCycle = { and: [] };
  for (let i = 0; i < 20; i++) wideCycle.and.push(wideCycle);
  let deep = { speaker: "x" };
  for (let i = 0; i < 50_000; i++) deep = { not: deep };
  const endless = function* () {
    for (;;) yield "x";
  };
  const wrong = [
    [], "speaker", 1, true, { unknown: 1 }, { speaker: { like: "x" } }, { speaker: {} }, { speaker: 1 }, { speaker: ["a"] }, { speaker: { in: "a" } },
    { importance: "high" }, { importance: { gt: NaN } }, { createdAt: "soon" }, { createdAt: 5 }, { and: [] }, { or: {} }, { not: [] }, { and: [1] },
    { "metadata.": 1 }, { "metadata.a": { eq: new Custom() } }, { "metadata.a": 1n }, { "metadata.a": () => 1 }, { "metadata.a": new Date(NaN) },
    { sessionId: { in: Array.from({ length: 65 }, (_, i) => `${i}`) } }, { and: new Array(5) }, { and: new Array(2 ** 30) },
    cycle, wideCycle, deep, { "metadata.a": "x".repeat(10_000_000) }, new Map([["speaker", "x"]]), new Custom({ speaker: "x" }),
  ];
  for (const filter of wrong) {
    await refused(() => mem.recall("x", { filter }));
    await refused(() => mem.list({ filter }));
    await refused(() => mem.forget({ filter }));
  }
  await refused(() => mem.list({ filter: { sessionId: { in: endless() } } }), "filter");
  await refused(() => mem.forget({ filter: {} }), "filter");
  assert.equal((await mem.stats()).memories, 1);
});

test("queries are bounded text", async (t) => {
  const mem = await opened(t);
  for (const query of ["", "  ", "x".repeat(70_000), "é".repeat(33_000), "a".repeat(100 * MIB)]) {
    await refused(() => mem.recall(query), "query");
    await refused(() => mem.context(query), "query");
  }
  for (const query of [undefined, null, 1, Buffer.from("x"), ["x"], {}]) await refused(() => mem.recall(query), "query");
  await refused(() => mem.context());
  await refused(() => mem.context({}));
  assert.equal((await mem.recall("nothing is here")).length, 0);
});

test("ids that are none are refused", async (t) => {
  const mem = await opened(t);
  for (const id of ["", "nope", "0190a0a0", `${NOWHERE}0`, "x".repeat(MIB), "\0", null, undefined, 5, ["x"], {}]) {
    for (const call of [() => mem.get(id), () => mem.history(id), () => mem.update(id, { content: "x" }), () => mem.feedback(id, true)]) await refused(call, "id");
    if (typeof id === "string") await refused(() => mem.forget(id), "id");
    else await refused(() => mem.forget(id));
  }
  for (const useful of [1, undefined, null, "yes"]) await refused(() => mem.feedback(NOWHERE, useful), "useful");
  await refused(() => mem.list({ cursor: "next" }), "cursor");
  await refused(() => mem.update(NOWHERE, { content: "x", supersededBy: "nope" }), "id");
  for (const expectedVersion of [0, -1, 2 ** 32, 1.5, true, "1"]) await refused(() => mem.update(NOWHERE, { content: "x", expectedVersion }));
  const { id } = await mem.remember("x");
  for (const fields of [undefined, null, {}, { content: undefined }, { expectedVersion: 1 }]) await refused(() => mem.update(id, fields));
  for (const field of ["content", "kind", "layer", "importance", "confidence", "infoClass"]) await refused(() => mem.update(NOWHERE, { [field]: null }));
});

test("what does not exist is NotFound, and forgetting it is no error", async (t) => {
  const mem = await opened(t);
  for (const call of [() => mem.get(NOWHERE), () => mem.history(NOWHERE), () => mem.update(NOWHERE, { content: "x" }), () => mem.feedback(NOWHERE, true)]) {
    const error = await call().then(assert.fail, (e) => e);
    complete(error, "not_found", NOWHERE);
    assert.equal(error.code, "NOT_FOUND");
    assert.equal(error.constructor.name, "NotFoundError");
  }
  assert.equal((await mem.forget(NOWHERE)).deleted, 0);
});

test("forget takes exactly one way", async (t) => {
  const mem = await opened(t);
  const { id } = await mem.remember("x");
  const wrong = [undefined, null, {}, { filter: {} }, { scope: "project" }, { target: "default" }, { scope: "planet", target: "earth" },
    { scope: "tenant", target: "other" }, { filter: { kind: "text" }, scope: "project", target: "default" }, { id, scope: "session", target: "s" }, { id: 5 }, 5, [id], new Custom({ scope: "project", target: "default" })];
  for (const what of wrong) await refused(() => mem.forget(what));
  assert.equal((await mem.stats()).memories, 1);
});

test("items that are no memories are refused whole", async (t) => {
  const mem = await opened(t);
  const endless = function* () {
    for (;;) yield { content: "ok" };
  };
  const ok = { content: "ok" };
  for (const [items, word] of [
    ["text", "items"], [ok, "items"], [5, "items"], [null, "items"], [undefined, "items"], [Promise.resolve([ok]), "items"],
    [[ok, "text"], "item 1"], [[ok, null], "item 1"], [[ok, undefined], "item 1"], [[ok, , ok], "item 1"], [[ok, ["content", "x"]], "item 1"],
    [[ok, {}], "content is missing"], [[ok, { content: null }], "content is missing"], [[ok, { content: undefined }], "content is missing"],
    [[ok, { content: "x", contents: 1 }], '"contents"'], [[ok, { content: "x", session_id: "s" }], "it is called sessionId"],
    [[ok, { content: "x", signal: null }], '"signal"'], [[ok, new Custom(ok)], "item 1"], [[ok, new Map([["content", "x"]])], "item 1"],
    [new Array(100_001).fill(ok), "100000"], [endless(), "100000"], [Buffer.from("x"), "item 0"],
  ]) {
    const error = await refused(() => mem.rememberMany(items), word);
    if (/item 1|missing|"/.test(word)) assert.deepEqual(error.details, { item: 1 }, word);
  }
  assert.equal((await mem.stats()).memories, 0);
});

test("unknown options are refused by every verb, and the right name is said", async (t) => {
  const mem = await opened(t);
  const { id } = await mem.remember("x");
  const calls = {
    remember: (o) => mem.remember("x", o), rememberMany: (o) => mem.rememberMany([], o), recall: (o) => mem.recall("x", o), context: (o) => mem.context("x", o),
    get: (o) => mem.get(id, o), list: (o) => mem.list(o), update: (o) => mem.update(id, { speaker: "x" }, o), history: (o) => mem.history(id, o),
    forget: (o) => mem.forget(NOWHERE, o), "forget filter": (o) => mem.forget({ filter: { speaker: "x" }, ...o }), feedback: (o) => mem.feedback(id, true, o),
    stats: (o) => mem.stats(o), export: (o) => mem.export("/nowhere/x", o), import: (o) => mem.import("/nowhere/x", o), reembed: (o) => mem.reembed(null, o),
    maintain: (o) => mem.maintain(o), doctor: (o) => mem.doctor(o), backup: (o) => mem.backup("/nowhere/x", o), open: (o) => open(":memory:", o),
  };
  for (const [name, call] of Object.entries(calls)) {
    for (const key of ["unknown", "session_ids", "timeoutMs", "Signal", "constructor"]) {
      assert.equal((await refused(() => call({ [key]: undefined }), `"${key}"`)).reason, "unknown_field", `${name} ${key}`);
    }
    if (name !== "open") await refused(() => call({ signal: "now" }), "signal must be an AbortSignal");
  }
  await refused(() => mem.remember("x", { session_id: "s" }), "it is called sessionId");
  await refused(() => mem.recall("x", { max_tokens: 5 }), "it is called maxTokens");
  await refused(() => mem.remember("x", { content: "another" }), '"content"');
  await refused(() => open(":memory:", { signal: new AbortController().signal }), '"signal"');
  const long = await refused(() => mem.recall("x", { ["k".repeat(100_000)]: 1 }));
  assert.ok(long.message.length < 1_000);
});

test("options of a class are refused; of another realm and without a prototype they are fine", async (t) => {
  const { runInNewContext } = await import("node:vm");
  const mem = await opened(t);
  await refused(() => mem.remember("x", new Custom({ speaker: "Ada" })), "Custom");
  await refused(() => mem.remember("x", Object.create({ speaker: "Ada" })));
  for (const options of [runInNewContext('({ speaker: "Ada", tags: ["t"], metadata: { a: [1] } })'), Object.assign(Object.create(null), { speaker: "Ada" })]) {
    assert.equal((await mem.get((await mem.remember("x", options)).id)).speaker, "Ada");
  }
});

test("what somebody left on Object.prototype is nobody's option", async (t) => {
  const polluted = { signal: "x", embedder: 5, tenant: "evil", content: "evil", speaker: "evil", tags: ["evil"], kind: "evil", id: "evil", filter: {}, unknown: 1, cause: 1, reason: "evil", timeout: "x" };
  const calls = async () => {
    const mem = await opened(t, {});
    const { id } = await mem.remember("clean", {});
    const seen = await mem.get(id, {});
    assert.equal(Object.hasOwn(seen, "content") && seen.content, "clean");
    assert.deepEqual([seen.tenant, seen.speaker, seen.tags], ["default", null, []]);
    await mem.rememberMany([{ content: "item" }], {});
    assert.equal((await mem.recall("clean item", {})).length, 2);
    assert.equal((await mem.list({})).items.length, 2);
    await mem.update(id, { metadata: { a: 1 } }, {});
    assert.deepEqual(Object.keys((await mem.get(id)).metadata), ["a"]);
    assert.equal((await mem.recall("clean", { filter: { "metadata.a": 1 } })).length, 1);
    assert.equal((await mem.forget({ filter: { "metadata.a": 1 } })).deleted, 1);
    const error = await mem.get(NOWHERE, {}).then(assert.fail, (e) => e);
    assert.deepEqual([error.kind, error.reason], ["not_found", "memory_not_found"]);
  };
  for (const [key, value] of Object.entries(polluted)) Object.defineProperty(Object.prototype, key, { value, configurable: true, enumerable: true, writable: true });
  try {
    await calls();
  } finally {
    for (const key of Object.keys(polluted)) delete Object.prototype[key];
  }
});

test("a message never holds the content or a value of the caller's", async (t) => {
  const mem = await opened(t);
  const secret = "hunter2";
  for (const call of [
    () => mem.remember(`${secret}\ud800`),
    () => mem.remember("x", { metadata: { a: `${secret}\ud800` } }),
    () => mem.remember("x", { tags: [secret, 5] }),
    () => mem.recall(secret.repeat(20_000)),
    () => mem.rememberMany([{ content: secret, tags: [5] }]),
  ]) {
    const error = await refused(call);
    assert.ok(!error.message.includes(secret), error.message);
  }
});
