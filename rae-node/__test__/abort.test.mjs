// AbortSignal: what it ends, what stays, and that nothing is left behind.
import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { join } from "node:path";
import { test } from "node:test";
import { CancelledError, open } from "../index.mjs";
import { NOWHERE, complete, folder, opened, rejected, soon, sound, switchable, turns } from "./helpers.mjs";

const listeners = (signal) => getEventListeners(signal, "abort").length;

async function cancelled(promise, signal) {
  const error = await soon(rejected(promise, "cancelled"));
  assert.ok(error instanceof CancelledError);
  assert.deepEqual([error.name, error.code], ["AbortError", "ABORTED"]);
  assert.equal(error.cause, signal.reason);
  assert.equal(listeners(signal), 0);
}

test("a signal that has fired ends every verb before it begins", async (t) => {
  const at = folder(t);
  let embedded = 0;
  const embedder = Object.assign((texts) => (embedded++, texts.map(() => [1, 2])), { raeId: "never/2" });
  const mem = await opened(t);
  const { id } = await mem.remember("x");
  const signal = AbortSignal.abort(new Error("changed my mind"));
  for (const call of [
    () => mem.remember("y", { signal }), () => mem.rememberMany([{ content: "y" }], { signal }), () => mem.recall("x", { signal }), () => mem.context("x", { signal }),
    () => mem.context({ sessionId: "s", signal }), () => mem.get(id, { signal }), () => mem.list({ signal }), () => mem.update(id, { content: "y" }, { signal }),
    () => mem.history(id, { signal }), () => mem.forget(id, { signal }), () => mem.forget({ scope: "project", target: "default", signal }),
    () => mem.forget({ scope: "project", target: "default" }, { signal }), () => mem.feedback(id, false, { signal }), () => mem.stats({ signal }),
    () => mem.export(join(at, "x"), { signal }), () => mem.import(join(at, "x"), { signal }), () => mem.reembed(embedder, { signal }),
    () => mem.maintain({ signal }), () => mem.doctor({ signal }), () => mem.backup(join(at, "b"), { signal }),
  ]) {
    await cancelled(call(), signal);
  }
  const memory = await mem.get(id);
  assert.deepEqual([memory.version, memory.strength, (await mem.stats()).memories, embedded], [1, 1, 1, 0]);
});

test("a signal ends a call that waits for a slow embedder, and nothing is written", async (t) => {
  const model = switchable();
  const mem = await opened(t, { embedder: model });
  const { id } = await mem.remember("First.");
  for (const call of [
    (signal) => mem.remember("Second.", { signal }), (signal) => mem.rememberMany(turns(3), { signal }), (signal) => mem.recall("first", { signal }),
    (signal) => mem.context("first", { signal }), (signal) => mem.update(id, { content: "New." }, { signal }),
    (signal) => mem.reembed(Object.assign((texts) => model(texts), { raeId: "other/2" }), { signal }),
  ]) {
    const controller = new AbortController();
    let answer;
    model.answer = () => new Promise((resolve) => {
      answer = resolve;
      // From within the embedder: the call is in its middle for certain.
      controller.abort();
    });
    await cancelled(call(controller.signal), controller.signal);
    // What comes too late, good or bad, is nobody's.
    answer("nonsense");
    model.answer = model.good;
  }
  const memory = await mem.get(id);
  assert.deepEqual([memory.content, (await mem.stats()).memories, (await mem.stats()).embedder.id], ["First.", 1, "switch/2"]);
  assert.deepEqual((await mem.recall("first")).degraded, []);
});

test("an aborted bulk write leaves whole transactions, and the store in use", async (t) => {
  const store = join(folder(t), "a.rae");
  const controller = new AbortController();
  const model = switchable();
  const mem = await open(store, { embedder: model });
  let calls = 0;
  model.answer = (texts) => {
    // Four of 250 or so to a transaction of a thousand: in the middle of the fourth.
    if (++calls === 14) controller.abort();
    return model.good(texts);
  };
  const write = mem.rememberMany(turns(20_000), { signal: controller.signal });
  await cancelled(write, controller.signal);
  await mem.remember("after");
  const { memories } = await mem.stats();
  assert.equal((memories - 1) % 1000, 0, `${memories}`);
  assert.ok(memories > 1000 && memories <= 5001, `${memories}`);
  await mem.close();
  assert.equal(await sound(store, { embedder: model }), memories);
});

test("an abort while the items are still being read writes nothing", async (t) => {
  const mem = await opened(t);
  const controller = new AbortController();
  const write = mem.rememberMany(turns(100_000), { signal: controller.signal });
  setImmediate(() => controller.abort("enough"));
  const error = await soon(write.then(() => undefined, (e) => e));
  // On a machine that reads them all in one go it is an abort in the middle; whole transactions either way.
  if (error) complete(error, "cancelled");
  assert.equal((await mem.stats()).memories % 1000, 0);
});

