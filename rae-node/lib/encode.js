"use strict";
// Arguments to JSON. Strict where JSON.stringify is silent: what JSON cannot say is InvalidInput that names the field, and nothing is
// dropped or turned into null. Ranges and names are judged by the engine.

const { fileURLToPath } = require("node:url");
const { invalid } = require("./errors.js");

const CONTENT_BYTES_MAX = 1 << 20;
const METADATA_BYTES_MAX = 64 << 10;
// Sixty-four terms of the longest values; the engine counts exactly.
const FILTER_BYTES_MAX = 64 * METADATA_BYTES_MAX;
// Deeper than anything the engine accepts, shallow enough for any stack. A cycle ends here.
const DEPTH_MAX = 64;
const BATCH_ITEMS_MAX = 100_000;

const NEW_MEMORY = names(
  "content kind layer role speaker sessionId agentId userId occurredAt tags metadata importance confidence ttl source " +
    "trustLevel infoClass validFrom validTo infer idempotencyKey",
);
const UPDATE = names(
  "content kind layer role speaker occurredAt tags metadata importance confidence ttl source trustLevel infoClass validFrom " +
    "validTo supersededBy expectedVersion",
);
const RECALL = names(
  "k layers kinds tags tagsAny filter since until asOf knownAt sessionId agentId userId minScore maxTokens rerank explain",
);
const CONTEXT = names("sessionId maxTokens agentId userId layers tags filter minScore");
const LIST = names("limit cursor layer tags filter");
const FORGET = names("id filter scope target");
const TIMES = new Set(["occurredAt", "validFrom", "validTo", "since", "until", "asOf", "knownAt", "now"]);

function names(text) {
  return new Set(text.split(" "));
}

const snakeNames = new Map();

function snake(name) {
  let made = snakeNames.get(name);
  if (made === undefined) {
    made = name.replace(/[A-Z]/g, (c) => `_${c.toLowerCase()}`);
    if (snakeNames.size < 1024) snakeNames.set(name, made);
  }
  return made;
}

function typeName(value) {
  if (value === null) return "null";
  if (Array.isArray(value)) return "an array";
  if (typeof value === "object") return value.constructor?.name ? `a ${value.constructor.name}` : "an object";
  return typeof value === "undefined" ? "undefined" : `a ${typeof value}`;
}

function shown(name) {
  return JSON.stringify(String(name).slice(0, 80));
}

function isPlain(value) {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return false;
  const proto = Object.getPrototypeOf(value);
  // An object of another realm has another Object.prototype, but nothing above it.
  return proto === null || proto === Object.prototype || Object.getPrototypeOf(proto) === null;
}

/** A text that is Unicode. */
function text(field, value) {
  if (typeof value !== "string") throw invalid(`${field} must be a string, not ${typeName(value)}`);
  if (!value.isWellFormed()) throw invalid(`${field} holds lone surrogates, which are not Unicode text`);
  return value;
}

/** A memory's or a question's text. One that is too long is refused before it is copied. */
function content(field, value) {
  // A UTF-16 unit is a byte at least.
  if (typeof value === "string" && value.length > CONTENT_BYTES_MAX) {
    throw invalid(
      `${field} has more than ${CONTENT_BYTES_MAX} bytes (1 MiB): split it into several`,
      field === "content" ? "content_too_long" : undefined,
    );
  }
  return text(field, value);
}

/** RFC 3339 text, or a Date. */
function time(field, value) {
  if (value instanceof Date) {
    if (Number.isNaN(value.getTime())) throw invalid(`${field} is an invalid Date`);
    return value.toISOString();
  }
  if (typeof value === "string") return text(field, value);
  throw invalid(`${field} must be a Date or RFC 3339 text, not ${typeName(value)}`);
}

class Json {
  constructor(field, most, inFilter) {
    this.field = field;
    this.most = most;
    this.left = most;
    this.inFilter = inFilter;
  }

  spend(bytes) {
    this.left -= bytes;
    if (this.left < 0) throw invalid(`${this.field} has more than ${this.most} bytes of JSON`);
  }

  value(value, depth) {
    this.spend(1);
    switch (typeof value) {
      case "string":
        this.spend(value.length);
        return text(this.field, value);
      case "boolean":
        return value;
      case "number":
        if (Number.isFinite(value)) return value;
        throw invalid(`${this.field} holds ${value}, which is not JSON`);
      case "object":
        if (value === null) return null;
        if (depth > DEPTH_MAX) {
          throw invalid(`${this.field} is nested more than ${DEPTH_MAX} levels deep, or holds itself`);
        }
        if (Array.isArray(value)) return this.list(value, depth);
        if (isPlain(value)) return this.object(value, depth);
        // In a filter a time or a set means what it would mean as text or list.
        if (this.inFilter && value instanceof Date) return time(this.field, value);
        if (this.inFilter && value instanceof Set) return this.list([...value], depth);
    }
    throw invalid(`${this.field} holds ${typeName(value)}, which is not JSON`);
  }

