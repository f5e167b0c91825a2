"use strict";
// What some verbs give beside data: a call that is metered, a streamed answer.

const encode = require("./encode.js");
const { cancellable } = require("./call.js");
const { invalid } = require("./errors.js");

/** What the package's own constructor calls pass, and nobody else can. */
const TAKEN = Symbol("made by open");
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

/** A session of an agent, by its name. */
class Session {
  #rae;
  #id;
  #whose;

  constructor(token, rae, id, whose) {
    if (token !== TAKEN) throw new TypeError("a session is made by mem.session, not with new");
    this.#rae = rae;
    this.#id = id;
    const { userId, agentId, infoClass } = whose ?? {};
    this.#whose = { userId, agentId, infoClass };
  }

  get id() {
    return this.#id;
  }

  async log(type, content, metadata, options) {
    return this.#rae.logEvent(this.#id, type, content, { ...this.#whose, ...options, metadata });
  }

  async end(outcome, error, options) {
    // Its own class is the strictest of its events, not the least of what was logged here.
    const { userId, agentId } = this.#whose;
    return this.#rae.endSession(this.#id, outcome, { userId, agentId, ...options, error });
  }

  async events(options) {
    return this.#rae.events(this.#id, options);
  }
}

module.exports = { LlmStream, Metered, Session, TAKEN };
