// Embedders of the caller's own.
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { open } from "../index.mjs";
import { collect, complete, folder, opened, refused, rejected, soon, switchable, turns } from "./helpers.mjs";

const vowels = (texts) => texts.map((text) => [..."aeiou"].map((v) => 1 + text.toLowerCase().split(v).length));

async function check(t, embedder) {
  const mem = await opened(t, { embedder });
  await mem.rememberMany([{ content: "aaa" }, { content: "eee uuu" }, { content: "iii" }]);
  const hits = await mem.recall("uuu eee");
  assert.equal(hits[0].content, "eee uuu");
  assert.ok(Math.abs(hits[0].signals.dense - 1) < 1e-6);
  assert.deepEqual(hits.degraded, []);
  const stats = await mem.stats();
  assert.equal(stats.vectors, 3);
  return stats.embedder;
}

test("a function embeds, synchronous or not, and its name is its id", async (t) => {
  assert.deepEqual(await check(t, vowels), { id: "node:vowels/5", dim: 5 });
  const later = async (texts) => {
    await sleep(1);
    return vowels(texts);
  };
  assert.deepEqual(await check(t, later), { id: "node:later/5", dim: 5 });
  const thenable = (texts) => ({ then: (resolve) => resolve(vowels(texts)) });
  assert.equal((await check(t, thenable)).id, "node:thenable/5");
  const bound = vowels.bind(null);
  assert.equal((await check(t, bound)).id, "node:bound vowels/5");
});

test("typed arrays and arrays of any kind of number are vectors", async (t) => {
  for (const row of [Float32Array, Float64Array, Int32Array, Uint8Array]) {
    await check(t, Object.assign((texts) => vowels(texts).map((v) => row.from(v)), { raeId: row.name }));
  }
  // Views into one large array, and a wide array's part.
  const view = (texts) => {
    const all = new Float32Array(texts.length * 5 + 3);
    return vowels(texts).map((v, i) => {
      all.set(v, 3 + i * 5);
      return all.subarray(3 + i * 5, 8 + i * 5);
    });
  };
  await check(t, view);
});

test("raeId is the id; one that is none, or a function without a name, is refused", async (t) => {
  assert.equal((await check(t, Object.assign(vowels.bind(null), { raeId: "vowels@2/5" }))).id, "vowels@2/5");
  for (const raeId of ["", " ", 5, null, "x".repeat(300), "\ud800", Symbol("s"), {}]) {
    await refused(() => open(":memory:", { embedder: Object.assign(vowels.bind(null), { raeId }) }), "raeId");
  }
  await refused(() => open(":memory:", { embedder: (() => (texts) => vowels(texts))() }), "raeId");
  for (const name of ["\ud800", 5, "", "x".repeat(300), Symbol("s")]) {
    const odd = Object.defineProperty(vowels.bind(null), "name", { value: name });
    await refused(() => open(":memory:", { embedder: odd }), "raeId");
  }
});

test("texts arrive in batches of at most 256, with their role", async (t) => {
  const seen = [];
  const model = switchable();
  model.answer = (texts, role, ...more) => {
    seen.push([texts.length, role, more.length]);
    assert.ok(texts.every((text) => typeof text === "string" && text.isWellFormed()));
    return model.good(texts);
  };
  const mem = await opened(t, { embedder: model });
  await mem.rememberMany(turns(600));
  await mem.recall("a question");
  assert.deepEqual(seen, [[1, "document", 0], [256, "document", 0], [256, "document", 0], [88, "document", 0], [1, "query", 0]]);
});

