"use strict";
// One class per kind of the engine's error table.

const { native } = require("./native.js");

class RaeError extends Error {
  constructor(message, fields = {}) {
    super(message, "cause" in fields ? { cause: fields.cause } : undefined);
    const kind = fields.kind ?? this.constructor.kind;
    this.kind = kind;
    this.code = codes.get(kind);
    this.reason = fields.reason ?? kind;
    this.details = fields.details ?? null;
    this.retryAfter = fields.retryAfter ?? null;
    this.operation = fields.operation ?? null;
  }
}
RaeError.kind = "internal";

const codes = new Map(JSON.parse(native.errorTable()).map((row) => [row.kind, row.code]));
const classes = new Map();

function define(name, kinds, shown = name) {
  const made = { [name]: class extends RaeError {} }[name];
  made.kind = kinds[0];
  // On the prototype, as of the language's own errors: not a property of every instance.
  Object.defineProperty(made.prototype, "name", { value: shown, configurable: true, writable: true });
  for (const kind of kinds) classes.set(kind, made);
  return made;
}
Object.defineProperty(RaeError.prototype, "name", { value: "RaeError", configurable: true, writable: true });

const InvalidInputError = define("InvalidInputError", ["invalid_input"]);
const PermissionDeniedError = define("PermissionDeniedError", ["permission_denied", "unauthenticated"]);
const BudgetExceededError = define("BudgetExceededError", ["budget_exceeded"]);
const NotFoundError = define("NotFoundError", ["not_found"]);
const ConflictError = define("ConflictError", ["conflict"]);
const RateLimitedError = define("RateLimitedError", ["rate_limited"]);
const TimeoutError = define("TimeoutError", ["timeout"]);
// What code that aborts looks for.
const CancelledError = define("CancelledError", ["cancelled"], "AbortError");
const UnavailableError = define("UnavailableError", ["unavailable"]);
const UnsupportedError = define("UnsupportedError", ["unsupported"]);
const CorruptError = define("CorruptError", ["corrupt"]);
const InternalError = define("InternalError", ["internal"]);

// Exceptions of callers' functions that are on their way through the engine, by number. Bounded: one that never comes back (its call
// was retried, or degraded) must not stay for ever.
const THROWN_MAX = 256;
const thrown = new Map();
let lastThrown = 0;

/** Keeps an exception until the error that it caused comes back. */
function keepThrown(error) {
  lastThrown = (lastThrown + 1) >>> 0;
  thrown.set(lastThrown, error);
  if (thrown.size > THROWN_MAX) thrown.delete(thrown.keys().next().value);
  return lastThrown;
}

/** The error of the engine in what the native module rejected with. */
function fromNative(error) {
  let fields;
  try {
    fields = JSON.parse(error.message);
  } catch {
    return new InternalError(`${error.message}; this is a bug, please report it`, { cause: error });
  }
  const { message, thrown: number, ...rest } = fields;
  if (number !== null && thrown.has(number)) {
    rest.cause = thrown.get(number);
    thrown.delete(number);
  }
  const made = new (classes.get(rest.kind) ?? InternalError)(message, rest);
  // The way of the call, not of reading its answer.
  Error.captureStackTrace?.(made, fromNative);
  return made;
}

/** InvalidInputError of the package's own checks. */
function invalid(message, reason, cause) {
  return new InvalidInputError(message, cause === undefined ? { reason } : { reason, cause });
}

/** The rejection of a call whose signal fired. */
function aborted(signal, operation) {
  const message = "the call was aborted; what was not committed is not written";
  return new CancelledError(message, { cause: signal.reason, operation });
}

module.exports = {
  classes: {
    RaeError,
    InvalidInputError,
    PermissionDeniedError,
    BudgetExceededError,
    NotFoundError,
    ConflictError,
    RateLimitedError,
    TimeoutError,
    CancelledError,
    UnavailableError,
    UnsupportedError,
    CorruptError,
    InternalError,
  },
  fromNative,
  invalid,
  aborted,
  keepThrown,
};
