"use strict";
// The handle that people use: names in camelCase, promises, AbortSignal. Every verb is one line to the engine.

const { native } = require("./native.js");
const encode = require("./encode.js");
const embedder = require("./embedder.js");
const { aborted, fromNative, invalid } = require("./errors.js");

// How long one go at a large argument or answer may hold the event loop, in milliseconds.
const SLICE_MILLIS = 2;
// Characters of JSON that are handed over at once.
const SLICE_CHARS = 64 << 10;

const turn = () => new Promise(setImmediate);
const TAKEN = Symbol("made by open");

/** The answer of `recall`: an array of hits with `degraded` and `trace`. */
class Hits extends Array {
  /** What `map`, `filter` and `slice` make is a plain array. */
  static get [Symbol.species]() {
    return Array;
  }
}

function signalOf(options) {
  const signal = options?.signal;
  if (signal === undefined || signal === null) return undefined;
  if (!(signal instanceof AbortSignal)) throw invalid(`signal must be an AbortSignal, not ${encode.typeName(signal)}`);
  return signal;
}

/** An options object without its signal. */
function withoutSignal(what, options) {
  if (options === undefined || options === null) return undefined;
  if (!encode.isPlain(options)) throw invalid(`${what} must be a plain object, not ${encode.typeName(options)}`);
  const { signal, ...rest } = options;
  return rest;
}