  list(items, depth) {
    const out = [];
    // By index: a hole in an array is undefined, which is refused.
    for (let i = 0; i < items.length; i++) out.push(this.value(items[i], depth + 1));
    return out;
  }

  object(object, depth, rename = (key) => key) {
    const out = Object.create(null);
    for (const key of Object.keys(object)) {
      // As in JSON.stringify: a property without a value is no property.
      if (object[key] === undefined) continue;
      this.spend(key.length);
      out[rename(text(this.field, key))] = this.value(object[key], depth + 1);
    }
    return out;
  }
}

function metadata(value) {
  if (!isPlain(value)) throw invalid(`metadata must be a plain object, not ${typeName(value)}`);
  return new Json("metadata", METADATA_BYTES_MAX, false).value(value, 1);
}

/** A filter. Fields may be named in camelCase, as everywhere, or in snake_case, as filters that come from elsewhere do. */
function filter(value) {
  const json = new Json("filter", FILTER_BYTES_MAX, true);
  const node = (at, depth) => {
    if (!isPlain(at) || depth > DEPTH_MAX) return json.value(at, depth);
    const out = Object.create(null);
    for (const key of Object.keys(at)) {
      if (at[key] === undefined) continue;
      json.spend(key.length);
      text("filter", key);
      if (key === "not") out[key] = node(at[key], depth + 1);
      else if ((key === "and" || key === "or") && Array.isArray(at[key])) out[key] = at[key].map((n) => node(n, depth + 2));
      else out[key.startsWith("metadata.") ? key : snake(key)] = json.value(at[key], depth + 1);
    }
    return out;
  };
  return node(value, 1);
}

function field(name, value) {
  if (value === null) return null;
  if (name === "metadata") return metadata(value);
  if (name === "filter") return filter(value);
  if (name === "content") return content(name, value);
  if (TIMES.has(name)) return time(name, value);
  if (typeof value === "number") {
    if (!Number.isFinite(value)) throw invalid(`${name} must be a number, not ${value}`, name === "k" ? "invalid_k" : undefined);
    return value;
  }
  if (typeof value === "string") return text(name, value);
  if (typeof value === "boolean") return value;
  if (value instanceof Set) value = [...value];
  if (Array.isArray(value)) return value.map((item) => (typeof item === "string" ? text(name, item) : field("", item)));
  throw invalid(`${name || "an item"} cannot be ${typeName(value)}`);
}

/** An options object with these fields, in the engine's names. */
function object(what, options, known, out = Object.create(null)) {
  if (options === undefined || options === null) return out;
  if (!isPlain(options)) throw invalid(`${what} must be a plain object, not ${typeName(options)}`);
  for (const key of Object.keys(options)) {
    const value = options[key];
    if (!known.has(key)) {
      const hint = known.has(camel(key)) ? `it is called ${camel(key)}` : `known are ${[...known].join(", ")}`;
      throw invalid(`unknown field ${shown(key)}; ${hint}`, "unknown_field");
    }
    if (value !== undefined) out[snake(key)] = field(key, value);
  }
  return out;
}

function camel(name) {
  return name.replace(/_([a-z])/g, (_, c) => c.toUpperCase());
}

/** A path: text or a file: URL. */
function path(name, value) {
  const found = value instanceof URL ? fileURLToPath(value) : text(name, value);
  if (found === "" || found.includes("\0")) throw invalid(`${name} must not be empty or contain NUL`);
  return found;
}

/** Texts, at most of a memory's length each. */
function texts(name, value) {
  if (typeof value === "string" || typeof value?.[Symbol.iterator] !== "function") {
    throw invalid(`${name} must be an array or another iterable of strings, not ${typeName(value)}`);
  }
  return Array.from(value, (item) => content(name, item));
}

/** A flag. */
function flag(name, value) {
  if (typeof value !== "boolean") throw invalid(`${name} must be true or false, not ${typeName(value)}`);
  return value;
}

/** The items of `rememberMany`, read to their end before anything is written. */
function items(value) {
  const single = typeof value === "string" || isPlain(value) || typeof value?.[Symbol.iterator] !== "function";
  if (single) throw invalid(`items must be an array or another iterable of objects, not ${typeName(value)}; for one there is remember`);
  const out = [];
  for (const item of value) {
    if (out.length === BATCH_ITEMS_MAX) {
      throw invalid(`items has more than ${BATCH_ITEMS_MAX} memories; call rememberMany once for each ${BATCH_ITEMS_MAX}`);
    }
    out.push(item);
  }
  return out;
}

/** An item of `rememberMany`. */
function item(value, index) {
  try {
    if (!isPlain(value)) throw invalid(`an item must be a plain object, not ${typeName(value)}`);
    return object("an item", value, NEW_MEMORY);
  } catch (error) {
    if (error.kind === "invalid_input") {
      error.message += ` (item ${index})`;
      error.details = { item: index };
    }
    throw error;
  }
}

module.exports = { NEW_MEMORY, UPDATE, RECALL, CONTEXT, LIST, FORGET, content, flag, isPlain, item, items, object, path, text, texts, time, typeName };
