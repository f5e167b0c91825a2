// Processes that end, by themselves or not; handles that are closed, twice, or never.
import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { test } from "node:test";
import { open } from "../index.mjs";
import { collect, complete, files, folder, opened, rejected, run, soon, sound, start, switchable, threads, turns, until } from "./helpers.mjs";

test("a process with open stores ends by itself, with and without an embedder of its own", async (t) => {
  const store = join(folder(t), "a.rae");
  const code = `
    const embedder = Object.assign((texts) => texts.map(() => [1, 2]), { raeId: "mine/2" });
    const stores = [await rae.open(args[0]), await rae.open(":memory:"), await rae.open(":memory:", { embedder })];
    for (const mem of stores) await mem.remember("Left open.");
    console.log((await stores[2].recall("open"))[0].content);
    globalThis.kept = stores;
  `;
  assert.equal(await run(code, [store]), "Left open.");
  assert.equal(await sound(store), 1);
});

test("a call that is under way keeps the process alive until it is done", async (t) => {
  const store = join(folder(t), "a.rae");
  const code = `
    const mem = await rae.open(args[0]);
    mem.rememberMany(Array.from({ length: 20_000 }, (_, i) => ({ content: "note " + i }))).then((r) => console.log("done", r.length));
  `;
  assert.equal(await run(code, [store]), "done 20000");
  assert.equal(await sound(store), 20_000);
  const slow = `
    const embedder = Object.assign(async (texts) => {
      await new Promise((resolve) => setTimeout(resolve, 50));
      return texts.map(() => [1, 2]);
    }, { raeId: "mine/2" });
    rae.open(":memory:", { embedder }).then((mem) => mem.remember("x").then(() => mem.recall("x")).then((hits) => console.log(hits.degraded.length, hits[0].content)));
  `;
  assert.equal(await run(slow), "0 x");
});

test("a process whose embedder never answers lives until the time limit, and then ends", async () => {
  const code = `
    globalThis.never = new Promise(() => {});
    const embedder = Object.assign(() => never, { raeId: "mine/2" });
    rae.open(":memory:", { embedder, timeout: 0.3 }).catch((error) => console.log(error.kind));
  `;
  assert.equal(await run(code), "timeout");
});

for (const when of ["at once", "soon", "within an embedder", "with an embedder under way", "after close"]) {
  test(`process.exit ends the process with its code, ${when}, and the store is sound`, async (t) => {
    const at = folder(t);
    const code = `
      const when = args[1];
      const embedder = when.includes("embedder")
        ? Object.assign((texts) => {
            if (texts.length > 1 && when === "within an embedder") process.exit(7);
            if (texts.length > 1) setTimeout(() => process.exit(7), 1);
            return texts.length > 1 ? new Promise(() => {}) : texts.map(() => [1, 2]);
          }, { raeId: "mine/2" })
        : undefined;
      const mem = await rae.open(args[0], { embedder });
      for (let i = 0; i < 10; i++) await mem.remember("acknowledged " + i);
      for (let i = 0; i < 30; i++) {
        mem.remember("note " + i).catch(() => {});
        mem.recall("note").catch(() => {});
      }
      mem.rememberMany(Array.from({ length: 5_000 }, (_, i) => ({ content: "bulk " + i }))).catch(() => {});
      if (when === "at once") process.exit(7);
      if (when === "after close") mem.close().then(() => process.exit(7));
      if (when === "soon") setTimeout(() => process.exit(7), Math.random() * 50);
    `;
    const embedder = Object.assign((texts) => texts.map(() => [1, 2]), { raeId: "mine/2" });
    for (let i = 0; i < 4; i++) {
      const store = join(at, `${i}.rae`);
      const { exit, signal, err } = await start(code, [store, when]).ended;
      assert.deepEqual([exit, signal], [7, null], err);
      assert.ok((await sound(store, { embedder: when.includes("embedder") ? embedder : undefined })) >= 10);
    }
  });
}

test("an exception that nobody catches, in an embedder or beside it, ends as Node ends it and not otherwise", async () => {
  const code = `
    const embedder = Object.assign((texts) => {
      if (globalThis.broken) throw new Error("in the embedder");
      return texts.map(() => [1, 2]);
    }, { raeId: "mine/2" });
    const mem = await rae.open(":memory:", { embedder });
    globalThis.broken = true;
    process.on("unhandledRejection", (error) => console.log("unhandled", error.message));
    process.on("uncaughtException", (error) => console.log("uncaught", error.message));
    for (let i = 0; i < 300; i++) await mem.remember("note " + i);
    await mem.recall("note");
    await new Promise((resolve) => setTimeout(resolve, 20));
    console.log((await mem.stats()).memories);
  `;
  assert.equal(await run(code), "300");
  // An answer that comes after the call's end, and throws in a callback of its own, is the caller's program.
  const aside = `
    const embedder = Object.assign((texts) => texts.map(() => [1, 2]), { raeId: "mine/2" });
    const mem = await rae.open(":memory:", { embedder });
    mem.rememberMany(Array.from({ length: 5_000 }, (_, i) => ({ content: "note " + i })));
    setTimeout(() => { throw new Error("mine"); }, 5);
  `;
  const { exit, signal, err } = await start(aside).ended;
  assert.deepEqual([exit, signal], [1, null]);
  assert.match(err, /Error: mine/);
});