test("AbortSignal.timeout ends a call, and its reason is the cause", async (t) => {
  const model = switchable();
  const mem = await opened(t, { embedder: model });
  await mem.remember("x");
  const kept = [];
  model.answer = () => kept.at(kept.push(new Promise(() => {})) - 1);
  const error = await soon(rejected(mem.recall("x", { signal: AbortSignal.timeout(20) }), "cancelled"));
  assert.equal(error.cause.name, "TimeoutError");
  model.answer = model.good;
  assert.equal((await mem.recall("x", { signal: AbortSignal.timeout(60_000) })).length, 1);
});

test("a signal that fires after the call changes nothing, and one signal serves many calls", async (t) => {
  const mem = await opened(t);
  const controller = new AbortController();
  const { signal } = controller;
  const warnings = [];
  const note = (warning) => warnings.push(warning);
  process.on("warning", note);
  t.after(() => process.off("warning", note));
  const calls = Array.from({ length: 50 }, (_, i) => mem.remember(`note ${i}`, { signal }));
  assert.equal(listeners(signal), 1);
  await Promise.all(calls);
  for (let i = 0; i < 50; i++) await mem.recall("note", { signal });
  await rejected(mem.get(NOWHERE, { signal }), "not_found");
  await rejected(mem.recall("x", { signal, k: 0 }));
  assert.equal(listeners(signal), 0);
  controller.abort();
  assert.equal((await mem.stats()).memories, 50);
  assert.deepEqual(warnings, [], "no warning of too many listeners");
});

test("one signal ends all calls that are under way, and no other", async (t) => {
  const model = switchable();
  const mem = await opened(t, { embedder: model });
  const waiting = [];
  model.answer = (texts) => new Promise((resolve) => waiting.push(() => resolve(model.good(texts))));
  const controller = new AbortController();
  const calls = Array.from({ length: 20 }, (_, i) => rejected(mem.remember(`note ${i}`, { signal: controller.signal }), "cancelled"));
  const other = mem.remember("another note", { signal: new AbortController().signal });
  while (waiting.length < 21) await new Promise(setImmediate);
  controller.abort();
  await soon(Promise.all(calls));
  assert.equal(listeners(controller.signal), 0);
  waiting.forEach((answer) => answer());
  assert.deepEqual((await soon(other)).degraded, []);
  assert.equal((await mem.stats()).memories, 1);
});

test("any reason may be given, and an aborted call is never an unhandled rejection", async (t) => {
  const mem = await opened(t);
  const unhandled = [];
  const note = (error) => unhandled.push(error);
  process.on("unhandledRejection", note);
  t.after(() => process.off("unhandledRejection", note));
  for (const reason of [null, 0, "", "text", Symbol("s"), {}, new Error("x")]) {
    const controller = new AbortController();
    const call = mem.rememberMany(turns(2_000), { signal: controller.signal }).then(() => undefined, (e) => e);
    await new Promise(setImmediate);
    controller.abort(reason);
    const error = await soon(call);
    if (error) assert.ok(Object.is(error.cause, reason), String(reason));
  }
  await new Promise((resolve) => setTimeout(resolve, 10));
  assert.deepEqual(unhandled, []);
});

test("many aborts at random moments leave a sound store with whole answers", async (t) => {
  const store = join(folder(t), "a.rae");
  const mem = await open(store, { durability: "normal" });
  let acknowledged = 0;
  for (let i = 0; i < 150; i++) {
    const controller = new AbortController();
    const { signal } = controller;
    const calls = [mem.remember(`note ${i}`, { signal }), mem.recall("note", { signal }), mem.list({ signal }), mem.rememberMany([{ content: `a ${i}` }, { content: `b ${i}` }], { signal })];
    if (i % 3 > 0) setTimeout(() => controller.abort(), i % 5);
    else setImmediate(() => controller.abort());
    const outcomes = await soon(Promise.allSettled(calls));
    for (const { reason } of outcomes.filter((o) => o.status === "rejected")) complete(reason, "cancelled");
    acknowledged += (outcomes[0].status === "fulfilled" ? 1 : 0) + (outcomes[3].value?.length ?? 0);
  }
  const { memories } = await mem.stats();
  assert.ok(memories >= acknowledged, `${memories} of ${acknowledged}`);
  const notes = (await mem.list({ limit: 1000 })).items.map((m) => m.content);
  for (let i = 0; i < 150; i++) assert.equal(notes.includes(`a ${i}`), notes.includes(`b ${i}`), `half of ${i}`);
  await mem.close();
  assert.equal(await sound(store), memories);
});
