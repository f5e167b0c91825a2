"use strict";
// A caller's function as an embedder: (texts, role) => vectors, or a promise of them.

const { aborted, classes, invalid, keepThrown } = require("./errors.js");
const { text, typeName } = require("./encode.js");

const DIM_MAX = 4096;
const NAME_BYTES_MAX = 256;
// What the engine grants each call of an embedder.
const SECONDS_MAX = 30;
// Embedded once at open to learn the dimension.
const PROBE = "How many numbers does a vector have?";

/** A wrong answer of an embedder. */
class Shape extends Error {
  constructor(message, reason = "embedder_output") {
    super(message);
    this.reason = reason;
  }
}

function vector(value) {
  if (value === null || value === undefined) return null;
  if (!Array.isArray(value) && (!ArrayBuffer.isView(value) || value instanceof DataView)) {
    throw new Shape(`the embedder must give one array of numbers per text; found ${typeName(value)}`);
  }
  if (value.length > DIM_MAX) throw new Shape(`the embedder gave a vector of more than ${DIM_MAX} numbers`);
  if (value instanceof Float32Array) return value;
  const out = new Float32Array(value.length);
  for (let i = 0; i < out.length; i++) {
    const number = value[i];
    if (typeof number !== "number") {
      throw new Shape(`the embedder must give one array of numbers per text; found ${typeName(number)} in a vector`);
    }
    out[i] = number;
  }
  return out;
}

async function vectors(embed, texts, role) {
  const rows = await embed(texts, role);
  if (!Array.isArray(rows)) throw new Shape(`the embedder must give an array of vectors, not ${typeName(rows)}`);
  if (rows.length !== texts.length) {
    throw new Shape(`the embedder gave ${rows.length} vectors for ${texts.length} texts; it must give one each`);
  }
  // Not map, which leaves the holes of an array as they are.
  return Array.from(rows, vector);
}

/** The exception's text may hold anything; its type is enough for a message, and the exception itself is the cause. */
function threw(error) {
  let name;
  try {
    name = error.name;
  } catch {
    // It is nothing, or its name is a getter that throws.
  }
  return `the embedder threw ${typeof name === "string" ? name.slice(0, 80) : typeName(error)}`;
}

/** What the native module calls: it never throws, and gives the numbers in one array. */
function wrap(embed, dim) {
  return async (texts, role) => {
    try {
      const rows = await vectors(embed, texts, role);
      const missing = [];
      const flat = new Float32Array(rows.length * dim);
      let at = 0;
      rows.forEach((row, i) => {
        if (row === null) {
          missing.push(i);
          return;
        }
        if (row.length !== dim) {
          throw new Shape(`the embedder gave a vector of ${row.length} numbers; its dimension is ${dim}`, "wrong_dimension");
        }
        flat.set(row, at);
        at += dim;
      });
      return { flat: flat.subarray(0, at).slice(), missing: Uint32Array.from(missing) };
    } catch (error) {
      if (error instanceof Shape) return { message: error.message, reason: error.reason };
      return { message: threw(error), thrown: keepThrown(error) };
    }
  };
}

/** The promise's outcome, unless the time or the signal ends first. */
async function within(promise, seconds, signal) {
  let timer;
  let onAbort;
  const end = new Promise((_, reject) => {
    const late = () => reject(new classes.TimeoutError(`the embedder gave no vector within ${seconds} seconds`, { operation: "embed" }));
    timer = setTimeout(late, seconds * 1000);
    onAbort = () => reject(aborted(signal, "embed"));
    // The embedder itself may have fired it.
    if (signal?.aborted) onAbort();
    signal?.addEventListener("abort", onAbort, { once: true });
  });
  try {
    return await Promise.race([promise, end]);
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", onAbort);
  }
}

/** The dimension of an embedder: the length of a first vector. */
async function dimension(embed, seconds, signal) {
  const probe = async () => {
    try {
      return await vectors(embed, [PROBE], "document");
    } catch (error) {
      if (error instanceof Shape) throw invalid(error.message, error.reason);
      throw new classes.UnavailableError(threw(error), { reason: "embedder_failed", cause: error });
    }
  };
  const [first] = await within(probe(), seconds, signal);
  const dim = first === null ? 0 : first.length;
  if (dim === 0) throw invalid(`the embedder gave no numbers for a first text; 1 to ${DIM_MAX} are possible`, "wrong_dimension");
  return dim;
}

/** The id that is stored with the vectors: the function's own, or one made of its name. */
function idOf(embed, dim) {
  const own = embed.raeId;
  const name = text("raeId", own === undefined ? embed.name : own);
  const id = own === undefined ? `node:${name}/${dim}` : name;
  if (name.trim() === "" || Buffer.byteLength(id) > NAME_BYTES_MAX) {
    const found = own === undefined ? "an embedder without a name" : "an embedder";
    throw invalid(`${found} needs an id that is stored with its vectors: set its property raeId to 1 to ${NAME_BYTES_MAX} bytes`);
  }
  return id;
}

/** `{name, info, call}` of what a caller gave as embedder. */
async function resolve(value, { seconds, signal } = {}) {
  if (value === undefined || value === null) return {};
  if (typeof value === "string") return { name: text("embedder", value) };
  if (typeof value !== "function") {
    throw invalid(`embedder must be a folder or a function (texts) => vectors, not ${typeName(value)}`);
  }
  const dim = await dimension(value, Math.min(seconds ?? SECONDS_MAX, SECONDS_MAX), signal);
  return { info: { id: idOf(value, dim), dim }, call: wrap(value, dim) };
}

module.exports = { resolve };