test("null, undefined and zeros are no vector", async (t) => {
  const embedder = Object.assign((texts) => texts.map((s) => (s.includes("none") ? null : s.includes("absent") ? undefined : s.includes("zero") ? [0, 0] : [1, 2])), { raeId: "part/2" });
  const mem = await opened(t, { embedder });
  await mem.rememberMany(["one lantern", "none lantern", "absent lantern", "zero lantern"].map((content) => ({ content })));
  assert.equal((await mem.stats()).vectors, 1);
  assert.equal((await mem.recall("lantern")).length, 4);
  assert.ok((await mem.recall("none")).length >= 1);
  assert.equal((await mem.maintain()).ran.embedded, 0);
  const holes = Object.assign((texts) => (texts.length > 1 ? new Array(texts.length) : [[1, 2]]), { raeId: "holes/2" });
  const sparse = await opened(t, { embedder: holes });
  await sparse.rememberMany(turns(3));
  assert.equal((await sparse.stats()).vectors, 0);
});

const wrong = [
  [(n) => Array(n).fill([NaN, 1]), "vector_not_finite"],
  [(n) => Array(n).fill([Infinity, 1]), "vector_not_finite"],
  [(n) => Array(n).fill([1e300, 1]), "vector_not_finite"],
  [(n) => Array(n).fill(Float32Array.of(NaN, 1)), "vector_not_finite"],
  [(n) => Array(n).fill([1]), "wrong_dimension"],
  [(n) => Array(n).fill([1, 2, 3]), "wrong_dimension"],
  [(n) => Array(n).fill([]), "wrong_dimension"],
  [(n) => Array(n).fill(new Float32Array(3)), "wrong_dimension"],
  [(n) => Array(n).fill(new Array(5000).fill(1)), "embedder_output"],
  [(n) => Array(n).fill(new Float32Array(5000)), "embedder_output"],
  [() => [], "embedder_output"],
  [(n) => Array(n + 1).fill([1, 2]), "embedder_output"],
  [() => null, "embedder_output"],
  [() => undefined, "embedder_output"],
  [() => "vectors", "embedder_output"],
  [() => ({ length: 1 }), "embedder_output"],
  [() => new Float32Array(2), "embedder_output"],
  [(n) => Array(n).fill("ab"), "embedder_output"],
  [(n) => Array(n).fill(["a", "b"]), "embedder_output"],
  [(n) => Array(n).fill([1n, 2n]), "embedder_output"],
  [(n) => Array(n).fill(BigInt64Array.of(1n, 2n)), "embedder_output"],
  [(n) => Array(n).fill([1, 2n]), "embedder_output"],
  [(n) => Array(n).fill([1, , 2].slice(0, 2)), "embedder_output"],
  [(n) => Array(n).fill([[1, 2]]), "embedder_output"],
  [(n) => Array(n).fill(1), "embedder_output"],
  [(n) => Array(n).fill(new Map()), "embedder_output"],
  [(n) => Array(n).fill(new DataView(new ArrayBuffer(8))), "embedder_output"],
  [(n) => Array(n).fill(Symbol("s")), "embedder_output"],
  [(n) => Array(n).fill(new Array(2 ** 31)), "embedder_output"],
];

test("vectors that are none are refused, and nothing is written", async (t) => {
  const model = switchable();
  const mem = await opened(t, { embedder: model });
  await mem.remember("Good.");
  for (const [answer, reason] of wrong) {
    for (const wrap of [(x) => x, (x) => Promise.resolve(x)]) {
      model.answer = (texts) => wrap(answer(texts.length));
      assert.equal((await refused(() => mem.remember("Bad."))).reason, reason, String(answer));
      assert.equal((await mem.stats()).memories, 1);
      const hits = await mem.recall(`good ${reason} ${answer}`);
      assert.deepEqual([hits.degraded, hits[0].content], [["dense"], "Good."]);
    }
  }
});

