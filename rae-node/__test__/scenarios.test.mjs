// The scenarios of rae-core/src/conformance/scenarios, replayed through the Node module. The format is in CONTRIBUTING.md.
import assert from "node:assert/strict";
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { Rae, connect, open } from "../index.mjs";
import { startScenarioServer } from "./support/server.mjs";
import { VERBS, callVerb } from "./support/wire.mjs";

const folder = new URL("../../rae-core/src/conformance/scenarios/", import.meta.url);
const scenarios = readdirSync(folder)
  .filter((name) => name.endsWith(".json"))
  .sort()
  .flatMap((file) => JSON.parse(readFileSync(new URL(file, folder), "utf8")).map((scenario) => ({ file, ...scenario })));
const transcript = [];
const remoteTranscript = [];

/** Floats were recorded on one machine; another's may differ in the last digits. */
const TOLERANCE = 1e-6;
const KINDS = ["call", "open", "scope", "advance", "close", "write_file", "copy_file", "embedder"];

const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);
const mapValues = (object, f) => Object.fromEntries(Object.entries(object).map(([key, value]) => [key, f(value, key)]));

function letters(text) {
  const counts = new Float32Array(26);
  for (const byte of Buffer.from(text.replace(/[A-Z]/g, (c) => c.toLowerCase()))) {
    if (byte >= 97 && byte <= 122) counts[byte - 97] += 1;
  }
  return counts.some((n) => n > 0) ? counts : null;
}

function pairs(text) {
  const bytes = Buffer.from(text);
  if (bytes.length < 2) return null;
  const counts = new Float32Array(8);
  for (let i = 1; i < bytes.length; i++) counts[(bytes[i - 1] * 31 + bytes[i]) % 8] += 1;
  return counts;
}

/** The type that an `{"$any": type}` asks for. */
const any = (expected) => (isObject(expected) && Object.keys(expected).length === 1 ? expected.$any : undefined);

function isA(kind, actual) {
  const kinds = {
    string: typeof actual === "string",
    number: typeof actual === "number",
    integer: Number.isInteger(actual),
    object: isObject(actual),
  };
  assert.ok(kind in kinds, `$any knows ${Object.keys(kinds)}, not ${kind}`);
  return kinds[kind];
}

const brief = (value) => JSON.stringify(value)?.slice(0, 200);

/** The first place where an answer is not what was expected, as a JSON pointer. */
function difference(actual, expected, at = "") {
  const here = `${at}: expected ${brief(expected)}, found ${brief(actual)}`;
  if (any(expected) !== undefined) return isA(any(expected), actual) ? undefined : here;
  if (Array.isArray(actual) && Array.isArray(expected) && actual.length === expected.length) {
    return actual.map((value, i) => difference(value, expected[i], `${at}/${i}`)).find(Boolean);
  }
  if (isObject(actual) && isObject(expected)) {
    const missing = Object.keys(expected).find((key) => !Object.hasOwn(actual, key));
    if (missing !== undefined) return `${at}/${missing}: is missing`;
    const part = ([key, value]) =>
      Object.hasOwn(expected, key) ? difference(value, expected[key], `${at}/${key}`) : `${at}/${key}: was not expected`;
    return Object.entries(actual).map(part).find(Boolean);
  }
  if (typeof actual === "number" && typeof expected === "number") {
    const whole = Number.isInteger(actual) && Number.isInteger(expected);
    return actual === expected || (!whole && Math.abs(actual - expected) <= TOLERANCE) ? undefined : here;
  }
  return actual === expected ? undefined : here;
}

class Run {
  constructor(tmp) {
    this.tmp = tmp;
    this.saved = new Map();
    this.handles = new Map();
    this.opened = [];
    this.fails = false;
  }

  path(text) {
    return text.startsWith("$tmp") ? this.tmp + text.slice(4) : text;
  }

