"use strict";
// The handle that people use: names in camelCase, promises, AbortSignal. Every verb is one line to the engine.

const { native } = require("./native.js");
const encode = require("./encode.js");
const embedder = require("./embedder.js");
const { aborted, classes, fromNative, invalid } = require("./errors.js");

const { RaeError } = classes;

// How long one go at a large argument or answer may hold the event loop, in milliseconds.
const SLICE_MILLIS = 1;
// Characters of JSON that are handed over at once.
const SLICE_CHARS = 16 << 10;

const turn = () => new Promise(setImmediate);
const TAKEN = Symbol("made by open");
const SIGNAL = new Set(["signal"]);

/** The answer of `recall`: an array of hits with `degraded` and `trace`. */
class Hits extends Array {
  /** What `map`, `filter` and `slice` make is a plain array. */
  static get [Symbol.species]() {
    return Array;
  }
}

/** An options object as its signal and the engine's arguments. Its own properties alone: nothing that was left on Object.prototype. */
function taken(verb, options, known = encode.NONE) {
  const args = encode.object(`the options of ${verb}`, options, known, SIGNAL);
  const signal = options != null && Object.hasOwn(options, "signal") ? options.signal : undefined;
  if (signal === undefined || signal === null) return { args, signal: undefined };
  if (!(signal instanceof AbortSignal)) throw invalid(`signal must be an AbortSignal, not ${encode.typeName(signal)}`);
  return { args, signal };
}

// One listener a signal, however many calls share it: Node warns of more than ten.
const watched = new WeakMap();

/** Cancels when the signal fires. Gives what ends the watch. */
function watch(signal, cancel) {
  let watch = watched.get(signal);
  if (watch === undefined) {
    const cancels = new Set();
    watch = { cancels, fire: () => cancels.forEach((one) => one.cancel()) };
    watched.set(signal, watch);
    signal.addEventListener("abort", watch.fire, { once: true });
  }
  const { cancels, fire } = watch;
  cancels.add(cancel);
  return () => {
    cancels.delete(cancel);
    if (cancels.size > 0) return;
    watched.delete(signal);
    signal.removeEventListener("abort", fire);
  };
}

/** Runs a native call that a signal may cancel. */
async function cancellable(operation, signal, start) {
  try {
    if (signal === undefined) return await start(undefined);
    if (signal.aborted) throw aborted(signal, operation);
    const cancel = new native.Cancel();
    const unwatch = watch(signal, cancel);
    try {
      return await start(cancel);
    } finally {
      unwatch();
    }
  } catch (error) {
    if (error instanceof RaeError) throw error;
    const made = fromNative(error);
    if (made.kind === "cancelled" && signal?.aborted) made.cause = signal.reason;
    throw made;
  }
}

/** An answer of the engine, large ones without holding the event loop. */
async function decode(answer) {
  if (typeof answer === "string") return JSON.parse(answer);
  const head = JSON.parse(answer.head);
  const out = answer.list === "" ? head : head[answer.list];
  let start = performance.now();
  for (let piece = answer.next(); piece !== null && piece !== undefined; piece = answer.next()) {
    for (const item of JSON.parse(piece)) out.push(item);
    if (performance.now() - start > SLICE_MILLIS) {
      await turn();
      start = performance.now();
    }
  }
  return head;
}

/** What many items are in JSON, as a native batch, without holding the event loop. */
async function batchOf(operation, items, read, signal) {
  const batch = new native.Batch();
  let slice = [];
  let chars = 0;
  let start = performance.now();
  // As long as it is now: it is the caller's own array.
  const { length } = items;
  for (let i = 0; i < length; i++) {
    const json = JSON.stringify(read(items[i], i));
    slice.push(json);
    chars += json.length;
    const late = performance.now() - start > SLICE_MILLIS;
    if (chars > SLICE_CHARS || late) {
      batch.push(`[${slice.join()}]`);
      slice = [];
      chars = 0;
    }
    if (late) {
      await turn();
      if (signal?.aborted) throw aborted(signal, operation);
      start = performance.now();
    }
  }
  if (slice.length > 0) batch.push(`[${slice.join()}]`);
  return batch;
}

/** One Float32Array a text, null for one without a vector. */
function rows({ flat, has }) {
  const dim = flat.length / (has.filter(Boolean).length || 1);
  let at = 0;
  return has.map((there) => (there ? flat.slice(at, (at += dim)) : null));
}

