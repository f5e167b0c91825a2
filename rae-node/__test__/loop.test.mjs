// The event loop runs on while large calls do, and repeated calls leave nothing in memory.
import assert from "node:assert/strict";
import { test } from "node:test";
import { collect, opened, turns } from "./helpers.mjs";

/** Counts turns of the event loop during a call, those between its first and last piece of JSON, and the longest gap between two. */
async function beats(call) {
  let over = false;
  let count = 0;
  const parsed = [];
  const { parse } = JSON;
  JSON.parse = (text) => {
    parsed.push(count);
    return parse(text);
  };
  let last = performance.now();
  let gap = 0;
  const beat = () => {
    const now = performance.now();
    gap = Math.max(gap, now - last);
    last = now;
    count++;
    if (!over) setImmediate(beat);
  };
  setImmediate(beat);
  const start = performance.now();
  try {
    const answer = await call(() => count);
    return { answer, count, reading: parsed.at(-1) - parsed[0], gap, took: performance.now() - start };
  } finally {
    over = true;
    JSON.parse = parse;
  }
}

test("other callbacks run while large calls do", async (t) => {
  const mem = await opened(t);
  const items = turns(50_000, { metadata: { some: { more: ["of", "it"] } }, tags: ["a", "b"] });
  let [first, last] = [0, 0];
  const told = (name, { count, gap, took }) => t.diagnostic(`${name}: ${took.toFixed(0)} ms, ${count} turns, longest gap ${gap.toFixed(1)} ms`);

  const written = await beats((turn) => {
    // When the first and the last item are read.
    Object.defineProperty(items[0], "content", { enumerable: true, get: () => ((first = turn()), "the first") });
    Object.defineProperty(items.at(-1), "content", { enumerable: true, get: () => ((last = turn()), "the last") });
    return mem.rememberMany(items);
  });
  told("rememberMany of 50,000", written);
  assert.equal(written.answer.length, 50_000);
  assert.ok(written.count > 50, `${written.count} turns`);
  assert.ok(last - first > 5, `${last - first} turns while the items were read`);
  assert.ok(written.reading > 3, `${written.reading} turns while the receipts were made`);

  const recalled = await beats(() => mem.recall("note about subject", { k: 1000 }));
  told("first recall, k = 1,000", recalled);
  assert.equal(recalled.answer.length, 1000);
  assert.ok(recalled.count > 10, `${recalled.count} turns`);

  const listed = await beats(() => mem.list({ limit: 1000 }));
  told("list of 1,000", listed);
  assert.equal(listed.answer.items.length, 1000);
  assert.ok(listed.count > 5, `${listed.count} turns`);

  const large = await beats(() => mem.rememberMany(Array.from({ length: 30 }, (_, i) => ({ content: `${i} ${"words of a long text ".repeat(49_000)}` }))));
  told("rememberMany of 30 x 1 MiB", large);
  const read = await beats(() => mem.list({ limit: 30, filter: { kind: "text" } }));
  told("list of 30 x 1 MiB", read);
  assert.equal(read.answer.items.length, 30);
  assert.ok(large.count > 5 && read.count > 5, `${large.count} and ${read.count} turns`);
});

test("twenty thousand small calls do not grow the process", async (t) => {
  const mem = await opened(t);
  const round = async (i) => {
    const { id } = await mem.remember(`note ${i % 200}`, { metadata: { n: i % 200 }, tags: ["t"] });
    await mem.recall(`note ${i % 200}`, { k: 3, signal: new AbortController().signal });
    await mem.get(id);
    if (i % 10 === 0) await mem.get("nope").catch(() => {});
  };
  for (let i = 0; i < 1_000; i++) await round(i);
  await collect();
  const before = process.memoryUsage();
  for (let i = 0; i < 7_000; i++) await round(i);
  await collect();
  const after = process.memoryUsage();
  const grown = (key) => (after[key] - before[key]) / 2 ** 20;
  t.diagnostic(`grown by ${grown("rss").toFixed(1)} MiB, of it heap ${grown("heapUsed").toFixed(1)}`);
  // Some 21,000 calls: half a kilobyte for each would be 10 MiB; noise of allocators is below this.
  assert.ok(grown("heapUsed") < 10, `${grown("heapUsed")} MiB of heap`);
  assert.ok(grown("rss") < 60, `${grown("rss")} MiB`);
});
