// One of the programs of bench_bindings.py: node bindings.mjs INDEX_MJS TEXTS ROUNDS. Beside the time of a call it measures for how long the
// event loop was held: the longest gap between two turns of a loop of setImmediate while the calls run, less the time in which the thread
// was ready and had no core (on Linux; the engine's threads take both cores of a small machine).
import { closeSync, openSync, readSync, readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const [index, textsPath, roundsText] = process.argv.slice(2);
const { open } = await import(pathToFileURL(index).href);
const texts = readFileSync(textsPath, "utf8").trimEnd().split("\n");
const rounds = Number(roundsText);
const text = (i) => `${texts[i % texts.length]} ${i}`;
const items = (start, n) => Array.from({ length: n }, (_, i) => ({ content: text(start + i) }));

const schedstat = process.platform === "linux" ? openSync(`/proc/self/task/${process.pid}/schedstat`, "r") : undefined;
const buffer = Buffer.alloc(128);
/** Milliseconds that this thread has waited for a core so far. */
function waited() {
  if (schedstat === undefined) return 0;
  const text = buffer.toString("latin1", 0, readSync(schedstat, buffer, 0, 128, 0));
  return Number(text.split(" ")[1]) / 1e6;
}

let longest = 0;
let last = performance.now();
let lastWaited = waited();
let watching = true;
(function watch() {
  const [now, wait] = [performance.now(), waited()];
  longest = Math.max(longest, now - last - (wait - lastWaited));
  [last, lastWaited] = [now, wait];
  if (watching) setImmediate(watch);
})();

/** Arguments are made outside of the time and of the watched gap: they are the caller's own work. */
async function timed(verb, n, prepare, call) {
  const micros = [];
  let held = 0;
  for (let i = 0; i < n; i++) {
    const given = prepare(i);
    await new Promise(setImmediate);
    longest = 0;
    [last, lastWaited] = [performance.now(), waited()];
    const begun = performance.now();
    await call(given);
    micros.push((performance.now() - begun) * 1e3);
    await new Promise(setImmediate);
    held = Math.max(held, longest);
  }
  micros.sort((a, b) => a - b);
  const row = { surface: "Node", verb, n, p50: micros[n >> 1], p99: micros[Math.min(Math.floor(n * 0.99), n - 1)], held_ms: held };
  console.log(JSON.stringify(row));
}

const mem = await open(":memory:");
await mem.rememberMany(items(0, 1_000));
await timed("remember", rounds, (i) => text(1_001 + i), (given) => mem.remember(given));
await timed("recall", rounds, (i) => texts[i % texts.length], (given) => mem.recall(given));
await timed("remember_many(1000)", 30, (i) => items(1_000_000 + 1_000 * i, 1_000), (given) => mem.rememberMany(given));
// Beyond the comparison: the largest calls there are.
await timed("remember_many(100000)", 3, (i) => items(2_000_000 + 100_000 * i, 100_000), (given) => mem.rememberMany(given));
await timed("recall, k = 1000", 30, (i) => texts[i % texts.length], (given) => mem.recall(given, { k: 1_000 }));
await timed("list, limit = 1000", 30, () => ({ limit: 1_000 }), (given) => mem.list(given));
await timed("remember, 1 MiB", 30, (i) => `${i} `.padEnd(1 << 20, "lorem ipsum "), (given) => mem.remember(given));
await timed("embed, 1000 texts of 10 KB", 10, (i) => Array.from({ length: 1_000 }, (_, j) => `${i} ${j} `.padEnd(10_000, "lorem ipsum ")), (given) => mem.embed(given));
watching = false;
await mem.close();
if (schedstat !== undefined) closeSync(schedstat);
