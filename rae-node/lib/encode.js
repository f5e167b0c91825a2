"use strict";
// Arguments to JSON. Strict where JSON.stringify is silent: what JSON cannot say is InvalidInput that names the field, and nothing is
// dropped or turned into null. Ranges and names are judged by the engine.

const { fileURLToPath } = require("node:url");
const { classes, invalid } = require("./errors.js");

const { RaeError } = classes;

const CONTENT_BYTES_MAX = 1 << 20;
const QUERY_BYTES_MAX = 64 << 10;
const METADATA_BYTES_MAX = 64 << 10;
// Sixty-four terms of the longest values; the engine counts exactly.
const FILTER_BYTES_MAX = 64 * METADATA_BYTES_MAX;
// Deeper than anything the engine accepts, shallow enough for any stack. A cycle ends here.
const DEPTH_MAX = 64;
const BATCH_ITEMS_MAX = 100_000;
// More than any list of the engine may have; where an iterable that never ends is given up.
const LIST_MAX = 10_000;

const REMEMBER = names(
  "kind layer role speaker sessionId agentId userId occurredAt tags metadata importance confidence ttl source " +
    "trustLevel infoClass validFrom validTo infer idempotencyKey",
);
const NEW_MEMORY = new Set(["content", ...REMEMBER]);
const UPDATE = names(
  "content kind layer role speaker occurredAt tags metadata importance confidence ttl source trustLevel infoClass validFrom " +
    "validTo supersededBy expectedVersion",
);
const RECALL = names(
  "k layers kinds tags tagsAny filter since until asOf knownAt sessionId agentId userId minScore maxTokens graphWeight rerank explain",
);
const CONTEXT = names("sessionId maxTokens agentId userId layers tags filter minScore");
const LIST = names("limit cursor layer tags filter");
const RELATE = names("weight confidence validFrom validTo sourceId userId agentId trustLevel infoClass");
const RELATIONS = names("subject relation object limit cursor");
const FORGET = names("id filter scope target");
const MAINTAIN = names("now");
const AUDIT = names("limit fix");
const CHANGES = names("limit cursor");
const JOBS = names("state limit cursor");
const VERIFY = names("exports texts");
const ENTITIES = names("query limit cursor at snapshot");
const NEIGHBORS = names("depth relation limit at snapshot");
const WAY = names("at snapshot");
const SUBGRAPH = names("depth limit at snapshot");
const EMBED = names("role");
const OPEN = names(
  "tenant project durability reembed timeout embedder providers prices unknownModel " +
    "lifecycle model reflectAfter enrich _testNow _testSeed",
);
const BUDGET = names("dailyLimit monthlyLimit dailyTokenLimit monthlyTokenLimit warningThreshold");
const COSTS = names("groupBy since until");
const COST_LOG = names("limit cursor since until");
const METER = names("inputTokens messages tools maxOutputTokens operation userId requestId timeout");
const LLM = names(
  "messages model maxTokens temperature topP stop tools toolChoice responseFormat operation userId requestId timeout extra",
);
const PROVIDER = names("apiKey baseUrl kind organization ca");
const USAGE = names("inputTokens cachedInputTokens cacheWriteTokens outputTokens reasoningTokens estimated");
const LIFECYCLE = names(
  "decay halfLifeDays protectedTags protectedKinds forgetBelow forgetAfterDays keepClassDays keepKindDays consolidateSessions",
);
// The hashes of a million ids.
const RECEIPT_BYTES_MAX = 128 << 20;
// A chat with its pictures; the engine counts exactly.
const CHAT_BYTES_MAX = 32 << 20;
const CONNECT = names("apiKey tenant project timeout ca");
const SCOPE = names("tenant project");
const WHOSE = names("userId agentId infoClass");
const EVENT = names("metadata userId agentId speaker occurredAt ttl trustLevel infoClass idempotencyKey");
const SESSION_END = names("error userId agentId infoClass");
const EVENTS = names("limit cursor");
const REFLECT = names("sessionId since");
const NONE = new Set();