/** Runs a native call that a signal may cancel. */
async function cancellable(operation, signal, start) {
  try {
    if (signal === undefined) return await start(undefined);
    if (signal.aborted) throw aborted(signal, operation);
    const cancel = new native.Cancel();
    const onAbort = () => cancel.cancel();
    signal.addEventListener("abort", onAbort, { once: true });
    try {
      return await start(cancel);
    } finally {
      signal.removeEventListener("abort", onAbort);
    }
  } catch (error) {
    if (error?.kind !== undefined) throw error;
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

/** The items of `rememberMany` as a native batch, without holding the event loop. */
async function batchOf(items, signal) {
  const batch = new native.Batch();
  let slice = [];
  let chars = 0;
  let start = performance.now();
  for (let i = 0; i < items.length; i++) {
    const json = JSON.stringify(encode.item(items[i], i));
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
      if (signal?.aborted) throw aborted(signal, "remember_many");
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

class Rae {
  #store;
  #path;
  #tenant;
  #project;

  constructor(taken, store, path, tenant, project) {
    if (taken !== TAKEN) throw new TypeError("a store is opened with open(path), not with new");
    this.#store = store;
    this.#path = path;
    this.#tenant = tenant;
    this.#project = project;
  }

  get path() {
    return this.#path;
  }

  get tenant() {
    return this.#tenant;
  }

  get project() {
    return this.#project;
  }

  withScope(options) {
    const known = new Set(["tenant", "project"]);
    const { tenant = this.#tenant, project = this.#project } = encode.object("the scope", options, known);
    try {
      const store = this.#store.withScope(encode.text("tenant", tenant), encode.text("project", project));
      return new Rae(TAKEN, store, this.#path, tenant, project);
    } catch (error) {
      throw error?.kind === undefined ? fromNative(error) : error;
    }
  }

  async #call(verb, args, options) {
    const signal = signalOf(options);
    const json = JSON.stringify(args);
    return decode(await cancellable(verb, signal, (cancel) => this.#store.call(verb, json, cancel)));
  }

  async remember(content, options) {
    const rest = withoutSignal("the options of remember", options);
    const fields = encode.object("the options of remember", rest, encode.NEW_MEMORY);
    fields.content = encode.content("content", content);
    return this.#call("remember", fields, options);
  }

  async rememberMany(items, options) {
    encode.object("the options of rememberMany", withoutSignal("the options of rememberMany", options), new Set());
    const signal = signalOf(options);
    if (signal?.aborted) throw aborted(signal, "remember_many");
    const batch = await batchOf(encode.items(items), signal);
    return decode(await cancellable("remember_many", signal, (cancel) => this.#store.call("remember_many", batch, cancel)));
  }

  async recall(query, options) {
    const rest = withoutSignal("the options of recall", options);
    const args = encode.object("the options of recall", rest, encode.RECALL);
    args.query = encode.content("query", query);
    const { hits, degraded, trace } = await this.#call("recall", args, options);
    return Object.assign(Hits.from(hits), { degraded, trace });
  }

  async context(query, options) {
    // The query may be left out: context({ sessionId }).
    if (encode.isPlain(query) && options === undefined) [query, options] = [undefined, query];
    const rest = withoutSignal("the options of context", options);
    const args = encode.object("the options of context", rest, encode.CONTEXT);
    if (query !== undefined && query !== null) args.query = encode.content("query", query);
    return this.#call("context", args, options);
  }

  async get(id, options) {
    return this.#call("get", { id: encode.text("id", id) }, options);
  }

  async list(options) {
    const rest = withoutSignal("the options of list", options);
    return this.#call("list", encode.object("the options of list", rest, encode.LIST), options);
  }

  async update(id, fields, options) {
    const args = encode.object("the fields of update", fields, encode.UPDATE);
    args.id = encode.text("id", id);
    return this.#call("update", args, options);
  }

  async history(id, options) {
    return this.#call("history", { id: encode.text("id", id) }, options);
  }

  async forget(what, options) {
    if (typeof what === "string") return this.#call("forget", { id: encode.text("id", what) }, options);
    const rest = withoutSignal("what to forget", what);
    return this.#call("forget", encode.object("what to forget", rest, encode.FORGET), options ?? what);
  }

  async feedback(id, useful, options) {
    return this.#call("feedback", { id: encode.text("id", id), useful: encode.flag("useful", useful) }, options);
  }

  async embed(texts, options) {
    const rest = withoutSignal("the options of embed", options);
    const args = encode.object("the options of embed", rest, new Set(["role"]));
    args.texts = encode.texts("texts", texts);
    const json = JSON.stringify(args);
    return rows(await cancellable("embed", signalOf(options), (cancel) => this.#store.embed(json, cancel)));
  }

  async vector(id, options) {
    const given = encode.text("id", id);
    const [vector] = rows(await cancellable("vector", signalOf(options), (cancel) => this.#store.vector(given, cancel)));
    return vector;
  }

  async stats(options) {
    return this.#call("stats", {}, options);
  }

  async export(path, options) {
    return this.#call("export", { path: encode.path("path", path) }, options);
  }

  async import(path, options) {
    return this.#call("import", { path: encode.path("path", path) }, options);
  }

  async reembed(value, options) {
    const signal = signalOf(options);
    const { name, info, call } = await embedder.resolve(value);
    const done = await cancellable("reembed", signal, (cancel) => this.#store.reembed(name, info, call, cancel));
    return JSON.parse(done);
  }

  async maintain(options) {
    const rest = withoutSignal("the options of maintain", options);
    return this.#call("maintain", encode.object("the options of maintain", rest, new Set(["now"])), options);
  }

  async audit(options) {
    const rest = withoutSignal("the options of audit", options);
    return this.#call("audit", encode.object("the options of audit", rest, new Set(["limit"])), options);
  }

  async doctor(options) {
    return this.#call("doctor", {}, options);
  }

  async backup(path, options) {
    await this.#call("backup", { path: encode.path("path", path) }, options);
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

const OPEN = new Set(["tenant", "project", "durability", "reembed", "timeout", "_testNow", "_testSeed"]);

async function open(path, options) {
  const rest = withoutSignal("the options of open", options);
  const { embedder: wanted, ...plain } = rest ?? {};
  const args = encode.object("the options of open", plain, OPEN);
  args.path = encode.path("path", path);
  for (const name of ["tenant", "project", "durability"]) if (args[name] != null) encode.text(name, args[name]);
  if (args.reembed != null) encode.flag("reembed", args.reembed);
  if (args.timeout != null && typeof args.timeout !== "number") {
    throw invalid(`timeout must be a number of seconds, not ${encode.typeName(args.timeout)}`);
  }
  const [tenant, project] = [args.tenant ?? "default", args.project ?? "default"];
  const { name, info, call } = await embedder.resolve(wanted);
  const { _test_now: test_now, _test_seed: test_seed, reembed = false, ...given } = args;
  const json = JSON.stringify({ ...given, reembed: reembed ?? false, embedder: name, test_now, test_seed });
  const store = await cancellable("open", undefined, () => native.Store.open(json, info, call));
  return new Rae(TAKEN, store, args.path === ":memory:" ? null : args.path, tenant, project);
}

module.exports = { open, Rae, Hits };
