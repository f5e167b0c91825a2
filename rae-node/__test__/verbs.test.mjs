// Every verb once through, on a file; and what is JavaScript's own about arguments and answers.
import assert from "node:assert/strict";
import { readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { pathToFileURL } from "node:url";
import ts from "typescript";
import { Hits, open } from "../index.mjs";
import { NOWHERE, folder, opened, rejected, turns } from "./helpers.mjs";

const types = ts.createSourceFile("index.d.ts", readFileSync(new URL("../index.d.ts", import.meta.url), "utf8"), ts.ScriptTarget.Latest, true);

/** The fields of an interface, those of what it extends among them. */
function fields(name) {
  const node = types.statements.find((n) => ts.isInterfaceDeclaration(n) && n.name.text === name);
  const parents = (node.heritageClauses ?? []).flatMap((clause) => clause.types.flatMap((t) => fields(t.expression.text)));
  return [...node.members.map((m) => m.name.text), ...parents].sort();
}

/** The answer has the fields that its type lists, no more and no fewer; a claim only where the memory states a relation. */
function typed(value, name) {
  const listed = fields(name).filter((field) => field !== "claim" || value.claim !== undefined);
  assert.deepEqual(Object.keys(value).sort(), listed, name);
}

test("every verb works on a file, and its answer has the fields of its type", async (t) => {
  const at = folder(t);
  const mem = await open(join(at, "a.rae"), { tenant: "t", project: "p" });
  assert.deepEqual([mem.file, mem.tenant, mem.project], [join(at, "a.rae"), "t", "p"]);
  const receipt = await mem.remember("Kit found the key.", { speaker: "Kit", sessionId: "s" });
  typed(receipt, "Receipt");
  assert.equal((await mem.rememberMany(turns(20))).length, 20);
  const hits = await mem.recall("who found the key", { k: 3, explain: true });
  typed(hits[0], "Hit");
  typed(hits[0].signals, "Signals");
  typed(hits[0].passage, "Passage");
  assert.equal(hits[0].id, receipt.id);
  assert.equal(typeof hits.trace, "object");
  const context = await mem.context("key", { maxTokens: 100 });
  typed(context, "Context");
  typed(context.sources[0], "ContextSource");
  const memory = await mem.get(receipt.id);
  typed(memory, "Memory");
  assert.equal(memory.speaker, "Kit");
  const page = await mem.list({ limit: 5 });
  typed(page, "Page");
  typed(page.items[0], "Memory");
  assert.equal((await mem.list({ limit: 1000, cursor: page.nextCursor })).items.length, 16);
  assert.equal((await mem.update(receipt.id, { content: "Kit lost the key.", speaker: null })).version, 2);
  const versions = await mem.history(receipt.id);
  typed(versions[0], "MemoryVersion");
  assert.deepEqual(versions.map((v) => [v.version, v.speaker]), [[1, "Kit"], [2, null]]);
  assert.equal((await mem.feedback(receipt.id, true)).strength, 1);
  const stats = await mem.stats();
  typed(stats, "Stats");
  assert.equal(stats.memories, 21);
  assert.deepEqual(Object.keys(stats.byLayer).sort(), ["episodic", "reflective", "semantic", "sensory", "working"]);
  const exported = await mem.export(join(at, "d.jsonl"));
  typed(exported, "Exported");
  assert.equal(exported.bytes, statSync(join(at, "d.jsonl")).size);
  const imported = await mem.withScope({ project: "q" }).import(join(at, "d.jsonl"));
  typed(imported, "Imported");
  assert.equal(imported.imported, 21);
  typed(await mem.maintain(), "Maintained");
  const findings = await mem.doctor();
  findings.forEach((finding) => typed(finding, "Finding"));
  assert.deepEqual(new Set(findings.map((f) => f.level)), new Set(["ok"]));
  assert.equal(await mem.backup(join(at, "b.rae")), undefined);
  const reembedded = await mem.reembed(Object.assign((texts) => texts.map(() => [1, 2]), { raeId: "mine" }));
  typed(reembedded, "Reembedded");
  assert.deepEqual([reembedded.to, reembedded.vectors], ["mine", 42]);
  const forgotten = await mem.forget(receipt.id);
  typed(forgotten, "Forgotten");
  assert.equal(forgotten.deleted, 1);
  await rejected(mem.get(receipt.id), "not_found");
  await mem.close();
  const copy = await opened(t, { tenant: "t", project: "p" }, join(at, "b.rae"));
  assert.equal((await copy.stats()).memories, 21);
});

test("a relation is a memory with a claim, and is listed by its parts", async (t) => {
  const mem = await opened(t);
  const source = await mem.remember("Ada has moved to Acme.");
  const past = { validFrom: new Date("2019-01-01"), validTo: "2020-01-01", weight: 0.5, sourceId: source.id };
  const { id } = await mem.relate("Ada", "Works at", "Acme", past);
  const memory = await mem.get(id);
  typed(memory, "Memory");
  typed(memory.claim, "Claim");
  assert.deepEqual(memory.claim, { object: "Acme", relation: "works_at", subject: "Ada", weight: 0.5 });
  assert.deepEqual([memory.validTo, memory.derivedFrom], ["2020-01-01T00:00:00Z", [source.id]]);
  typed((await mem.history(id))[0], "MemoryVersion");
  assert.equal((await mem.relate("ADA", "works_at", "acme", past)).merged, true);
  assert.equal((await mem.relate("Ada", "works_at", "Acme")).merged, false);
  assert.deepEqual((await mem.relations({ subject: "ada", limit: 1 })).items.map((m) => m.id), [id]);
  assert.equal((await mem.list({ filter: { object: "ACME" } })).items.length, 2);
  assert.equal((await mem.relations()).items.length, 2);
  await rejected(mem.relate("Ada", "knows", "Bob", { sourceId: id.replace(/^./, "f") }), "not_found");
  await rejected(mem.relate("Ada", "knows", ""), "invalid_input");
  await rejected(mem.relate("Ada", "knows"), "invalid_input");
});

test("a Date and RFC 3339 text of any offset are times, and times come back in UTC, exact to the microsecond", async (t) => {
  const mem = await opened(t);
  const at = async (occurredAt) => (await mem.get((await mem.remember(`At ${occurredAt}`, { occurredAt })).id)).occurredAt;
  assert.equal(await at(new Date(Date.UTC(2024, 0, 2, 3, 4, 5, 678))), "2024-01-02T03:04:05.678Z");
  assert.equal(await at("2024-01-02T03:04:05.678901+02:00"), "2024-01-02T01:04:05.678901Z");
  assert.equal(await at("2024-01-02"), "2024-01-02T00:00:00Z");
  assert.equal(await at(new Date("0001-01-01T00:00:00Z")), "0001-01-01T00:00:00Z");
  assert.equal(await at(null), null);
  assert.equal(await at(undefined), null);
  assert.match((await mem.get((await mem.list({ limit: 1 })).items[0].id)).createdAt, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z$/);
  assert.equal((await mem.recall("At", { since: new Date("2024-01-02T02:00:00Z"), until: "2024-01-03" })).length, 1);
});

test("options that are undefined or null are no options", async (t) => {
  const mem = await opened(t, { tenant: null, project: undefined, embedder: null, durability: null, reembed: null, timeout: null });
  assert.deepEqual([mem.tenant, mem.project, mem.file], ["default", "default", null]);
  const none = { kind: undefined, tags: null, metadata: null, importance: null, ttl: undefined, infer: null, signal: null };
  const { id } = await mem.remember("Nothing was given.", none);
  const memory = await mem.get(id, null);
  assert.deepEqual([memory.kind, memory.tags, memory.metadata, memory.importance], ["text", [], {}, 0.7]);
  assert.equal((await mem.recall("given", { k: null, filter: undefined, tags: null, signal: undefined })).length, 1);
  assert.equal((await mem.list(null)).items.length, 1);
  assert.equal((await mem.context("given", null)).sources.length, 1);
  assert.deepEqual(await mem.rememberMany([], null), []);
});

test("in an update undefined keeps and null clears", async (t) => {
  const mem = await opened(t);
  const { id } = await mem.remember("First.", { kind: "fact", speaker: "Ada", source: "s", tags: ["t"], metadata: { a: 1 } });
  await mem.update(id, { content: "Second.", speaker: undefined, tags: undefined });
  const kept = await mem.get(id);
  assert.deepEqual([kept.content, kept.speaker, kept.tags, kept.metadata], ["Second.", "Ada", ["t"], { a: 1 }]);
  await mem.update(id, { speaker: null, tags: null, metadata: null, source: null, ttl: null, expectedVersion: 2 });
  const cleared = await mem.get(id);
  assert.deepEqual([cleared.speaker, cleared.tags, cleared.metadata, cleared.sources], [null, [], {}, []]);
  assert.equal((await rejected(mem.update(id, { content: "Third." , expectedVersion: 1 }), "conflict")).reason, "version_mismatch");
});

test("a list may be an array, a Set or a generator", async (t) => {
  const mem = await opened(t);
  const pair = function* () {
    yield "a";
    yield "b";
  };
  for (const [i, tags] of [["a", "b"], new Set(["a", "b"]), pair(), new Map([["a", 1], ["b", 2]]).keys()].entries()) {
    assert.deepEqual((await mem.get((await mem.remember(`boat ${i}`, { tags })).id)).tags, ["a", "b"]);
  }
  assert.equal((await mem.recall("boat", { tags: pair(), layers: new Set(["sm"]), kinds: new Set(["text"]) })).length, 4);
  assert.equal((await mem.list({ tags: new Set(["b"]) })).items.length, 4);
  assert.equal((await mem.list({ filter: { id: { in: new Set([NOWHERE]) } } }).catch((e) => e)).items?.length ?? 0, 0);
  assert.equal((await mem.recall("boat", { filter: { kind: { in: new Set(["text"]) } } })).length, 4);
  assert.equal((await mem.recall("boat", { filter: { kind: { in: (function* () { yield "text"; })() } } })).length, 4);
});

test("the items of rememberMany may come from any iterable", async (t) => {
  const mem = await opened(t);
  const item = (content) => ({ content, tags: new Set(["t"]) });
  const made = function* () {
    for (let i = 0; i < 3; i++) yield item(`made ${i}`);
  };
  assert.equal((await mem.rememberMany(made())).length, 3);
  assert.equal((await mem.rememberMany(new Set([item("in a set")]))).length, 1);
  assert.equal((await mem.rememberMany(new Map([["k", item("in a map")]]).values())).length, 1);
  assert.equal((await mem.rememberMany(Object.freeze([Object.freeze(Object.assign(Object.create(null), item("frozen")))]))).length, 1);
  assert.equal((await mem.list({ tags: ["t"] })).items.length, 6);
});

test("an exception of the caller's own iterable or getter goes on as it is, and nothing is written", async (t) => {
  const mem = await opened(t);
  const mine = new Error("mine");
  const broken = function* () {
    yield { content: "x" };
    throw mine;
  };
  const getter = (field) => Object.defineProperty({}, field, { enumerable: true, get: () => { throw mine; } });
  for (const call of [
    () => mem.rememberMany(broken()),
    () => mem.rememberMany([{ content: "fine" }, getter("content")]),
    () => mem.remember("x", getter("tags")),
    () => mem.remember("x", { metadata: { a: getter("b") } }),
    () => mem.remember("x", { tags: broken() }).catch((e) => { throw e.kind ? mine : e; }),
    () => mem.recall("x", { filter: getter("kind") }),
    () => mem.recall("x", getter("signal")),
    () => mem.update(NOWHERE, getter("content")),
    () => open(":memory:", getter("embedder")),
    () => mem.remember("x", new Proxy({}, { ownKeys() { throw mine; } })),
    () => mem.rememberMany([new Proxy({}, { getPrototypeOf() { throw mine; } })]),
  ]) {
    await assert.rejects(call(), (error) => error === mine, String(call));
  }
  // Whatever was thrown: null has no properties that could be asked for.
  const thrown = await mem.rememberMany([Object.defineProperty({}, "content", { enumerable: true, get: () => { throw null; } })]).then(assert.fail, (e) => e);
  assert.equal(thrown, null);
  assert.equal((await mem.stats()).memories, 0);
});

test("a Proxy that behaves is as good as what it stands for", async (t) => {
  const mem = await opened(t);
  const through = (value) => new Proxy(value, {});
  const { id } = await mem.remember("x", through({ metadata: through({ a: through([1]) }), tags: through(["t"]) }));
  const { metadata, tags } = await mem.get(id);
  assert.deepEqual([metadata, tags], [{ a: [1] }, ["t"]]);
});

test("a file: URL is a path", async (t) => {
  const at = folder(t);
  const url = (name) => pathToFileURL(join(at, name));
  const mem = await open(url("ünï #1?.rae"));
  assert.equal(mem.file, join(at, "ünï #1?.rae"));
  await mem.remember("Here.");
  assert.equal((await mem.export(url("a b.jsonl"))).memories, 1);
  assert.equal((await mem.import(url("a b.jsonl"))).unchanged, 1);
  await mem.backup(url("copy.rae"));
  await mem.close();
  assert.equal((await (await opened(t, {}, join(at, "copy.rae"))).stats()).memories, 1);
});

test("any name that a file can have works, and :memory: is no file", async (t) => {
  const at = folder(t);
  for (const name of ["with space.rae", "ünïcødé 记忆 🙂.rae", "file:x?mode=ro", "a%b#c", "-dash"]) {
    const mem = await open(join(at, name));
    await mem.remember("x");
    await mem.close();
    assert.ok(statSync(join(at, name)).size > 0, name);
  }
});

test("Hits is an array whose map, filter and slice are plain arrays", async (t) => {
  const mem = await opened(t);
  await mem.rememberMany(turns(5));
  const hits = await mem.recall("note", { rerank: true });
  assert.ok(Array.isArray(hits) && hits instanceof Hits);
  assert.equal(hits.length, 5);
  assert.deepEqual([hits.degraded, hits.trace], [["rerank"], null]);
  const plain = [hits.map((h) => h.id), hits.filter(() => true), hits.slice(1), hits.concat([1]), hits.flatMap((h) => [h, h]), [...hits], hits.toSorted()];
  for (const made of plain) {
    assert.equal(Object.getPrototypeOf(made), Array.prototype);
    assert.ok(!("degraded" in made));
  }
  assert.equal(JSON.parse(JSON.stringify(hits)).length, 5);
  const none = await mem.recall("zebra quantum", { k: 1, minScore: 1 });
  assert.ok(none instanceof Hits && none.length === 0);
  // One hit is not a length.
  assert.equal((await mem.recall("note", { k: 1 })).length, 1);
});

test("passages and sources count in code points", async (t) => {
  const mem = await opened(t);
  await mem.remember("🙂🙂 The lamp is green.");
  const [hit] = await mem.recall("green lamp");
  assert.equal([...hit.content].slice(hit.passage.start, hit.passage.end).join(""), hit.content);
  const { text, sources } = await mem.context("green lamp");
  assert.ok([...text].slice(sources[0].start, sources[0].end).join("").includes("lamp is green."));
});

test("metadata comes back as it was given", async (t) => {
  const mem = await opened(t);
  const deep = (levels) => (levels === 0 ? "bottom" : { down: deep(levels - 1) });
  const given = JSON.parse('{"__proto__":{"a":1},"constructor":{"prototype":2},"toString":3,"hasOwnProperty":null}');
  Object.assign(given, {
    snake_case: { inner_key: [1, { list_key: true }] },
    camelCase: { innerKey: "x" },
    items: [], hits: [1], metadata: { by_layer: {} },
    "": "empty", "ключ 🙂 \"\\\n\u2028\0": "значення 🙂 \"\\\n\u2028\0",
    numbers: [0, 1.5, -1e-7, 5e-324, 1.7976931348623157e308, 0.1 + 0.2, 2 ** 53, -(2 ** 53), 2 ** 53 - 1, 1e21, 123456789012345680000],
    flags: [true, false, null],
    deep: deep(13),
  });
  const { id } = await mem.remember("x", { metadata: given });
  for (const seen of [(await mem.get(id)).metadata, (await mem.recall("x"))[0].metadata, (await mem.list()).items[0].metadata]) {
    assert.equal(Object.getPrototypeOf(seen), Object.prototype);
    assert.deepEqual(Object.keys(seen).sort(), Object.keys(given).sort());
    for (const key of Object.keys(given)) {
      assert.deepEqual(Object.getOwnPropertyDescriptor(seen, key).value, Object.getOwnPropertyDescriptor(given, key).value, key);
    }
  }
  // As in JSON.stringify: minus zero is zero, and a property without a value is no property.
  const second = await mem.remember("y", { metadata: { zero: -0, none: undefined } });
  assert.deepEqual((await mem.get(second.id)).metadata, { zero: 0 });
  const without = Object.assign(Object.create(null), { a: 1 });
  assert.deepEqual((await mem.get((await mem.remember("z", { metadata: without })).id)).metadata, { a: 1 });
  assert.equal((await mem.list({ filter: { "metadata.snake_case.inner_key": { contains: 1 } } })).items.length, 1);
  assert.equal((await mem.list({ filter: { "metadata.camelCase.innerKey": "x" } })).items.length, 1);
});

test("the fields of a filter may be named in camelCase and snake_case, and Dates are times", async (t) => {
  const mem = await opened(t);
  await mem.rememberMany([
    { content: "boats in spring", sessionId: "s1", occurredAt: "2024-03-01" },
    { content: "boats in summer", sessionId: "s2", occurredAt: "2024-07-01" },
  ]);
  const found = async (filter) => (await mem.list({ filter })).items.map((m) => m.sessionId);
  assert.deepEqual(await found({ sessionId: "s1" }), ["s1"]);
  assert.deepEqual(await found({ session_id: "s1" }), ["s1"]);
  assert.deepEqual(await found({ not: { sessionId: "s1", speaker: undefined } }), ["s2"]);
  assert.deepEqual(await found({ or: [{ sessionId: "s1" }, { and: [{ occurredAt: { gte: new Date("2024-07-01") } }] }] }), ["s1", "s2"]);
  assert.deepEqual(await found({ occurredAt: { lt: new Date("2024-07-01") } }), ["s1"]);
  assert.equal((await mem.forget({ filter: { sessionId: { in: new Set(["s1", "s9"]) } } })).deleted, 1);
});

test("context takes its options alone", async (t) => {
  const mem = await opened(t);
  await mem.remember("Who cleaned the lamp?", { speaker: "Ines", sessionId: "s9" });
  for (const args of [[{ sessionId: "s9" }], [null, { sessionId: "s9" }], [undefined, { sessionId: "s9" }]]) {
    assert.equal((await mem.context(...args)).sources.length, 1);
  }
});

test("a scope is another view of the same store; null keeps what it is", async (t) => {
  const mem = await opened(t, { tenant: "a", project: "p%" });
  const { id } = await mem.remember("The password is swordfish.");
  const same = mem.withScope({ tenant: null, project: undefined });
  assert.deepEqual([same.tenant, same.project, same.file], ["a", "p%", null]);
  assert.equal((await same.get(id)).id, id);
  for (const scope of [{ project: "p1" }, { tenant: "b" }, { tenant: "A", project: "p%" }]) {
    const stranger = mem.withScope(scope);
    assert.equal((await stranger.recall("password swordfish")).length, 0);
    await rejected(stranger.get(id), "not_found");
  }
});

test("calls that are made together all happen", async (t) => {
  const mem = await opened(t);
  const calls = Array.from({ length: 300 }, (_, i) => mem.remember(`turn ${i}`, { sessionId: "s", speaker: "Ada" }));
  const receipts = await Promise.all(calls);
  assert.equal(new Set(receipts.map((r) => r.id)).size, 300);
  assert.equal((await mem.stats()).memories, 300);
});

test("a failure in the middle of a large call has what was committed in its details", async (t) => {
  const mem = await opened(t);
  const items = [...turns(1500), { content: "with a key", idempotencyKey: "k" }];
  await mem.remember("another body", { idempotencyKey: "k" });
  const error = await mem.rememberMany(items).then(() => undefined, (e) => e);
  assert.equal(error?.kind, "conflict");
  const { memories } = await mem.stats();
  assert.equal(error.details?.committed ?? 0, memories - 1);
  assert.equal((error.details?.receipts ?? []).length, memories - 1);
});

test("the same seed and clock give the same answers", async (t) => {
  const once = async () => {
    const mem = await opened(t, { _testNow: "2024-01-01T00:00:00Z", _testSeed: 7 });
    const receipts = await mem.rememberMany(turns(50));
    mem._testAdvance(60);
    return [receipts, [...(await mem.recall("subject 7"))], await mem.context("subject 7"), await mem.list({ limit: 3 })];
  };
  assert.deepEqual(await once(), await once());
});

test("an export of another program's making is not replaced, nor imported", async (t) => {
  const at = folder(t);
  writeFileSync(join(at, "notes.txt"), "mine");
  const mem = await opened(t);
  await rejected(mem.export(join(at, "notes.txt")), "conflict");
  await rejected(mem.import(join(at, "notes.txt")));
  await rejected(mem.import(join(at, "absent.jsonl")));
  await rejected(mem.backup(join(at, "notes.txt")), "conflict");
  assert.equal(readFileSync(join(at, "notes.txt"), "utf8"), "mine");
});

test("memories fade and are forgotten as a policy says", async (t) => {
  const lifecycle = { forgetBelow: 0.2, protectedTags: new Set(["keep"]), protectedKinds: null };
  const mem = await opened(t, { lifecycle, _testNow: "2026-01-01", _testSeed: 1 });
  await mem.remember("I had tea.", { layer: "episodic", importance: 0.2 });
  const kept = await mem.remember("I had coffee.", { layer: "episodic", importance: 0.2, tags: ["keep"] });
  const strong = await mem.remember("I had a son.", { layer: "episodic", importance: 1 });
  // Another time than the clock's: ninety days on.
  const { ran } = await mem.maintain({ now: "2026-04-01" });
  assert.deepEqual([ran.forgotten, ran.faded], [1, 1]);
  assert.deepEqual([(await mem.get(kept.id)).strength, (await mem.get(strong.id)).strength], [1, 0.5]);
  for (const wrong of [{ forget: 1 }, { forgetBelow: 2 }, { decay: "no" }, { keepClassDays: { secret: 1 } }, []]) {
    await assert.rejects(open(":memory:", { lifecycle: wrong }), { name: "InvalidInputError" });
  }
});

test("an erasure is checked by its receipt, in export files too", async (t) => {
  const at = folder(t);
  const mem = await opened(t, {}, join(at, "a.rae"));
  const { id } = await mem.remember("The vault opens at nine.");
  const before = join(at, "before.jsonl");
  await mem.export(before);
  const gone = await mem.forget(id);
  const report = await mem.verifyErasure(gone.receipt);
  typed(report, "ErasureReport");
  report.places.forEach((place) => typed(place, "ErasurePlace"));
  assert.deepEqual([report.clean, report.bound, report.ids], [true, true, 1]);
  assert.deepEqual(await mem.verifyErasure(gone), report);
  const found = (one) => one.places.filter((place) => place.state === "found").map((place) => place.place);
  assert.deepEqual(found(await mem.verifyErasure(gone.receipt, { exports: [before] })), [`export ${before}`]);
  const places = (one) => one.places.map((place) => place.place);
  assert.ok(places(await mem.verifyErasure(gone, { texts: ["opens at nine"] })).includes("text in file a.rae"));
  await mem.import(before);
  assert.ok(found(await mem.verifyErasure(gone.receipt)).includes("memories"));
  assert.ok(found(await mem.verifyErasure(gone, { texts: ["opens at nine"] })).includes("text in memories"));
  for (const [wrong, options] of [["no"], [null], [{}], [gone.receipt, { exports: "x" }], [gone.receipt, { exports: [""] }], [gone.receipt, { texts: ["abc"] }]]) {
    await assert.rejects(mem.verifyErasure(wrong, options), { name: "InvalidInputError" });
  }
});