// How each field is read; those that are not here are texts.
const READERS = readers([
  [time, "occurredAt validFrom validTo since until asOf knownAt now at"],
  [number, "k limit depth weight maxTokens minScore graphWeight importance confidence ttl expectedVersion timeout reflectAfter _testSeed"],
  [number, "dailyTokenLimit monthlyTokenLimit warningThreshold temperature topP"],
  [number, "inputTokens cachedInputTokens cacheWriteTokens outputTokens reasoningTokens maxOutputTokens"],
  [money, "dailyLimit monthlyLimit"],
  [chat, "messages tools toolChoice responseFormat stop extra"],
  [providers, "providers"],
  [prices, "prices"],
  [unknownModel, "unknownModel"],
  [number, "forgetBelow forgetAfterDays consolidateSessions"],
  [days, "halfLifeDays keepClassDays keepKindDays"],
  [lifecycle, "lifecycle"],
  [list, "protectedTags protectedKinds"],
  [paths, "exports"],
  [flag, "infer fix rerank explain reembed estimated decay"],
  [list, "tags tagsAny layers kinds groupBy texts"],
  [content, "content"],
  [metadata, "metadata"],
  [filter, "filter"],
  [(name, value) => value, "embedder"],
  [path, "ca"],
]);

function names(text) {
  return new Set(text.split(" "));
}

function readers(table) {
  return new Map(table.flatMap(([read, fields]) => fields.split(" ").map((field) => [field, read])));
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

/** What a value is, for a message. The name of a class is a caller's: it is cut, and must not throw. */
function typeName(value) {
  if (value === undefined || value === null) return String(value);
  if (typeof value !== "object") return `a ${typeof value}`;
  try {
    if (Array.isArray(value)) return "an array";
    const { name } = value.constructor;
    if (typeof name === "string" && name !== "" && name !== "Object") return `an instance of ${name.slice(0, 80)}`;
  } catch {
    // A proxy, or an object without a constructor.
  }
  return "an object";
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

/** A memory's text. One that is too long is refused before it is copied: a UTF-16 unit is a byte at least. */
function content(field, value) {
  if (typeof value === "string" && value.length > CONTENT_BYTES_MAX) {
    throw invalid(`${field} has more than ${CONTENT_BYTES_MAX} bytes (1 MiB): split it into several`, "content_too_long");
  }
  return text(field, value);
}

/** A question's text. */
function query(field, value) {
  if (typeof value === "string" && value.length > QUERY_BYTES_MAX) {
    throw invalid(`${field} has more than ${QUERY_BYTES_MAX} bytes: ask with a shorter text`);
  }
  return text(field, value);
}

/** A finite number. */
function number(field, value) {
  if (typeof value !== "number") throw invalid(`${field} must be a number, not ${typeName(value)}`);
  if (!Number.isFinite(value)) throw invalid(`${field} must be a number, not ${value}`, field === "k" ? "invalid_k" : undefined);
  return value;
}

/** Texts, of an array or another iterable. */
function list(field, value, read = text) {
  if (typeof value === "string" || typeof value?.[Symbol.iterator] !== "function") {
    throw invalid(`${field} must be an array or another iterable of strings, not ${typeName(value)}`);
  }
  const out = [];
  for (const item of value) {
    if (out.length === LIST_MAX) throw invalid(`${field} has more than ${LIST_MAX} entries; give fewer`);
    out.push(read(field, item));
  }
  return out;
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
        // In a filter a time or an iterable means what it would mean as text or list.
        if (this.inFilter && value instanceof Date) return time(this.field, value);
        if (this.inFilter && typeof value[Symbol.iterator] === "function") return this.iterable(value, depth);
    }
    throw invalid(`${this.field} holds ${typeName(value)}, which is not JSON`);
  }

  list(items, depth) {
    const out = [];
    // By index: a hole in an array is undefined, which is refused.
    for (let i = 0; i < items.length; i++) out.push(this.value(items[i], depth + 1));
    return out;
  }

  iterable(items, depth) {
    const out = [];
    for (const item of items) out.push(this.value(item, depth + 1));
    return out;
  }

  object(object, depth) {
    const out = Object.create(null);
    for (const key of Object.keys(object)) {
      const value = object[key];
      // As in JSON.stringify: a property without a value is no property.
      if (value === undefined) continue;
      this.spend(key.length);
      out[text(this.field, key)] = this.value(value, depth + 1);
    }
    return out;
  }
}

