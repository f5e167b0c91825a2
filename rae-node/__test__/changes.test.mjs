// Fixing, what the engine changed by itself, and taking it back.
import assert from "node:assert/strict";
import { test } from "node:test";
import { ConflictError, InvalidInputError, open } from "../index.mjs";

test("what an audit fixes can be undone", async () => {
  const mem = await open(":memory:");
  const { id: code } = await mem.remember("The door code is 4711.", { kind: "fact" });
  const { id: same } = await mem.remember("the door code is 4711", { kind: "fact" });
  const [dry] = (await mem.audit()).findings;
  assert.ok(dry.automatic && dry.change === null);
  const report = await mem.audit({ fix: true });
  assert.equal(report.fixed, 1);
  assert.equal((await mem.get(same)).supersededBy, code);
  const { items, nextCursor } = await mem.changes({ limit: 5 });
  assert.deepEqual([items[0].id, items[0].action, items[0].undoable, nextCursor], [report.findings[0].change, "audit_fix", true, null]);
  const undone = await mem.undo(items[0].id);
  assert.deepEqual([undone.undone, undone.replayed], [items[0].id, false]);
  assert.equal((await mem.get(same)).supersededBy, null);
  assert.equal((await mem.changes()).items[1].undoneBy, undone.id);
  await mem.forget(same);
  await assert.rejects(mem.undo((await mem.changes()).items[0].id), (e) => e instanceof ConflictError && e.reason === "not_undoable");
  await mem.close();
});

test("a store that enriches reads facts unasked", async () => {
  for (const [enrich, facts] of [["rules", 1], ["off", 0], [null, 0]]) {
    const mem = await open(":memory:", { enrich });
    await mem.remember("I live in Oslo.", { speaker: "Ada" });
    await mem.maintain();
    assert.equal((await mem.list({ filter: { kind: "fact" } })).items.length, facts);
    await mem.close();
  }
  await assert.rejects(open(":memory:", { enrich: "model" }), (e) => e instanceof InvalidInputError && e.reason === "enrich_model");
  await assert.rejects(open(":memory:", { enrich: "all" }), InvalidInputError);
});