test("a call that fails unawaited is an unhandled rejection of Node's, with the class of the error", async () => {
  const { exit, err } = await start(`(await rae.open(":memory:")).get("nope");`).ended;
  assert.equal(exit, 1);
  assert.match(err, /InvalidInputError/);
});

test("closing is final, may be repeated, and holds for every scope", async (t) => {
  const store = join(folder(t), "a.rae");
  const mem = await open(store);
  const other = mem.withScope({ project: "other" });
  const { id } = await mem.remember("Kept.");
  await Promise.all([mem.close(), mem.close(), other.close()]);
  await mem.close();
  for (const call of [
    () => mem.stats(), () => mem.doctor(), () => other.stats(), () => mem.recall("x"), () => mem.remember("x"), () => mem.get(id), () => mem.list(), () => mem.rememberMany([{ content: "x" }]),
    () => mem.reembed(null), () => mem.maintain(), () => mem.context("x"), () => mem.forget(id), () => mem.withScope({ project: "third" }).stats(),
    () => mem.backup(`${store}.copy`), () => mem.export(`${store}.jsonl`),
  ]) {
    assert.equal((await rejected(call(), "unavailable", "closed")).reason, "closed");
  }
  assert.deepEqual([mem.file, mem.tenant], [store, "default"]);
  assert.equal(await sound(store), 1);
  assert.deepEqual(readdirSync(join(store, "..")), ["a.rae"]);
});

test("await using closes", async (t) => {
  const store = join(folder(t), "a.rae");
  const mem = await open(store);
  assert.equal(await mem[Symbol.asyncDispose](), undefined);
  assert.equal((await rejected(mem.stats(), "unavailable")).reason, "closed");
});

test("closing while calls run ends each of them, one way or the other", async (t) => {
  const at = folder(t);
  const model = switchable();
  for (const embedder of [undefined, model]) {
    const store = join(at, `${embedder === undefined}.rae`);
    for (let i = 0; i < 10; i++) {
      const mem = await open(store, { embedder, durability: "normal" });
      model.answer = async (texts) => {
        await new Promise(setImmediate);
        return model.good(texts);
      };
      const calls = Array.from({ length: 20 }, (_, n) => [mem.remember(`round ${i} note ${n} ${"x".repeat(n)}`), mem.recall("note"), mem.list(), mem.rememberMany(turns(n, { kind: "fact" }))]).flat();
      for (let turn = 0; turn < i * 3; turn++) await new Promise(setImmediate);
      const closing = soon(mem.close(), "close");
      for (const { status, reason } of await soon(Promise.allSettled(calls), "a call")) {
        if (status === "rejected") complete(reason, reason.kind === "cancelled" ? "cancelled" : "unavailable");
      }
      await closing;
    }
    model.answer = model.good;
    assert.ok((await sound(store, { embedder })) > 0);
  }
});

test("a handle that is collected while its call runs does not end the call", async (t) => {
  const store = join(folder(t), "a.rae");
  const model = switchable();
  // The handle lives in this frame alone.
  const call = await (async () => {
    const mem = await open(store, { embedder: model });
    let calls = 0;
    model.answer = async (texts) => {
      if (calls++ % 5 === 0) await collect();
      return model.good(texts);
    };
    return { ended: mem.rememberMany(turns(5_000)) };
  })();
  assert.equal((await soon(call.ended)).length, 5_000);
  assert.ok((await call.ended).every((receipt) => receipt.degraded.length === 0));
  model.answer = model.good;
  assert.equal(await sound(store, { embedder: model }), 5_000);
});

test("a native handle that is collected while its call runs does not end the call", async (t) => {
  const { native } = createRequire(import.meta.url)("../lib/native.js");
  const store = join(folder(t), "a.rae");
  const call = await (async () => {
    const handle = await native.Store.open(JSON.stringify({ path: store, reembed: false }));
    const batch = new native.Batch();
    batch.push(JSON.stringify(Array.from({ length: 20_000 }, (_, i) => ({ content: `note ${i}` }))));
    return { ended: handle.call("remember_many", batch) };
  })();
  await collect();
  await soon(call.ended);
  assert.equal(await sound(store), 20_000);
});