/** The same with `project: true`, which means the project's money instead of the tenant's. */
function levelled(verb, options, known) {
  if (!encode.isPlain(options)) return taken(verb, options, known);
  const { project, ...rest } = options;
  const call = taken(verb, rest, known);
  if (project !== undefined && project !== null) call.args.project = encode.flag("project", project);
  return call;
}

/** A chat: fields of OpenAI's that have no name here are in `extra`, by their own names. */
function chatOf(verb, options) {
  const { args, signal } = taken(verb, options, encode.LLM);
  const { extra, ...named } = args;
  return { args: { ...extra, ...named }, signal };
}

const ENDED = new Set(["ok", "failed", "cancelled", "dropped"]);

/** Money that is held for a call of the caller's own. */
class Metered {
  #call;
  #fields;
  #start;
  #said = null;
  #cost = null;

  constructor(token, call, fields, start) {
    if (token !== TAKEN) throw new TypeError("a meter is made by mem.meter, not with new");
    this.#call = call;
    const { messages, tools, ...given } = fields;
    // What was counted once need not be counted again.
    this.#fields = { ...given, input_tokens: start.inputTokens, id: start.id };
    this.#start = start;
  }

  get id() {
    return this.#start.id;
  }

  get heldUsd() {
    return this.#start.heldUsd;
  }

  get heldTokens() {
    return this.#start.heldTokens;
  }

  get inputTokens() {
    return this.#start.inputTokens;
  }

  get warning() {
    return this.#start.warning;
  }

  get costUsd() {
    return this.#cost;
  }

  used(usage, outcome = "ok") {
    if (!ENDED.has(outcome)) throw invalid(`outcome must be one of ${[...ENDED].join(", ")}`, "invalid_outcome");
    this.#said = { usage: encode.usage(usage), outcome };
  }

  free() {
    this.#said = { outcome: "free" };
  }

  async end() {
    if (this.#cost !== null) return this.#cost;
    if (this.#said === null) {
      const message = "a metered call did not say what it used, and is booked at all that was held: call used(...) or free()";
      process.emitWarning(message, { code: "RAE_METER_UNSAID" });
    }
    return this.#settle();
  }

  /** The end of a call that threw: what it said, or nothing that is known. */
  async _failed() {
    return this.#cost ?? this.#settle();
  }

  async #settle() {
    const book = async (said) => (await this.#call("end_metered", { args: { ...this.#fields, ...said } })).costUsd;
    const unknown = { outcome: "unknown" };
    try {
      this.#cost = await book(this.#said ?? unknown);
    } catch (error) {
      if (error.kind !== "invalid_input") throw error;
      // A usage that cannot be one must not leave the money held.
      this.#cost = await book(unknown);
      throw error;
    }
    return this.#cost;
  }
}

/** A streamed answer of a model. */
class LlmStream {
  #pieces;
  #signal;

  constructor(token, pieces, signal) {
    if (token !== TAKEN) throw new TypeError("a stream is made by mem.llmStream, not with new");
    this.#pieces = pieces;
    this.#signal = signal;
  }

  async next() {
    const json = await cancellable("llm", this.#signal, (cancel) => this.#pieces.next(cancel)).catch((error) => {
      this.close();
      throw error;
    });
    return json === null || json === undefined ? { done: true, value: undefined } : { done: false, value: JSON.parse(json) };
  }

  async return() {
    this.close();
    return { done: true, value: undefined };
  }

  [Symbol.asyncIterator]() {
    return this;
  }

  close() {
    this.#pieces.close();
  }

  #end() {
    const json = this.#pieces.end();
    return json === null || json === undefined ? null : JSON.parse(json);
  }

  get costUsd() {
    return this.#end()?.costUsd ?? null;
  }

  get usage() {
    return this.#end()?.usage ?? null;
  }

  get warnings() {
    return this.#end()?.warnings ?? [];
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

  async feedback(id, useful, options) {
    const call = taken("feedback", options);
    Object.assign(call.args, { id: encode.text("id", id), useful: encode.flag("useful", useful) });
    return this.#call("feedback", call);
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

module.exports = { open, connect, Rae, Hits, LlmStream, Metered };
