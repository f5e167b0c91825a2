"use strict";
// How a verb reaches the engine: its options, its signal, large arguments and answers without holding the event loop.

const { native } = require("./native.js");
const encode = require("./encode.js");
const { aborted, classes, fromNative, invalid } = require("./errors.js");

const { RaeError } = classes;

// How long one go at a large argument or answer may hold the event loop, in milliseconds.
const SLICE_MILLIS = 1;
// Characters of JSON that are handed over at once.
const SLICE_CHARS = 16 << 10;

const turn = () => new Promise(setImmediate);
const SIGNAL = new Set(["signal"]);

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

module.exports = { batchOf, cancellable, chatOf, decode, levelled, rows, taken };