test("an embedder that fails at open says why", async (t) => {
  for (const [answer, reason] of wrong) {
    // Any two or three numbers are fine for a first text.
    if (["wrong_dimension", "vector_not_finite"].includes(reason) && answer(1)[0].length > 0) continue;
    const error = await refused(() => open(":memory:", { embedder: Object.assign((texts) => answer(texts.length), { raeId: "x" }) }));
    assert.ok(["embedder_output", "wrong_dimension"].includes(error.reason), String(answer));
  }
  for (const none of [() => [null], () => [undefined], () => new Array(1), () => [new Float32Array(0)]]) {
    await refused(() => open(":memory:", { embedder: Object.assign(none, { raeId: "x" }) }));
  }
});

// What may be thrown.
class Odd extends Error {
  get name() {
    throw new Error("never seen");
  }
}
const thrown = [new TypeError("no route to the model: secret"), "text", 5, null, undefined, Symbol("s"), {}, Object.create(null), new Odd("x"), [1], () => 1,
  new Proxy({}, { get() { throw new Error("never seen"); } })];

test("whatever an embedder throws or rejects with is the cause, and its text is not in the message", async (t) => {
  for (const what of thrown) {
    for (const embedder of [() => { throw what; }, () => Promise.reject(what), async () => { await null; throw what; }]) {
      const error = await open(":memory:", { embedder: Object.assign(embedder, { raeId: "x" }) }).then(assert.fail, (e) => e);
      complete(error, "unavailable", "the embedder threw");
      assert.equal(error.reason, "embedder_failed");
      assert.ok(Object.is(error.cause, what));
      assert.ok(!error.message.includes("secret"));
    }
  }
  const model = switchable();
  const mem = await opened(t, { embedder: switchable("first/2") });
  await mem.remember("x");
  for (const what of thrown) {
    let calls = 0;
    // Good for the probe, and broken after it.
    model.answer = (texts) => {
      if (++calls === 1) return model.good(texts);
      throw what;
    };
    const error = await mem.reembed(model).then(assert.fail, (e) => e);
    complete(error, "unavailable", "the embedder threw");
    assert.ok(Object.is(error.cause, what), String(calls));
  }
  assert.deepEqual((await mem.recall("x")).degraded, []);
});

test("an embedder that fails later costs the vector and not the memory, and maintain pays it", async (t) => {
  const model = switchable();
  const mem = await opened(t, { embedder: model, _testNow: "2024-01-01T00:00:00Z" });
  for (const what of thrown) {
    for (const answer of [() => { throw what; }, () => Promise.reject(what)]) {
      model.answer = answer;
      const { id, degraded } = await mem.remember("The lamp is green.");
      assert.deepEqual(degraded, ["dense"]);
      assert.equal((await mem.stats()).jobs.queued, 1);
      const hits = await mem.recall("green lamp");
      assert.deepEqual([hits.degraded, hits[0].id], [["dense"], id]);
      assert.deepEqual((await mem.rememberMany([{ content: "a" }, { content: "b" }])).map((r) => r.degraded), [["dense"], ["dense"]]);
      // A job that fails again waits: it is neither lost nor does it fail the call.
      assert.equal((await mem.maintain()).ran.embedded, 0);
      model.answer = model.good;
      mem._testAdvance(3600);
      assert.equal((await mem.maintain()).ran.embedded, 3);
      const stats = await mem.stats();
      assert.deepEqual([stats.vectors, stats.jobs.queued], [3, 0]);
      await mem.forget({ scope: "project", target: "default" });
    }
  }
});

test("a job that failed for good is listed with the reason, and requeued", async (t) => {
  const model = switchable();
  const mem = await opened(t, { embedder: model, _testNow: "2024-01-01T00:00:00Z" });
  model.answer = () => { throw new Error("down"); };
  await mem.remember("The lamp is green.");
  const [waiting] = (await mem.jobs()).items;
  assert.deepEqual([waiting.kind, waiting.state, waiting.attempts, waiting.lastError], ["embed", "queued", 0, null]);
  for (let hour = 0; hour < 8; hour += 1) {
    mem._testAdvance(7200);
    await mem.maintain();
  }
  const [dead] = (await mem.jobs({ state: "dead" })).items;
  assert.deepEqual([dead.id, dead.attempts, (await mem.jobs({ state: "queued" })).items], [waiting.id, 5, []]);
  assert.ok(dead.lastError);
  model.answer = model.good;
  const missing = await mem.requeueJob("019b76da-a800-7f8b-b8ba-e301f1cd0878").then(assert.fail, (e) => e);
  assert.equal(missing.reason, "job_not_found");
  await mem.requeueJob(dead.id);
  assert.equal((await mem.maintain()).ran.embedded, 1);
  assert.deepEqual([(await mem.jobs()).items, (await mem.stats()).vectors], [[], 1]);
});

