"use strict";
// The handle that people use: names in camelCase, promises, AbortSignal. Every verb is one line to the engine.

const { native } = require("./native.js");
const encode = require("./encode.js");
const embedder = require("./embedder.js");
const { batchOf, cancellable, chatOf, decode, levelled, rows, taken } = require("./call.js");
const { aborted, fromNative, invalid } = require("./errors.js");
const { LlmStream, Metered, Session, TAKEN } = require("./handles.js");

/** The answer of `recall`: an array of hits with `degraded` and `trace`. */
class Hits extends Array {
  /** What `map`, `filter` and `slice` make is a plain array. */
  static get [Symbol.species]() {
    return Array;
  }
}

class Rae {
  #store;
  #file;
  #url;

  constructor(taken, store, { file = null, url = null }) {
    if (taken !== TAKEN) throw new TypeError("a store is opened with open(path) or connect(url), not with new");
    this.#store = store;
    this.#file = file;
    this.#url = url;
  }

  get file() {
    return this.#file;
  }

  get url() {
    return this.#url;
  }

  get tenant() {
    return this.#store.tenant;
  }

  get project() {
    return this.#store.project;
  }

  withScope(options) {
    const args = encode.object("the scope", options, encode.SCOPE);
    try {
      const store = this.#store.withScope(args.tenant ?? undefined, args.project ?? undefined);
      return new Rae(TAKEN, store, { file: this.#file, url: this.#url });
    } catch (error) {
      throw fromNative(error);
    }
  }

  async #call(verb, { args, signal }) {
    const json = JSON.stringify(args);
    return decode(await cancellable(verb, signal, (cancel) => this.#store.call(verb, json, cancel)));
  }

  async remember(content, options) {
    const call = taken("remember", options, encode.REMEMBER);
    call.args.content = encode.content("content", content);
    return this.#call("remember", call);
  }

  async rememberMany(items, options) {
    const { signal } = taken("rememberMany", options);
    if (signal?.aborted) throw aborted(signal, "remember_many");
    const batch = await batchOf("remember_many", encode.items(items), encode.item, signal);
    return decode(await cancellable("remember_many", signal, (cancel) => this.#store.call("remember_many", batch, cancel)));
  }

  async recall(query, options) {
    const call = taken("recall", options, encode.RECALL);
    call.args.query = encode.query("query", query);
    const { hits, degraded, trace } = await this.#call("recall", call);
    return Object.assign(Hits.from(hits), { degraded, trace });
  }

  async context(query, options) {
    // The query may be left out: context({ sessionId }).
    if (encode.isPlain(query) && options === undefined) [query, options] = [undefined, query];
    const call = taken("context", options, encode.CONTEXT);
    if (query !== undefined && query !== null) call.args.query = encode.query("query", query);
    return this.#call("context", call);
  }

  async #callWith(verb, name, value, options) {
    const call = taken(verb, options);
    call.args[name] = value;
    return this.#call(verb, call);
  }

  async get(id, options) {
    return this.#callWith("get", "id", encode.text("id", id), options);
  }

  async list(options) {
    return this.#call("list", taken("list", options, encode.LIST));
  }

  async update(id, fields, options) {
    const { signal } = taken("update", options);
    const args = encode.object("the fields of update", fields, encode.UPDATE);
    args.id = encode.text("id", id);
    return this.#call("update", { args, signal });
  }

  async history(id, options) {
    return this.#callWith("history", "id", encode.text("id", id), options);
  }

  async forget(what, options) {
    if (typeof what === "string") return this.#callWith("forget", "id", encode.text("id", what), options);
    const call = taken("forget", what, encode.FORGET);
    const { signal = call.signal } = taken("forget", options);
    return this.#call("forget", { args: call.args, signal });
  }

  async verifyErasure(receipt, options) {
    const call = taken("verifyErasure", options, encode.VERIFY);
    call.args.receipt = encode.receipt(receipt);
    return this.#call("verify_erasure", call);
  }

  async feedback(id, useful, options) {
    const call = taken("feedback", options);
    Object.assign(call.args, { id: encode.text("id", id), useful: encode.flag("useful", useful) });
    return this.#call("feedback", call);
  }

  async relate(subject, relation, object, options) {
    const call = taken("relate", options, encode.RELATE);
    for (const [name, value] of Object.entries({ subject, relation, object })) call.args[name] = encode.text(name, value);
    return this.#call("relate", call);
  }

  async relations(options) {
    return this.#call("relations", taken("relations", options, encode.RELATIONS));
  }

  async embed(texts, options) {
    const { args, signal } = taken("embed", options, encode.EMBED);
    if (signal?.aborted) throw aborted(signal, "embed");
    const batch = await batchOf("embed", encode.texts("texts", texts), (text) => encode.content("texts", text), signal);
    return rows(await cancellable("embed", signal, (cancel) => this.#store.embed(batch, args.role ?? undefined, cancel)));
  }

  async vector(id, options) {
    const { signal } = taken("vector", options);
    const given = encode.text("id", id);
    const [vector] = rows(await cancellable("vector", signal, (cancel) => this.#store.vector(given, cancel)));
    return vector;
  }

  async stats(options) {
    return this.#call("stats", taken("stats", options));
  }

  async export(path, options) {
    return this.#callWith("export", "path", encode.path("path", path), options);
  }

  async import(path, options) {
    return this.#callWith("import", "path", encode.path("path", path), options);
  }

  async reembed(value, options) {
    const { signal } = taken("reembed", options);
    if (signal?.aborted) throw aborted(signal, "reembed");
    const { name, info, call } = await embedder.resolve(value, { signal });
    const done = await cancellable("reembed", signal, (cancel) => this.#store.reembed(name, info, call, cancel));
    return JSON.parse(done);
  }

  async maintain(options) {
    return this.#call("maintain", taken("maintain", options, encode.MAINTAIN));
  }

  async audit(options) {
    return this.#call("audit", taken("audit", options, encode.AUDIT));
  }

  async changes(options) {
    return this.#call("changes", taken("changes", options, encode.CHANGES));
  }

  async undo(changeId, options) {
    return this.#callWith("undo", "id", encode.text("changeId", changeId), options);
  }

  async jobs(options) {
    return this.#call("jobs", taken("jobs", options, encode.JOBS));
  }

  async requeueJob(jobId, options) {
    await this.#callWith("requeue_job", "id", encode.text("jobId", jobId), options);
  }

  async evaluate(questions, options) {
    const { args, signal } = taken("evaluate", options, encode.RECALL);
    return this.#call("evaluate", { args: { questions: encode.questions("questions", questions), options: args }, signal });
  }

  async compareEvaluations(a, b, options) {
    const { signal } = taken("compareEvaluations", options);
    return this.#call("compare_evaluations", { args: { a: encode.run("a", a), b: encode.run("b", b) }, signal });
  }

  async setQuestions(name, questions, options) {
    const { signal } = taken("setQuestions", options);
    const args = { name: encode.text("name", name), questions: encode.questions("questions", questions) };
    await this.#call("set_questions", { args, signal });
  }

  async questionSets(options) {
    return this.#call("question_sets", taken("questionSets", options));
  }

  async runQuestions(name, options) {
    const { args, signal } = taken("runQuestions", options, encode.RECALL);
    return this.#call("run_questions", { args: { name: encode.text("name", name), options: args }, signal });
  }

  async evaluations(name, options) {
    return this.#callWith("evaluations", "name", encode.text("name", name), options);
  }

  async entities(query, options) {
    // The query may be left out: entities({ limit }).
    if (encode.isPlain(query) && options === undefined) [query, options] = [undefined, query];
    const call = taken("entities", options, encode.ENTITIES);
    if (query !== undefined && query !== null) call.args.query = encode.query("query", query);
    return this.#call("entities", call);
  }

  async neighbors(entity, options) {
    const call = taken("neighbors", options, encode.NEIGHBORS);
    call.args.entity = encode.text("entity", entity);
    return this.#call("neighbors", call);
  }

  async path(a, b, options) {
    const call = taken("path", options, encode.WAY);
    Object.assign(call.args, { a: encode.text("a", a), b: encode.text("b", b) });
    return this.#call("path", call);
  }

  async subgraph(entities, options) {
    const call = taken("subgraph", options, encode.SUBGRAPH);
    call.args.entities = encode.texts("entities", entities).map((name) => encode.text("entities", name));
    return this.#call("subgraph", call);
  }

  async snapshot(label, options) {
    return this.#callWith("snapshot", "label", encode.text("label", label), options);
  }

  async snapshots(options) {
    return this.#call("snapshots", taken("snapshots", options));
  }

  async doctor(options) {
    return this.#call("doctor", taken("doctor", options));
  }

  async backup(path, options) {
    await this.#callWith("backup", "path", encode.path("path", path), options);
  }

  session(id, options) {
    // Read here, so that what is wrong is said at once.
    taken("session", options, encode.WHOSE);
    return new Session(TAKEN, this, encode.text("id", id), options);
  }

  async logEvent(sessionId, type, content, options) {
    const call = taken("logEvent", options, encode.EVENT);
    const given = { session_id: encode.text("sessionId", sessionId), type: encode.text("type", type) };
    Object.assign(call.args, given, { content: encode.content("content", content) });
    return this.#call("log_event", call);
  }

  async endSession(sessionId, outcome, options) {
    const call = taken("endSession", options, encode.SESSION_END);
    Object.assign(call.args, { session_id: encode.text("sessionId", sessionId), outcome: encode.text("outcome", outcome) });
    return this.#call("end_session", call);
  }

  async events(sessionId, options) {
    const call = taken("events", options, encode.EVENTS);
    call.args.session_id = encode.text("sessionId", sessionId);
    return this.#call("events", call);
  }

  async reflect(options) {
    return this.#call("reflect", taken("reflect", options, encode.REFLECT));
  }

  async reflections(options) {
    return this.#call("reflections", taken("reflections", options, encode.EVENTS));
  }

  async setBudget(limits) {
    return this.#call("set_budget", levelled("setBudget", limits, encode.BUDGET));
  }

  async limits(options) {
    return this.#call("limits", levelled("limits", options, encode.NONE));
  }

  async budget(options) {
    return this.#call("budget", levelled("budget", options, encode.NONE));
  }

  async costs(options) {
    return this.#call("costs", levelled("costs", options, encode.COSTS));
  }

  async costLog(options) {
    return this.#call("cost_log", levelled("costLog", options, encode.COST_LOG));
  }

  async meter(provider, model, options, run) {
    const { args, signal } = taken("meter", options, encode.METER);
    const { max_output_tokens: output_tokens, ...given } = args;
    if (output_tokens !== undefined) given.output_tokens = output_tokens;
    Object.assign(given, { provider: encode.text("provider", provider), model: encode.text("model", model) });
    if (run !== undefined && typeof run !== "function") throw invalid(`a metered call is a function, not ${encode.typeName(run)}`);
    const start = await this.#call("meter", { args: given, signal });
    const call = new Metered(TAKEN, (verb, end) => this.#call(verb, end), given, start);
    if (run === undefined) return call;
    let result;
    try {
      result = await run(call);
    } catch (error) {
      await call._failed();
      throw error;
    }
    await call.end();
    return result;
  }

  async llm(request) {
    return this.#call("llm", chatOf("llm", request));
  }

  async llmEstimate(request) {
    return this.#call("llm_estimate", chatOf("llmEstimate", request));
  }

  async llmStream(request) {
    const { args, signal } = chatOf("llmStream", request);
    const json = JSON.stringify(args);
    const pieces = await cancellable("llm", signal, (cancel) => this.#store.llmStream(json, cancel));
    return new LlmStream(TAKEN, pieces, signal);
  }

  async close() {
    await cancellable("close", undefined, () => this.#store.close());
  }

  async [Symbol.asyncDispose]() {
    await this.close();
  }

  /** For tests that replay: moves the clock of a store that was opened with one of its own. */
  _testAdvance(seconds) {
    this.#store.testAdvance(seconds);
  }
}

async function open(path, options) {
  const args = encode.object("the options of open", options, encode.OPEN);
  const { embedder: wanted, _test_now: test_now, _test_seed: test_seed, ...given } = args;
  given.path = encode.path("path", path);
  if (given.timeout != null && given.timeout <= 0) throw invalid("timeout must be a number of seconds above 0");
  if (given.reflect_after != null && !(Number.isSafeInteger(given.reflect_after) && given.reflect_after >= 0)) {
    throw invalid("reflectAfter must be a whole number, 0 or more");
  }
  const { name, info, call } = await embedder.resolve(wanted, { seconds: given.timeout });
  const json = JSON.stringify({ ...given, reembed: given.reembed ?? false, embedder: name, test_now, test_seed });
  const store = await cancellable("open", undefined, () => native.Store.open(json, info, call));
  return new Rae(TAKEN, store, { file: given.path === ":memory:" ? null : given.path });
}

async function connect(url, options) {
  const args = encode.object("the options of connect", options, encode.CONNECT);
  const address = encode.text("url", url instanceof URL ? url.href : url);
  if (args.timeout != null && args.timeout <= 0) throw invalid("timeout must be a number of seconds above 0");
  const json = JSON.stringify({ ...args, url: address });
  const store = await cancellable("connect", undefined, () => native.Store.connect(json));
  if (store.isKeyInClear) {
    const message = "the API key is sent without encryption; use https:// outside of a network you trust";
    process.emitWarning(message, { code: "RAE_KEY_IN_CLEAR" });
  }
  return new Rae(TAKEN, store, { url: address });
}

module.exports = { open, connect, Rae, Hits, LlmStream, Metered, Session };
