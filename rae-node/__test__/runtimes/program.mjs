// What scripts/runtimes.sh lets Bun, Deno and Node run on the installed package.
import assert from "node:assert/strict";
import { RaeError, open } from "rae";

const mem = await open("agent.rae");
await mem.remember("Caroline adopted a puppy called Scout.", { speaker: "Caroline", sessionId: "s1" });
assert.equal((await mem.recall("What did Caroline adopt?"))[0].content, "Caroline adopted a puppy called Scout.");
const receipts = await mem.rememberMany(Array.from({ length: 5_000 }, (_, i) => ({ content: `Note ${i}` })));
assert.equal(receipts.length, 5_000);
assert.equal((await mem.list({ limit: 1_000 })).items.length, 1_000);
await assert.rejects(mem.recall("x", { k: -1 }), (e) => e instanceof RaeError && e.code === "INVALID_INPUT");
await assert.rejects(mem.recall("x", { signal: AbortSignal.abort() }), { name: "AbortError", code: "ABORTED" });
await mem.close();

let fails = false;
async function letters(texts) {
  if (fails) throw new Error("as the test says");
  return texts.map((text) => Float32Array.from({ length: 26 }, (_, i) => text.split(String.fromCharCode(97 + i)).length - 1));
}
const own = await open(":memory:", { embedder: letters });
await own.remember("hello");
assert.ok((await own.recall("hell"))[0].signals.dense > 0.9);
fails = true;
assert.deepEqual((await own.remember("yellow")).degraded, ["dense"]);
// Left open: it must not keep the process alive.
console.log("1 passed, 0 failed");