test("an embedder that never answers ends at the store's timeout", async (t) => {
  const pending = [];
  // Held, so that the collector does not end them.
  const never = () => pending.at(pending.push(new Promise(() => {})) - 1);
  const error = await soon(rejected(open(":memory:", { embedder: Object.assign(() => never(), { raeId: "never/2" }), timeout: 0.05 }), "timeout"), "open");
  assert.match(error.message, /embedder/);
  const model = switchable();
  const mem = await opened(t, { embedder: model, timeout: 0.5 });
  const { id } = await mem.remember("Found by its words.");
  model.answer = never;
  for (const call of [() => mem.remember("Another."), () => mem.update(id, { content: "New." }), () => mem.recall("words"), () => mem.context("words")]) {
    const asked = pending.length;
    await soon(rejected(call(), "timeout"), String(call));
    assert.equal(pending.length, asked + 1, "asked once: nothing is repeated after the deadline");
  }
  assert.equal((await mem.stats()).memories, 1);
  model.answer = model.good;
  assert.deepEqual((await mem.recall("words")).degraded, []);
  await soon(mem.close(), "close");
});

test("an embedder whose promise is lost fails instead of hanging", async (t) => {
  const model = switchable();
  const mem = await opened(t, { embedder: model });
  model.answer = () => new Promise(() => {});
  let over = false;
  const call = mem.remember("x").finally(() => (over = true));
  while (!over) await collect();
  assert.deepEqual((await call).degraded, ["dense"]);
});

test("an embedder may use the store that it serves", async (t) => {
  const model = switchable();
  const mem = await opened(t, { embedder: model });
  await mem.remember("First.");
  let depth = 0;
  model.answer = async (texts) => {
    if (depth++ === 0) {
      await mem.stats();
      assert.equal((await mem.recall("first", { k: 1 })).length, 1);
      await mem.remember("A note of the embedder's own.");
      await mem.list();
    }
    depth--;
    return model.good(texts);
  };
  await soon(mem.remember("Second."), "remember");
  assert.deepEqual((await soon(mem.recall("second first"), "recall")).degraded, []);
  assert.ok((await mem.stats()).memories >= 3);
});

test("many calls share a slow embedder", async (t) => {
  const model = switchable();
  let most = 0;
  let now = 0;
  model.answer = async (texts) => {
    most = Math.max(most, ++now);
    await sleep(1);
    now--;
    return model.good(texts);
  };
  const mem = await opened(t, { embedder: model });
  await Promise.all(Array.from({ length: 200 }, async (_, i) => {
    await mem.remember(`note ${i} ${"x".repeat(i)}`);
    await mem.recall(`note ${i}`);
  }));
  const stats = await mem.stats();
  assert.deepEqual([stats.memories, stats.vectors, stats.jobs.queued], [200, 200, 0]);
  assert.ok(most > 1 && most <= 64, `${most} at once`);
});

test("an embedder that changes its arrays afterwards changes nothing that is stored", async (t) => {
  const kept = [];
  const model = Object.assign((texts) => {
    const rows = texts.map((text) => Float32Array.of(text.includes("left") ? 1 : 0, text.includes("right") ? 1 : 0));
    kept.push(...rows);
    return rows;
  }, { raeId: "reused/2" });
  const mem = await opened(t, { embedder: model });
  await mem.rememberMany([{ content: "left" }, { content: "right" }]);
  for (const row of kept) row.fill(NaN);
  assert.ok((await mem.recall("right"))[0].signals.dense > 0.99);
});