function metadata(field, value) {
  if (!isPlain(value)) throw invalid(`${field} must be a plain object, not ${typeName(value)}`);
  return new Json(field, METADATA_BYTES_MAX, false).value(value, 1);
}

/** Dollars: a number, or text such as "20.00". */
function money(field, value) {
  if (typeof value === "string") return text(field, value);
  if (typeof value !== "number") throw invalid(`${field} must be a number of US dollars or text, not ${typeName(value)}`);
  return number(field, value);
}

/** A part of a chat in OpenAI's shape, as it is. */
function chat(field, value) {
  return new Json(field, CHAT_BYTES_MAX, false).value(value, 0);
}

/** Questions with their labels: an array or another iterable. */
function questions(field, value) {
  if (isPlain(value) || typeof value?.[Symbol.iterator] !== "function" || typeof value === "string") {
    throw invalid(`${field} must be an array or another iterable of questions, not ${typeName(value)}`);
  }
  return new Json(field, CHAT_BYTES_MAX, false).iterable(value, 0);
}

/** A run as `evaluate` gave it, in the engine's names. */
function run(field, value) {
  if (!isPlain(value)) throw invalid(`${field} must be a run as evaluate gives it, not ${typeName(value)}`);
  const snaked = (at) => {
    if (Array.isArray(at)) return at.map(snaked);
    if (at === null || typeof at !== "object") return at;
    return Object.fromEntries(Object.entries(at).map(([key, inner]) => [snake(key), snaked(inner)]));
  };
  return snaked(new Json(field, CHAT_BYTES_MAX, false).value(value, 0));
}

/** Providers by name. */
function providers(field, value) {
  if (!isPlain(value)) throw invalid(`${field} must be a plain object, not ${typeName(value)}`);
  const out = Object.create(null);
  for (const name of Object.keys(value)) out[text(field, name)] = object("a provider", value[name], PROVIDER);
  return out;
}

/** What becomes of memories as they age. */
function lifecycle(field, value) {
  if (!isPlain(value)) throw invalid(`${field} must be a plain object, not ${typeName(value)}`);
  return object(field, value, LIFECYCLE);
}

/** Days by the name of a layer, a class or a kind. */
function days(field, value) {
  if (!isPlain(value)) throw invalid(`${field} must be a plain object, not ${typeName(value)}`);
  return new Json(field, METADATA_BYTES_MAX, false).value(value, 0);
}

/** A receipt of forget, or its whole answer, as it is. */
function receipt(value) {
  if (!isPlain(value)) throw invalid(`receipt must be a plain object, not ${typeName(value)}`);
  return new Json("receipt", RECEIPT_BYTES_MAX, false).value(value, 0);
}

/** Paths of files. */
function paths(field, value) {
  return list(field, value, path);
}

/** The path of a file of prices, or what it would hold. */
function prices(field, value) {
  return isPlain(value) ? chat(field, value) : path(field, value);
}

/** What becomes of a model without a price. */
function unknownModel(field, value) {
  return isPlain(value) ? chat(field, value) : text(field, value);
}

/** A usage: ours, or that of an answer of a provider's client, of which its numbers are kept. */
function usage(value) {
  if (typeof value !== "object" || value === null) throw invalid(`usage must be an object, not ${typeName(value)}`);
  if (Object.hasOwn(value, "inputTokens")) return object("usage", value, USAGE);
  const numbers = (part) => {
    const out = Object.create(null);
    for (const key of Object.keys(part)) {
      if (Number.isInteger(part[key])) out[key] = part[key];
      else if (isPlain(part[key])) out[key] = numbers(part[key]);
    }
    return out;
  };
  return numbers(value);
}

