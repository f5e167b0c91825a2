// Sessions, and what is learnt from them.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Session, open } from "../index.mjs";

async function fail(session, error) {
  await session.log("tool_call", "fetch(1)", { tool: "fetch" });
  await session.log("tool_response", "-", { tool: "fetch", error });
}

test("a session logs, ends once and teaches", async () => {
  const mem = await open(":memory:");
  const session = mem.session("trip-1");
  assert.ok(session instanceof Session);
  assert.equal(session.id, "trip-1");
  assert.throws(() => new Session(), TypeError);
  await fail(session, "timeout after 30 s");
  await fail(session, "Timeout after 5 s.");
  const end = await session.end("failure", "no flight");
  assert.deepEqual(await session.end("failure", "no flight"), end);
  for (const refused of [() => session.end("success"), () => session.log("user_input", "More.")]) {
    await assert.rejects(refused, { kind: "conflict", reason: "session_ended" });
  }
  const page = await session.events({ limit: 4 });
  assert.deepEqual(page.items.map((m) => m.role), ["tool", "tool", "tool", "tool"]);
  const [last] = (await session.events({ cursor: page.nextCursor })).items;
  assert.deepEqual(last.metadata, { event: "session_end", outcome: "failure", error: "no flight" });
  const learnt = await mem.reflect();
  const lesson = learnt.find((made) => made.kind === "lesson" && made.tool);
  const { tool, error, count, created, sources } = lesson;
  assert.deepEqual({ tool, error, count, created, n: sources.length }, { tool: "fetch", error: "timeout after <n> s", count: 2, created: true, n: 4 });
  assert.deepEqual(await mem.reflect({ sessionId: "trip-1" }), []);
  assert.deepEqual(new Set((await mem.reflections()).items.map((m) => m.kind)), new Set(["lesson", "reflection"]));
  const context = await mem.context("How do I fetch it?");
  assert.ok(context.sources.some((source) => source.id === lesson.id));
  await mem.close();
});

test("wrong arguments are refused before anything is written", async () => {
  const mem = await open(":memory:");
  for (const call of [
    () => mem.session("s").log("shout", "x"),
    () => mem.session("s").log("tool_call", 5),
    () => mem.session("").log("tool_call", "x"),
    () => mem.session("s").log("tool_call", "x", { event: "mine" }),
    () => mem.endSession("s", "maybe"),
    () => mem.events("s", { limit: 0 }),
    () => mem.reflect({ since: "yesterday" }),
    () => open(":memory:", { model: "openai:gpt-4.1-mini", providers: {} }),
  ]) {
    await assert.rejects(async () => call(), { kind: "invalid_input" });
  }
  assert.equal((await mem.stats()).memories, 0);
  await mem.close();
});