test("a store refuses another embedder and names reembed", async (t) => {
  const store = join(folder(t), "a.rae");
  let mem = await open(store);
  await mem.remember("uuu eee");
  const builtIn = (await mem.stats()).embedder.id;
  await mem.close();
  const error = await rejected(open(store, { embedder: vowels }), "conflict", "reembed");
  assert.equal(error.reason, "embedder_mismatch");
  assert.deepEqual(error.details, { stored: builtIn, given: "node:vowels/5" });
  mem = await open(store, { embedder: vowels, reembed: true });
  assert.equal((await mem.stats()).embedder.dim, 5);
  assert.ok((await mem.recall("eee uuu"))[0].signals.dense > 0.99);
  assert.deepEqual(await mem.reembed(null), { from: "node:vowels/5", to: builtIn, vectors: 1 });
  assert.deepEqual(await mem.reembed(vowels), { from: builtIn, to: "node:vowels/5", vectors: 1 });
  await mem.remember("after the change");
  assert.equal((await mem.stats()).vectors, 2);
  await mem.reembed();
  await mem.close();
  await (await open(store)).close();
});

test("providers and folders say what is possible", async (t) => {
  const at = folder(t);
  const error = await rejected(open(":memory:", { embedder: "nobody:some-model@8" }), "invalid_input", "nobody");
  assert.equal(error.reason, "embedder_provider");
  const mem = await opened(t);
  for (const embedder of [at, join(at, "absent"), "openai:x"]) {
    for (const call of [() => open(":memory:", { embedder }), () => mem.reembed(embedder)]) {
      const failed = await call().then(assert.fail, (e) => e);
      complete(failed, failed.kind);
    }
  }
  await refused(() => open(":memory:", { embedder: "" }));
});

test("a function is let go after close, after a failed open and when a reembed replaced it", async (t) => {
  const gone = new Map();
  const made = (name, answer = (texts) => texts.map(() => [1, 2])) => {
    const ref = new WeakRef(Object.assign((texts) => answer(texts), { raeId: "same/2" }));
    gone.set(name, ref);
    return ref;
  };
  // Each function is made and used in a frame of its own, so that nothing here holds it.
  let mem = await (async () => open(":memory:", { embedder: made("closed").deref() }))();
  await mem.remember("x");
  await mem.close();
  const agent = await (async () => {
    // An agent that embeds for its own store.
    const self = { embed: null, mem: null };
    self.embed = Object.assign((texts) => (self, texts.map(() => [1, 2])), { raeId: "agent/2" });
    self.mem = await open(":memory:", { embedder: self.embed });
    await self.mem.remember("x");
    await self.mem.reembed(Object.assign((texts) => (self, texts.map(() => [1, 2, 3])), { raeId: "agent/3" }));
    await self.mem.close();
    return new WeakRef(self);
  })();
  gone.set("agent", agent);
  await (async () => {
    const store = join(folder(t), "a.rae");
    await (await open(store)).close();
    await rejected(open(store, { embedder: made("mismatch").deref() }), "conflict");
    let calls = 0;
    const broken = made("reembed that failed", (texts) => {
      if (++calls > 1) throw new Error("x");
      return texts.map(() => [1, 2]);
    });
    const other = await open(store);
    await other.remember("x");
    await rejected(other.reembed(broken.deref()), "unavailable");
    await other.close();
  })();
  for (let i = 0; i < 50 && [...gone.values()].some((ref) => ref.deref() !== undefined); i++) await collect();
  for (const [name, ref] of gone) assert.equal(ref.deref(), undefined, `${name}: still held`);
  assert.ok(mem);
});