  /** A value as it is given to a verb, or expected from it. */
  real(value, isGiven) {
    if (Array.isArray(value)) return value.map((item) => this.real(item, isGiven));
    if (isObject(value)) {
      if (isGiven && Object.keys(value).length === 1 && "$repeat" in value) return value.$repeat[0].repeat(value.$repeat[1]);
      return mapValues(value, (inner) => this.real(inner, isGiven));
    }
    if (typeof value !== "string") return value;
    if (value.startsWith("$") && this.saved.has(value.slice(1))) return this.saved.get(value.slice(1));
    return this.path(value);
  }

  /** An answer for the transcript: paths of this run as `$tmp`, and `{"$any": ...}` where the expectation has it. */
  shown(actual, expected) {
    if (any(expected) !== undefined && isA(any(expected), actual)) return expected;
    if (Array.isArray(actual)) return actual.map((value, i) => this.shown(value, expected?.[i]));
    if (isObject(actual)) return mapValues(actual, (value, key) => this.shown(value, expected?.[key]));
    return typeof actual === "string" && actual.startsWith(this.tmp) ? `$tmp${actual.slice(this.tmp.length)}` : actual;
  }

  embedder(name) {
    if (name === null || name === undefined) return null;
    const [count, id] = { letters: [letters, "letters@1/26"], pairs: [pairs, "pairs@1/8"] }[name];
    const embed = async (texts) => {
      if (this.fails) throw new Error("the embedder fails, as the scenario says");
      return texts.map(count);
    };
    return Object.assign(embed, { raeId: id });
  }

  async open(name, { path = ":memory:", now = "2026-01-01T00:00:00Z", seed = 42, embedder, ...rest } = {}) {
    const options = { ...rest, embedder: this.embedder(embedder), _testNow: now, _testSeed: seed };
    const mem = await open(this.path(path), options);
    this.opened.push(mem);
    this.handles.set(name, mem);
  }

  handle(name = "mem") {
    assert.ok(this.handles.has(name), `no step opened ${name}`);
    return this.handles.get(name);
  }

  async step(step) {
    const kinds = KINDS.filter((kind) => kind in step);
    assert.equal(kinds.length, 1, `a step has exactly one of ${KINDS}: ${JSON.stringify(step)}`);
    const [kind] = kinds;
    const value = step[kind];
    switch (kind) {
      case "call": {
        const args = this.real(step.args ?? {}, true);
        if (value === "reembed") args.embedder = this.embedder(args.embedder);
        return callVerb(this.handle(step.on), value, args);
      }
      case "open":
        await this.open(value, step.options);
        break;
      case "scope": {
        const { tenant, project } = step;
        this.handles.set(value, this.handle(step.of).withScope({ tenant, project }));
        break;
      }
      case "advance":
        await this.advance(value);
        break;
      case "close":
        await this.handle(value).close();
        break;
      case "write_file":
        writeFileSync(this.path(value), step.text);
        break;
      case "copy_file":
        copyFileSync(this.path(value), this.path(step.to));
        break;
      case "embedder":
        await this.embeddersFail(value === "fails");
    }
    return null;
  }

  async advance(seconds) {
    for (const mem of this.opened) mem._testAdvance(seconds);
  }

  async embeddersFail(fail) {
    this.fails = fail;
  }

  async end() {
    for (const mem of this.opened) await mem.close();
  }

  /** Takes a step; gives its result for the transcript, and what is not as expected. */
  async take(step) {
    let actual;
    try {
      actual = await this.step(step);
    } catch (error) {
      if (error.kind === undefined) throw error;
      actual = { error: { kind: error.kind, code: error.reason } };
    }
    const expected = "error" in step ? { error: step.error } : (step.returns ?? null);
    const shown = this.shown(actual, expected);
    const problem = difference(actual, this.real(expected, false));
    for (const [name, pointer] of Object.entries(step.save ?? {})) {
      this.saved.set(name, pointer.split("/").slice(1).reduce((at, key) => at?.[key], actual));
    }
    return { shown, problem };
  }
}

/** The same on a server: each store is opened there. */
class RemoteRun extends Run {
  paths = [];

