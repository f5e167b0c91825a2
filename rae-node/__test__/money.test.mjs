// Budgets, metering and calls of models, against a provider of one's own that keeps the books of what it charged.
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { after, before, test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { BudgetExceededError, CancelledError, InvalidInputError, LlmStream, Metered, connect } from "../index.mjs";
import { opened } from "./helpers.mjs";
import { startScenarioServer } from "./support/server.mjs";

let server;
before(async () => {
  server = await startScenarioServer();
});
after(() => server.stop());

/** A handle on a fresh store of the server, with these providers. */
async function far(t, { providers }) {
  const named = Object.entries(providers).map(([name, { apiKey, baseUrl }]) => [name, { api_key: apiKey, base_url: baseUrl }]);
  const url = await server.store({ providers: Object.fromEntries(named) });
  const mem = await connect(url, { apiKey: server.key, tenant: "t" });
  t.after(() => mem.close());
  return mem;
}

/** A test of a store of this process, and of one on a server: the same calls, the same answers. */
function both(name, run) {
  test(name, (t) => run(t, opened));
  test(`${name}, on a server`, (t) => run(t, far));
}

const MODEL = "gpt-4o-mini";
// Micro-dollars for a million tokens, as the built-in file has them.
const [INPUT, OUTPUT] = [150_000, 600_000];
const ASK = [{ role: "user", content: "Where does the ferry leave from?" }];
const ANSWER = "From the old pier, at ten.";

/** What a call costs in whole micro-dollars. */
const price = (input, output) => Math.ceil((input * INPUT + output * OUTPUT) / 1e6);
const micros = (usd) => Math.round(usd * 1e6);

/** Speaks OpenAI's chat completions. Charges 20 tokens read and 7 written a call. */
async function provider(t) {
  const books = { charged: 0, bodies: [], hold: null, asked: () => {} };
  const server = createServer(async (request, response) => {
    let text = "";
    for await (const piece of request) text += piece;
    const body = JSON.parse(text);
    assert.equal(request.url, "/v1/chat/completions");
    assert.equal(request.headers.authorization, "Bearer sk-test");
    books.bodies.push(body);
    books.charged += price(20, 7);
    books.asked();
    const usage = { prompt_tokens: 20, completion_tokens: 7, total_tokens: 27 };
    const head = { id: "chatcmpl-1", created: 1, model: MODEL };
    if (!body.stream) {
      await books.hold;
      const choice = { index: 0, message: { role: "assistant", content: ANSWER }, finish_reason: "stop" };
      response.setHeader("content-type", "application/json");
      response.end(JSON.stringify({ ...head, object: "chat.completion", choices: [choice], usage }));
      return;
    }
    response.setHeader("content-type", "text/event-stream");
    const event = (data) => response.write(`data: ${JSON.stringify({ ...head, object: "chat.completion.chunk", ...data })}\n\n`);
    const words = ANSWER.split(" ").map((word, i) => (i === 0 ? word : ` ${word}`));
    for (const [i, content] of words.entries()) {
      event({ choices: [{ index: 0, delta: { content }, finish_reason: null }] });
      if (i === 1) await books.hold;
    }
    event({ choices: [{ index: 0, delta: {}, finish_reason: "stop" }] });
    event({ choices: [], usage });
    response.end("data: [DONE]\n\n");
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  books.providers = { openai: { apiKey: "sk-test", baseUrl: `http://127.0.0.1:${server.address().port}/v1` } };
  return books;
}

/** The rows of the ledger, once there are so many: a call that was given up is booked beside its caller. */
async function rows(mem, count) {
  for (let i = 0; i < 3000; i++) {
    const { items } = await mem.costLog({ limit: 1000 });
    if (items.length >= count) return items;
    await pause(10);
  }
  throw new Error(`there are no ${count} rows`);
}

both("a budget is changed field by field", async (t, made) => {
  const mem = await made(t, { providers: {} });
  await mem.setBudget({ dailyLimit: "20.10", monthlyLimit: 500, dailyTokenLimit: 1_000_000 });
  const limits = await mem.setBudget({ monthlyLimit: null, warningThreshold: 0.5 });
  const wanted = { dailyLimit: 20.1, monthlyLimit: null, dailyTokenLimit: 1_000_000, monthlyTokenLimit: null, warningThreshold: 0.5 };
  assert.deepEqual(limits, wanted);
  assert.equal((await mem.setBudget({ dailyLimit: 0.000001, project: true })).dailyLimit, 0.000001);
  assert.deepEqual(await mem.limits(), wanted);
  const budget = await mem.budget({ project: true });
  assert.deepEqual([budget.scope, budget.daily.limitUsd, budget.daily.usedUsd], ["project", 0.000001, 0]);
  for (const wrong of [{ dailyLimit: -1 }, { dailyLimit: 1e-7 }, { dailyLimit: true }, { weeklyLimit: 1 }, { project: "p" }]) {
    await assert.rejects(mem.setBudget(wrong), InvalidInputError);
  }
});

both("an answer says what it cost, whole or in pieces, and the ledger agrees to the micro-dollar", async (t, made) => {
  const books = await provider(t);
  const mem = await made(t, { providers: books.providers });
  const answer = await mem.llm({ model: MODEL, messages: ASK, maxTokens: 50, userId: "ada", extra: { seed: 7 } });
  assert.deepEqual([answer.text, answer.finishReason, answer.provider], [ANSWER, "stop", "openai"]);
  assert.deepEqual(answer.message, { role: "assistant", content: ANSWER });
  assert.equal(micros(answer.costUsd), price(20, 7));
  assert.equal(answer.usage.outputTokens, 7);
  assert.deepEqual([books.bodies[0].seed, books.bodies[0].max_completion_tokens], [7, 50]);
  const stream = await mem.llmStream({ model: MODEL, messages: ASK });
  assert.ok(stream instanceof LlmStream);
  assert.equal(stream.costUsd, null);
  let text = "";
  for await (const piece of stream) text += piece.text;
  assert.equal(text, ANSWER);
  assert.equal(micros(stream.costUsd), price(20, 7));
  assert.equal(stream.usage.inputTokens, 20);
  const log = await rows(mem, 2);
  assert.equal(log.reduce((sum, row) => sum + micros(row.costUsd), 0), books.charged);
  const { items } = await mem.costs({ groupBy: ["user"] });
  assert.deepEqual(items.map((item) => [item.user, micros(item.costUsd)]), [["", price(20, 7)], ["ada", price(20, 7)]]);
  assert.equal(micros((await mem.budget()).daily.usedUsd), books.charged);
});

both("a full budget refuses before the first byte", async (t, made) => {
  const books = await provider(t);
  const mem = await made(t, { providers: books.providers });
  await mem.setBudget({ dailyLimit: 0.00001 });
  await assert.rejects(mem.llm({ model: MODEL, messages: ASK }), (error) => {
    assert.ok(error instanceof BudgetExceededError);
    assert.equal(error.reason, "daily_usd_budget_exceeded");
    assert.ok(error.details.requested > error.details.available);
    return true;
  });
  await assert.rejects(mem.llmStream({ model: MODEL, messages: ASK }), BudgetExceededError);
  const estimate = await mem.llmEstimate({ model: MODEL, messages: ASK });
  assert.deepEqual([estimate.allowed, estimate.refusal.code], [false, "daily_usd_budget_exceeded"]);
  assert.deepEqual(books.bodies, []);
  await assert.rejects(mem.llm({ model: "openai/a-model-of-nobody", messages: ASK }), { reason: "unknown_model_price" });
});

test("what a server says of a call is what a store says", async (t) => {
  const books = await provider(t);
  const [here, there] = [await opened(t, { providers: books.providers }), await far(t, { providers: books.providers })];
  const request = { model: MODEL, messages: ASK, userId: " ada ü ", operation: "greet", requestId: "r-1" };
  assert.deepEqual(await there.llm(request), await here.llm(request));
  const pieces = async (mem) => {
    const all = [];
    const stream = await mem.llmStream(request);
    for await (const piece of stream) all.push(piece);
    return [all, stream.costUsd, stream.usage, stream.warnings];
  };
  assert.deepEqual(await pieces(there), await pieces(here));
  assert.deepEqual(await there.llmEstimate(request), await here.llmEstimate(request));
  for (const mem of [here, there]) {
    for (const row of await rows(mem, 2)) {
      assert.deepEqual([row.userId, row.operation, row.requestId, row.model], [" ada ü ", "greet", "r-1", MODEL]);
    }
  }
});

test("a stream of a server that is left is booked at what was produced", async (t) => {
  const books = await provider(t);
  const mem = await far(t, { providers: books.providers });
  let release;
  books.hold = new Promise((resolve) => (release = resolve));
  for await (const piece of await mem.llmStream({ model: MODEL, messages: ASK })) {
    assert.equal(piece.text, "From");
    break;
  }
  const [dropped] = await rows(mem, 1);
  assert.equal(dropped.status, "dropped");
  assert.ok(dropped.costUsd > 0);
  release();
});

test("a call that is aborted, and a stream that is left, are booked", async (t) => {
  const books = await provider(t);
  const mem = await opened(t, { providers: books.providers });
  let release;
  books.hold = new Promise((resolve) => (release = resolve));
  const controller = new AbortController();
  books.asked = () => controller.abort();
  await assert.rejects(mem.llm({ model: MODEL, messages: ASK, maxTokens: 50, signal: controller.signal }), CancelledError);
  books.asked = () => {};
  assert.equal((await rows(mem, 1))[0].status, "cancelled");
  for await (const piece of await mem.llmStream({ model: MODEL, messages: ASK })) {
    assert.equal(piece.text, "From");
    break;
  }
  const [dropped] = await rows(mem, 2);
  assert.equal(dropped.status, "dropped");
  assert.ok(dropped.costUsd > 0);
  assert.equal((await mem.budget()).daily.reservedUsd, 0);
  release();
});

both("a metered call is held and booked at what it used, or at what was held", async (t, made) => {
  const mem = await made(t, { providers: {} });
  const options = { inputTokens: 1000, maxOutputTokens: 500 };
  for (const usage of [
    { inputTokens: 1000, outputTokens: 100 },
    { prompt_tokens: 1000, completion_tokens: 100, total_tokens: 1100 },
    { input_tokens: 1000, output_tokens: 100, service_tier: "standard" },
    { promptTokenCount: 1000, candidatesTokenCount: 100 },
    { inputTokens: 1000, cachedInputTokens: 0, cacheWriteTokens: 0, outputTokens: 100, reasoningTokens: 0, estimated: false },
  ]) {
    let call;
    const given = await mem.meter("openai", MODEL, options, async (metered) => {
      call = metered;
      assert.equal(micros(call.heldUsd), price(1000, 500));
      assert.equal(micros((await mem.budget()).daily.reservedUsd), price(1000, 500));
      call.used(usage);
      return "given";
    });
    assert.deepEqual([given, micros(call.costUsd)], ["given", price(1000, 100)]);
  }
  const failed = mem.meter("openai", MODEL, options, () => {
    throw new TypeError("of the caller's own");
  });
  await assert.rejects(failed, TypeError);
  const call = await mem.meter("openai", MODEL, { messages: ASK });
  assert.ok(call instanceof Metered);
  call.free();
  assert.equal(await call.end(), 0);
  const wrong = await mem.meter("openai", MODEL, options);
  wrong.used({ tokens: 3 });
  await assert.rejects(wrong.end(), InvalidInputError);
  const { daily } = await mem.budget();
  assert.deepEqual([micros(daily.usedUsd), daily.reservedUsd], [5 * price(1000, 100) + 2 * price(1000, 500), 0]);
  // What is written to the provider's cache has a price of its own.
  for (const usage of [
    { input_tokens: 1000, cache_read_input_tokens: 400, cache_creation_input_tokens: 600, output_tokens: 100 },
    { inputTokens: 2000, cachedInputTokens: 400, cacheWriteTokens: 600, outputTokens: 100 },
  ]) {
    const cached = await mem.meter("anthropic", "claude-haiku-4-5", { inputTokens: 2000, maxOutputTokens: 100 });
    cached.used(usage);
    assert.equal(micros(await cached.end()), 2290);
  }
});

both("calls at once never pass a small budget together", async (t, made) => {
  const mem = await made(t, { providers: {} });
  await mem.setBudget({ dailyLimit: (price(1000, 500) * 10) / 1e6 });
  const calls = Array.from({ length: 50 }, () => mem.meter("openai", MODEL, { inputTokens: 1000, maxOutputTokens: 500 }));
  const settled = await Promise.allSettled(calls);
  const held = settled.filter(({ status }) => status === "fulfilled").map(({ value }) => value);
  const refused = settled.filter(({ status }) => status === "rejected").map(({ reason }) => reason);
  assert.deepEqual([held.length, refused.length], [10, 40]);
  assert.ok(refused.every((error) => error instanceof BudgetExceededError));
  for (const call of held) {
    call.used({ inputTokens: 1000, outputTokens: 500 });
    await call.end();
  }
  assert.equal((await mem.budget()).daily.remainingUsd, 0);
});