test("stores that are collected without close let go of their threads and files", async (t) => {
  const at = folder(t);
  await (await open(join(at, "0.rae"))).close();
  const before = [threads(), files()];
  const leave = async (i) => {
    const mem = await open(join(at, `${i % 3}.rae`));
    await mem.remember(`note ${i}`);
    await mem.recall("note");
    await mem.withScope({ project: "other" }).remember("still open");
  };
  for (let i = 0; i < 20; i++) await leave(i);
  await until(async () => {
    await collect();
    return threads() <= before[0] + 2 && files() <= before[1] + 2;
  }, "letting go");
  await until(() => !readdirSync(at).some((name) => name.endsWith("-wal")), "closing");
});

test("a thousand stores opened and closed leave no thread and no file", async (t) => {
  const at = folder(t);
  const cycle = async (i) => {
    const mem = await open(i % 10 === 0 ? join(at, "a.rae") : ":memory:", i % 3 === 0 ? { embedder: switchable() , reembed: true } : { reembed: true });
    if (i % 10 === 0) await mem.remember(`note ${i}`);
    await mem.close();
  };
  for (let i = 0; i < 30; i++) await cycle(i);
  await collect();
  const before = [threads(), files()];
  for (let i = 0; i < 1_000; i++) await cycle(i);
  // The threads of the last ones may still be on their way out.
  await until(async () => {
    await collect();
    return threads() <= before[0] + 2 && files() <= before[1] + 2;
  }, `back to ${before} from ${[threads(), files()]}`);
});

test("kill -9 in the middle of a bulk write loses nothing acknowledged", async (t) => {
  const store = join(folder(t), "a.rae");
  const child = start(`
    const mem = await rae.open(args[0]);
    for (let batch = 0; batch < 1000; batch++) {
      const receipts = await mem.rememberMany(Array.from({ length: 200 }, (_, i) => ({ content: "batch " + batch + " note " + i })));
      process.stdout.write([batch, receipts[0].id, receipts.at(-1).id, "end"].join(" ") + "\\n");
    }
  `, [store]);
  await until(() => child.out.split("\n").length > 5, "writing");
  child.kill("SIGKILL");
  const { signal, out } = await child.ended;
  assert.equal(signal, "SIGKILL");
  const acknowledged = out.split("\n").map((line) => line.split(" ")).filter((parts) => parts.at(-1) === "end");
  const memories = await sound(store);
  assert.ok(acknowledged.length >= 5 && memories >= 200 * acknowledged.length, `${memories}`);
  assert.equal(memories % 200, 0);
  const mem = await opened(t, {}, store);
  for (const [batch, first, last] of acknowledged) {
    assert.equal((await mem.get(first)).content, `batch ${batch} note 0`);
    assert.equal((await mem.get(last)).content, `batch ${batch} note 199`);
  }
});

test("two processes write one file at once and lose nothing", async (t) => {
  const store = join(folder(t), "a.rae");
  await (await open(store)).close();
  const code = `
    const mem = await rae.open(args[0]);
    for (let i = 0; i < 40; i++) {
      await mem.remember("process " + args[1] + " note " + i, { sessionId: "shared" });
      await mem.rememberMany(Array.from({ length: 5 }, (_, j) => ({ content: "process " + args[1] + " batch " + i + " " + j })));
      if ((await mem.recall("process " + args[1] + " note " + i)).length === 0) throw new Error("not found");
    }
    await mem.close();
    console.log("done");
  `;
  assert.deepEqual(await Promise.all([run(code, [store, 0]), run(code, [store, 1])]), ["done", "done"]);
  assert.equal(await sound(store), 2 * 40 * 6);
  const mem = await opened(t, {}, store);
  const { items } = await mem.list({ limit: 1000, filter: { sessionId: "shared" } });
  assert.deepEqual(items.map((m) => m.seqInSession).sort((a, b) => a - b), Array.from({ length: 80 }, (_, i) => i));
});

test("a reader sees what another process has committed", async (t) => {
  const store = join(folder(t), "a.rae");
  const mem = await opened(t, {}, store);
  await mem.remember("The old news.");
  assert.equal((await mem.recall("news")).length, 1);
  const fresh = await run(`
    const mem = await rae.open(args[0]);
    console.log((await mem.remember("The fresh news of the day.")).id);
    await mem.forget((await mem.list({ limit: 1 })).items[0].id);
  `, [store]);
  assert.deepEqual((await mem.recall("news")).map((hit) => hit.id), [fresh]);
});
