"use strict";
// A caller's function as an embedder: (texts, role) => vectors, or a promise of them.

const { classes, invalid, keepThrown } = require("./errors.js");
const { text, typeName } = require("./encode.js");

const DIM_MAX = 4096;
// Embedded once at open to learn the dimension.
const PROBE = "How many numbers does a vector have?";

class Shape extends Error {}

function vector(value) {
  if (value === null || value === undefined) return null;
  if (value instanceof Float32Array) return value;
  const numbers = ArrayBuffer.isView(value) && !(value instanceof DataView) ? value : Array.isArray(value) ? value : undefined;
  if (numbers === undefined || typeof numbers[0] === "bigint") {
    throw new Shape(`the embedder must give one array of numbers per text; found ${typeName(value)}`);
  }
  if (numbers.length > DIM_MAX) throw new Shape(`the embedder gave a vector of more than ${DIM_MAX} numbers`);
  for (let i = 0; i < numbers.length; i++) {
    if (typeof numbers[i] !== "number") {
      throw new Shape(`the embedder must give one array of numbers per text; found ${typeName(numbers[i])}`);
    }
  }
  return Float32Array.from(numbers);
}

async function vectors(embed, texts, role) {
  const rows = await embed(texts, role);
  if (!Array.isArray(rows)) throw new Shape(`the embedder must give an array of vectors, not ${typeName(rows)}`);
  if (rows.length !== texts.length) {
    throw new Shape(`the embedder gave ${rows.length} vectors for ${texts.length} texts; it must give one each`);
  }
  return rows.map(vector);
}

function failure(error) {
  if (error instanceof Shape) return { message: error.message };
  // The exception's text may hold anything; its type is enough for a message, and the exception itself is the cause.
  const name = typeof error?.name === "string" ? error.name.slice(0, 80) : typeName(error);
  return { message: `the embedder threw ${name}`, thrown: keepThrown(error) };
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
        if (row.length !== dim) throw new Shape(`the embedder gave a vector of ${row.length} numbers; its dimension is ${dim}`);
        flat.set(row, at);
        at += dim;
      });
      return { flat: flat.subarray(0, at).slice(), missing: Uint32Array.from(missing) };
    } catch (error) {
      return failure(error);
    }
  };
}

/** Makes an embedder known to the native module: asks for a vector to learn the dimension, and gives it an id. */
async function prepare(embed) {
  let first;
  try {
    [first] = await vectors(embed, [PROBE], "document");
  } catch (error) {
    if (error instanceof Shape) throw invalid(error.message, "embedder_output");
    const { message } = failure(error);
    throw new classes.UnavailableError(message, { reason: "embedder_failed", cause: error });
  }
  const dim = first === null ? 0 : first.length;
  if (dim === 0 || dim > DIM_MAX) {
    throw invalid(`the embedder gave a vector of ${dim} numbers for a first text; 1 to ${DIM_MAX} are possible`, "wrong_dimension");
  }
  const id = embed.raeId === undefined ? `node:${embed.name}/${dim}` : text("raeId", embed.raeId);
  if (embed.raeId === undefined && embed.name === "") {
    throw invalid("an embedder without a name needs an id that is stored with its vectors: set its property raeId");
  }
  if (id.trim() === "" || Buffer.byteLength(id) > 256) throw invalid("raeId must be a name of 1 to 256 bytes");
  return { info: { id, dim }, call: wrap(embed, dim) };
}

/** `{name, info, call}` of what a caller gave as embedder. */
async function resolve(value) {
  if (value === undefined || value === null) return {};
  if (typeof value === "function") return prepare(value);
  if (typeof value === "string") return { name: text("embedder", value) };
  throw invalid(`embedder must be a folder or a function (texts) => vectors, not ${typeName(value)}`);
}

module.exports = { resolve };
