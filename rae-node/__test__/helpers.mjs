// What the tests share.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import * as rae from "../index.mjs";

export const MODULE = fileURLToPath(new URL("../index.mjs", import.meta.url));
export const NOWHERE = "0190a0a0-0000-7000-8000-000000000000";
// Nothing a test waits for takes this long; what does is a hang.
export const PATIENCE = 60_000;

/** A temporary folder that goes with the test. */
export function folder(t) {
  const made = mkdtempSync(join(tmpdir(), "rae-node-"));
  t.after(() => rmSync(made, { recursive: true, force: true }));
  return made;
}

/** An open store that closes with the test; in memory without a path. */
export async function opened(t, options, path = ":memory:") {
  const mem = await rae.open(path, options);
  t.after(() => mem.close());
  return mem;
}

/** Memories that are all different. */
export function turns(count, fields = {}) {
  return Array.from({ length: count }, (_, i) => ({ content: `note ${i} about subject ${i % 97}`, sessionId: `s${i % 50}`, ...fields }));
}

/** An embedder of two numbers whose answer can be changed. */
export function switchable(id = "switch/2") {
  const good = (texts) => texts.map((text) => [1 + text.length, 1]);
  const embedder = (texts, role) => embedder.answer(texts, role);
  return Object.assign(embedder, { raeId: id, good, answer: good });
}

/** The RaeError that a promise is rejected with; it must be of this class, complete, and hold the words. */
export async function rejected(promise, kind = "invalid_input", ...words) {
  const error = await promise.then(
    (value) => assert.fail(`not rejected, but resolved to ${JSON.stringify(value)?.slice(0, 200)}`),
    (e) => e,
  );
  complete(error, kind, ...words);
  return error;
}

/** As `rejected`, of a call that is made here: it must not throw but reject. */
export function refused(call, ...words) {
  const promise = call();
  assert.ok(promise instanceof Promise, "an async method throws nothing but rejects");
  const checked = rejected(promise, "invalid_input", ...words);
  return checked.catch((error) => {
    error.message += ` in ${call}`;
    throw error;
  });
}

/** Whether an error has all that one of ours has. */
export function complete(error, kind, ...words) {
  assert.ok(error instanceof rae.RaeError, `not a RaeError: ${error?.stack ?? error}`);
  assert.equal(error.kind, kind, error.message);
  assert.notEqual(error.constructor, rae.RaeError);
  assert.match(error.code, /^[A-Z_]+$/);
  assert.match(error.reason, /^[a-z_]+$/);
  assert.ok(error.message.length > 10, error.message);
  assert.ok(error.message.length < 2_000, `a message of ${error.message.length} characters`);
  assert.doesNotMatch(error.message, /\[object|this is a bug/);
  for (const word of words) assert.ok(error.message.includes(word), `"${error.message}" does not hold "${word}"`);
}

/** What became of a promise within the patience of the tests. */
export async function soon(promise, what = "the call") {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} hangs`)), PATIENCE);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Waits, with turns of the event loop, until something is so. */
export async function until(so, what) {
  const end = Date.now() + PATIENCE;
  while (!(await so())) {
    assert.ok(Date.now() < end, `${what} did not happen`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** The number of memories of a store that must have no damage. */
export async function sound(store, options) {
  const mem = await rae.open(store, options);
  try {
    assert.deepEqual((await mem.doctor()).filter((finding) => finding.level === "error"), []);
    return (await mem.stats()).memories;
  } finally {
    await mem.close();
  }
}

/** Collects garbage, and lets finalizers run. */
export async function collect() {
  setFlagsFromString("--expose-gc");
  const gc = runInNewContext("gc");
  for (let i = 0; i < 4; i++) {
    gc();
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}

const entries = (path) => (existsSync(path) ? readdirSync(path).length : 0);
/** Threads of this process; 0 where the system does not say. */
export const threads = () => entries("/proc/self/task");
/** Open files of this process; 0 where the system does not say. */
export const files = () => entries("/proc/self/fd");

const running = new Set();
process.once("exit", () => running.forEach((child) => child.kill("SIGKILL")));

/** Starts Node with code that may use `args` and, unless it is bare, `rae`. It is killed when it outlasts the patience of the tests. */
export function start(code, args = [], { bare = false } = {}) {
  const load = bare ? "" : `import * as rae from ${JSON.stringify(MODULE)};`;
  const prelude = `${load} const args = process.argv.slice(1);\n`;
  const child = spawn(process.execPath, ["--input-type=module", "-e", prelude + code, ...args.map(String)], {
    stdio: ["ignore", "pipe", "pipe"],
    timeout: PATIENCE,
    killSignal: "SIGKILL",
  });
  running.add(child);
  child.out = "";
  child.err = "";
  child.stdout.setEncoding("utf8").on("data", (text) => (child.out += text));
  child.stderr.setEncoding("utf8").on("data", (text) => (child.err += text));
  child.ended = new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (exit, signal) => {
      running.delete(child);
      resolve({ exit, signal, out: child.out.trim(), err: child.err });
    });
  });
  return child;
}

/** The output of code that must end by itself with this exit code. */
export async function run(code, args, options = {}) {
  const { exit, signal, out, err } = await start(code, args, options).ended;
  assert.equal(signal, null, `ended by ${signal}\n${out}\n${err}`);
  assert.equal(exit, options.exit ?? 0, `exit ${exit}\n${out}\n${err}`);
  return out;
}