/** A filter. Fields may be named in camelCase, as everywhere, or in snake_case, as filters that come from elsewhere do. */
function filter(field, value) {
  const json = new Json(field, FILTER_BYTES_MAX, true);
  const node = (at, depth) => {
    if (!isPlain(at) || depth > DEPTH_MAX) return json.value(at, depth);
    const out = Object.create(null);
    for (const key of Object.keys(at)) {
      const value = at[key];
      if (value === undefined) continue;
      json.spend(key.length + 1);
      text(field, key);
      if (key === "not") out[key] = node(value, depth + 1);
      else if ((key === "and" || key === "or") && Array.isArray(value)) {
        json.spend(value.length);
        out[key] = Array.from(value, (one) => node(one, depth + 2));
      } else out[key.startsWith("metadata.") ? key : snake(key)] = json.value(value, depth + 1);
    }
    return out;
  };
  return node(value, 1);
}

/** An options object with these fields, in the engine's names. null stays: the engine knows what it means. */
function object(what, options, known, also = NONE) {
  const out = Object.create(null);
  if (options === undefined || options === null) return out;
  if (!isPlain(options)) throw invalid(`${what} must be a plain object, not ${typeName(options)}`);
  for (const key of Object.keys(options)) {
    const value = options[key];
    if (!known.has(key)) {
      if (also.has(key)) continue;
      const hint = known.has(camel(key)) ? `it is called ${camel(key)}` : `known are ${[...known, ...also].join(", ")}`;
      throw invalid(`unknown field ${shown(key)}; ${hint}`, "unknown_field");
    }
    if (value !== undefined) out[snake(key)] = value === null ? null : (READERS.get(key) ?? text)(key, value);
  }
  return out;
}

function camel(name) {
  return name.replace(/_([a-z])/g, (_, c) => c.toUpperCase());
}

/** A path: text or a file: URL. */
function path(name, value) {
  const found = value instanceof URL ? pathOf(name, value) : text(name, value);
  if (found === "" || found.includes("\0")) throw invalid(`${name} must not be empty or contain NUL`);
  return found;
}

/** The texts of `embed`, read to their end and not looked at yet: together they may be long. */
function texts(name, value) {
  return list(name, value, (_, item) => item);
}

function pathOf(name, url) {
  try {
    return text(name, fileURLToPath(url));
  } catch (error) {
    throw invalid(`${name} must be text or a file: URL of this machine (${error.message})`, undefined, error);
  }
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
  const tooMany = () =>
    invalid(`items has more than ${BATCH_ITEMS_MAX} memories; call rememberMany once for each ${BATCH_ITEMS_MAX}`);
  if (Array.isArray(value)) {
    // Taken as it is: a copy of the longest would hold the event loop.
    if (value.length > BATCH_ITEMS_MAX) throw tooMany();
    return value;
  }
  const out = [];
  for (const item of value) {
    if (out.length === BATCH_ITEMS_MAX) throw tooMany();
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
    // An exception of the caller's own getter goes on as it is.
    if (error instanceof RaeError) {
      error.message += ` (item ${index})`;
      error.details = { item: index };
    }
    throw error;
  }
}

module.exports = {
  AUDIT,
  BUDGET,
  CHANGES, JOBS,
  CONNECT,
  CONTEXT,
  COSTS,
  COST_LOG,
  EMBED,
  EVENT, EVENTS, ENTITIES,
  FORGET,
  VERIFY,
  receipt,
  LIST,
  LLM,
  MAINTAIN,
  METER,
  NEIGHBORS,
  NONE,
  OPEN,
  RECALL,
  RELATE, RELATIONS, REFLECT,
  REMEMBER,
  SCOPE,
  SESSION_END, SUBGRAPH,
  UPDATE,
  WAY, WHOSE,
  content,
  flag,
  isPlain,
  item,
  items,
  object,
  path,
  query,
  questions,
  run,
  text,
  texts,
  typeName,
  usage,
};