  async open(name, { tenant = "default", project = "default", timeout, ...options } = {}) {
    const { path } = await server.post("/open", options);
    this.paths.push(path);
    const mem = await connect(server.url + path, { apiKey: server.key, tenant, project, timeout });
    this.opened.push(mem);
    this.handles.set(name, mem);
  }

  async control(what) {
    for (const path of this.paths) await server.post(`${path}control`, what);
  }

  async advance(seconds) {
    await this.control({ advance: seconds });
  }

  async embeddersFail(fail) {
    await this.control({ embedder: fail ? "fails" : "works" });
  }

  async end() {
    await super.end();
    await this.control({ close: true });
  }
}

/** As `Scenario::needs_the_embedded_store` of rae-core: why is said there. */
function needsTheEmbeddedStore({ open: options, steps }) {
  const apart = (step) =>
    (step.options?.path ?? ":memory:") !== ":memory:" ||
    ["backup", "reembed"].includes(step.call) ||
    [step.tenant, step.project].some((name) => name !== undefined && name !== name.trim()) ||
    ("open" in step && "error" in step);
  return [{ open: "mem", options }, ...steps].some(apart);
}

// Counted in rae-server/tests/remote/scenarios.rs too.
const NOT_OVER_HTTP = 14;
const overHttp = scenarios.filter((scenario) => !needsTheEmbeddedStore(scenario));

test("the scenarios that are not replayed over HTTP are counted", () => {
  assert.equal(scenarios.length - overHttp.length, NOT_OVER_HTTP);
});

let server;
before(async () => {
  server = await startScenarioServer();
});
after(() => server.stop());

for (const [list, Runs, entries, where] of [
  [scenarios, Run, transcript, ""],
  [overHttp, RemoteRun, remoteTranscript, " over HTTP"],
]) for (const { file, rule, open: options, steps } of list) {
  test(`${file}${where}: ${rule}`, async () => {
    const tmp = mkdtempSync(join(tmpdir(), "rae-scenario-"));
    const run = new Runs(tmp);
    const results = [];
    const problems = [];
    try {
      await run.open("mem", options);
      for (const [number, step] of steps.entries()) {
        const { shown, problem } = await run.take(step);
        results.push(shown);
        if (problem) problems.push(`step ${number} (${step.call ?? Object.keys(step)})${problem}`);
      }
    } finally {
      await run.end();
      rmSync(tmp, { recursive: true });
    }
    entries.push({ rule, results });
    assert.deepEqual(problems, []);
  });
}

test("every verb has a scenario", () => {
  const called = new Set(scenarios.flatMap(({ steps }) => steps.filter((step) => !("error" in step)).map((step) => step.call)));
  const { native } = createRequire(import.meta.url)("../lib/native.js");
  // Models need a provider: money.test.mjs has one. The end of a metered call is a method of the call.
  // A dead letter needs a job that fails for hours: embedder.test.mjs.
  const models = ["llm", "llm_estimate", "llm_stream", "requeue_job"];
  for (const verb of [...native.verbs(), "reembed"].filter((name) => !models.includes(name))) assert.ok(called.has(verb), `no scenario calls ${verb}`);
  const snake = (name) => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
  const descriptors = Object.entries(Object.getOwnPropertyDescriptors(Rae.prototype));
  const methods = descriptors.filter(([, { value }]) => typeof value === "function").map(([name]) => name);
  const verbs = methods.filter((name) => !["constructor", "withScope", "session", "close", "_testAdvance"].includes(name)).map(snake);
  assert.deepEqual([...verbs, "end_metered"].sort(), [...VERBS, "llm_stream"].sort());
  for (const verb of verbs.filter((name) => !models.includes(name))) assert.ok(called.has(verb), `no scenario calls ${verb}`);
});

after(() => {
  const place = process.env.RAE_SCENARIO_TRANSCRIPTS;
  if (!place) return;
  mkdirSync(place, { recursive: true });
  writeFileSync(join(place, "node.json"), JSON.stringify(transcript));
  writeFileSync(join(place, "node-remote.json"), JSON.stringify(remoteTranscript));
});
