// Worker threads: each loads the module for itself, and may be ended at any moment.
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { Worker } from "node:worker_threads";
import { MODULE, folder, opened, run, soon, sound, turns } from "./helpers.mjs";

const PRELUDE = `
  const { parentPort, workerData: data } = require("node:worker_threads");
  const embedder = (answer) => Object.assign((texts) => answer(texts), { raeId: "mine/2" });
  const good = (texts) => texts.map(() => [1, 2]);
`;

/** A worker with this code in an async function; \`rae\` is the module. */
function worker(code, data) {
  const made = new Worker(`${PRELUDE} import(${JSON.stringify(MODULE)}).then(async (rae) => {${code}});`, { eval: true, workerData: data });
  made.said = (word) => soon(new Promise((resolve, reject) => {
    made.on("message", (message) => (word === undefined || message === word) && resolve(message));
    made.once("error", reject);
    made.once("exit", (code) => reject(new Error(`the worker ended with ${code} and said nothing`)));
  }), "the worker");
  return made;
}

test("a store works in a worker, which ends by itself", async (t) => {
  const store = join(folder(t), "a.rae");
  const made = worker(`
    const mem = await rae.open(data);
    const { id } = await mem.remember("Said in a worker.");
    const error = await mem.get("nope").catch((e) => e);
    globalThis.kept = [mem, await rae.open(":memory:", { embedder: embedder(good) })];
    await kept[1].remember("x");
    parentPort.postMessage([(await mem.recall("worker"))[0].id === id, error instanceof rae.InvalidInputError]);
    parentPort.close();
  `, store);
  const ended = new Promise((resolve) => made.once("exit", resolve));
  assert.deepEqual(await made.said(), [true, true]);
  assert.equal(await soon(ended, "the end of the worker"), 0);
  assert.equal(await sound(store), 1);
});

test("several workers and the main thread share one file", async (t) => {
  const store = join(folder(t), "a.rae");
  const mem = await opened(t, {}, store);
  const code = `
    const mem = await rae.open(data.store);
    for (let i = 0; i < 30; i++) {
      await mem.remember("worker " + data.n + " note " + i, { sessionId: "shared" });
      if ((await mem.recall("worker " + data.n + " note " + i)).length === 0) throw new Error("not found");
    }
    await mem.close();
    parentPort.postMessage("done");
  `;
  const workers = [0, 1, 2, 3].map((n) => worker(code, { store, n }).said("done"));
  for (let i = 0; i < 30; i++) await mem.remember(`main note ${i}`);
  await Promise.all(workers);
  assert.equal((await mem.stats()).memories, 150);
  assert.equal((await mem.recall("worker note", { k: 1000 })).length, 150);
});

const endings = {
  "in the middle of calls": `
    const mem = await rae.open(data.store);
    await mem.remember("acknowledged " + data.n);
    for (let i = 0; i < 20; i++) { mem.remember("note " + i); mem.recall("note"); mem.rememberMany([{ content: "a" + i }, { content: "b" + i }]); }
    parentPort.postMessage("ready");`,
  "while an embedder is running": `
    const mem = await rae.open(":memory:", { embedder: embedder((texts) => (globalThis.slow ? new Promise((r) => setTimeout(() => r(good(texts)), data.n % 3)) : good(texts))) });
    globalThis.slow = true;
    for (let i = 0; i < 10; i++) { mem.remember("note " + i); mem.recall("note"); }
    parentPort.postMessage("ready");`,
  "while an embedder blocks its thread": `
    const mem = await rae.open(":memory:", { embedder: embedder((texts) => { if (globalThis.slow) { parentPort.postMessage("ready"); for (;;); } return good(texts); }) });
    globalThis.slow = true;
    mem.remember("x");`,
  "while it opens a store": `
    parentPort.postMessage("ready");
    for (let i = 0; i < 5; i++) rae.open(i % 2 ? data.store : ":memory:", { embedder: i % 2 ? undefined : embedder(good) }).catch(() => {});`,
  "with a store that it never closed": `
    globalThis.kept = await rae.open(data.store);
    await kept.remember("acknowledged " + data.n);
    parentPort.postMessage("ready");`,
};

for (const [when, code] of Object.entries(endings)) {
  test(`fifty workers are terminated ${when}, and the main thread goes on`, async (t) => {
    const store = join(folder(t), "a.rae");
    const mem = await opened(t, {}, store);
    await mem.remember("From the main thread.");
    for (let n = 0; n < 50; n++) {
      const made = worker(code, { store, n });
      await made.said("ready");
      if (n % 2) await new Promise(setImmediate);
      await soon(made.terminate(), "terminate");
      if (n % 10 === 0) assert.equal((await soon(mem.recall("main thread", { k: 1 }), "recall"))[0].content, "From the main thread.");
    }
    if (code.includes("acknowledged")) {
      const { items } = await mem.list({ limit: 1000 });
      for (let n = 0; n < 50; n++) assert.ok(items.some((m) => m.content === `acknowledged ${n}`), `${n}`);
    }
    assert.equal((await mem.rememberMany(turns(100))).length, 100);
    assert.deepEqual((await mem.doctor()).filter((f) => f.level === "error"), []);
  });
}

test("a module that only workers load may be loaded by one after another", async () => {
  const code = `
    import { Worker } from "node:worker_threads";
    const code = (n) => "import(" + JSON.stringify(args[0]) + ").then(async (rae) => { const mem = await rae.open(':memory:'); await mem.remember('note " + n +
      "'); console.log((await mem.recall('note')).length); if (" + n + " % 2) await mem.close(); });";
    for (let n = 0; n < 6; n++) {
      const made = new Worker(code(n), { eval: true });
      const exit = await new Promise((resolve, reject) => made.once("exit", resolve).once("error", reject));
      if (exit !== 0) throw new Error("exit " + exit);
    }
    await Promise.all([6, 7, 8].map((n) => new Promise((resolve, reject) => new Worker(code(n), { eval: true }).once("exit", resolve).once("error", reject))));
  `;
  assert.equal(await run(code, [MODULE], { bare: true }), Array(9).fill("1").join("\n"));
});

test("a process may end while workers are in the middle of calls", async (t) => {
  const store = join(folder(t), "a.rae");
  const code = `
    import { Worker } from "node:worker_threads";
    for (let n = 0; n < 3; n++) {
      new Worker("import(" + JSON.stringify(args[1]) + ").then(async (rae) => { const mem = await rae.open(" + JSON.stringify(args[0]) + "); for (let i = 0; ; i++) await mem.remember('worker " + n + " note ' + i); });", { eval: true });
    }
    const mem = await rae.open(args[0]);
    while ((await mem.stats()).memories < 30) await new Promise(setImmediate);
    process.exit(7);
  `;
  for (let i = 0; i < 5; i++) assert.equal(await run(code, [store, MODULE], { exit: 7 }), "");
  assert.ok((await sound(store)) >= 30);
});
