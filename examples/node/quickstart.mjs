// RAE in one minute: remember nine months of conversation, then ask about them.
//
// It opens a store in a temporary folder (or at the path given as the first argument), remembers
// ../data/lighthouse.jsonl session by session, asks twelve questions whose answers are known, builds a context block
// for a prompt, updates a fact, and opens the same file again. It needs Node 20 and `rae`, and nothing else.
//
//     node quickstart.mjs [STORE]
//
// The exit code is 1 when fewer than nine of the twelve questions have their evidence among the first three memories,
// or when a memory is missing after the file was opened again. The twin of ../python/quickstart.py.

import { subscribe } from "node:diagnostics_channel";
import { mkdtemp, readFile, readdir, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, dirname, join, resolve } from "node:path";
import { open } from "rae";
import { Page, wrap } from "./lib/page.mjs";

const DATA = new URL("../data/", import.meta.url);
const SCOPE = { tenant: "demo", project: "lighthouse" };
const FETCHED = 3;
const FOUND_MIN = 9;
const QUOTE_ROWS_MAX = 3;
const CONTEXT_TOKENS = 300;
const CONTEXT_QUESTION = "What can Tomas and Noa not eat?";

// A signal's name in `hit.signals`, and the plain word this page prints for it.
const SIGNALS = {
  dense: "meaning",
  lexical: "words",
  passage: "passage",
  actor: "speaker",
  session: "session",
  time: "time",
  graph: "graph",
};
const SIGNAL_SHOWN_MIN = 0.05;
const SIGNALS_SHOWN_MAX = 5;

const fixed = (number, digits = 1) => number.toFixed(digits);
const grouped = (number) => Math.round(number).toLocaleString("en-US");
const unique = (items) => [...new Set(items)];
const asDay = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "long", year: "numeric", timeZone: "UTC" });
const day = (time) => (time === null ? "undated" : asDay.format(new Date(time)));
/** .62, or 1 when it is all of it. */
const figure = (share) => (share >= 0.995 ? "1" : fixed(share, 2).slice(1));

/** What the run has measured, for the last lines and the exit code. */
function newTally() {
  return { turns: 0, sessions: 0, writeMs: 0, recallMs: [], asked: 0, first: 0, found: 0, connections: 0 };
}

async function loadTurns() {
  const text = await readFile(new URL("lighthouse.jsonl", DATA), "utf8");
  return text.split("\n").filter(Boolean).map((line) => JSON.parse(line));
}

async function loadQuestions() {
  const { questions } = JSON.parse(await readFile(new URL("lighthouse-questions.json", DATA), "utf8"));
  return questions.filter((question) => question.demo);
}

/** One turn as `rememberMany` takes it; the turn's id travels along as metadata. */
function asMemory(turn) {
  return {
    content: turn.content,
    kind: "conversation",
    speaker: turn.speaker,
    role: turn.role,
    sessionId: turn.session_id,
    occurredAt: turn.occurred_at,
    metadata: { turn: turn.id },
  };
}

/** The bytes of the store and whatever files it keeps beside itself. */
async function sizeBytes(path) {
  const files = (await readdir(dirname(path))).filter((name) => name.startsWith(basename(path)));
  const stats = await Promise.all(files.map((name) => stat(join(dirname(path), name))));
  return stats.filter((found) => found.isFile()).reduce((sum, found) => sum + found.size, 0);
}

function median(numbers) {
  const sorted = [...numbers].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

async function timedRecall(mem, question, tally) {
  const start = performance.now();
  const hits = await mem.recall(question, { k: FETCHED });
  const spentMs = performance.now() - start;
  tally.recallMs.push(spentMs);
  return { hits, spentMs };
}

function title(page, turns) {
  const [first, last] = [turns[0], turns.at(-1)].map((turn) => day(turn.session_id));
  page.line();
  page.line(page.ink("RAE", "bold", "cyan") + page.ink("  memory that an agent can keep", "bold"));
  page.line();
  page.wrapped(
    "Ines mends boats and is turning a lighthouse keeper's house into a guesthouse. Kit is her agent. They talk from " +
      `${first} to ${last}; her brother Tomas joins in. Plans move, suppliers fail, a dog falls ill, something turns ` +
      "up inside a wall. Kit has to remember it.",
    "  ",
  );
}

function bySession(turns) {
  const sessions = new Map();
  for (const turn of turns) sessions.set(turn.session_id, [...(sessions.get(turn.session_id) ?? []), turn]);
  return [...sessions.values()];
}

/** Remembers one session after the other; gives the turn behind each memory's id. */
async function remember(page, mem, turns, tally) {
  page.heading("1  Remember", `rememberMany, ${turns.length} turns`);
  const turnOf = new Map();
  const sessions = bySession(turns);
  const longest = Math.max(...sessions.map((session) => session.length));
  const cells = Math.max(4, Math.min(36, page.width - 60));
  let merged = 0;
  for (const session of sessions) {
    const start = performance.now();
    const receipts = await mem.rememberMany(session.map(asMemory));
    const spentMs = performance.now() - start;
    tally.writeMs += spentMs;
    merged += receipts.filter((receipt) => receipt.merged).length;
    receipts.forEach((receipt, i) => turnOf.set(receipt.id, session[i]));
    const bar = page.ink(page.bar(session.length / longest, cells), "cyan");
    const who = page.width >= 70 ? page.ink(unique(session.map((turn) => turn.speaker)).join(", "), "dim") : "";
    const figures = `${String(session.length).padStart(3)} turns ${fixed(spentMs).padStart(8)} ms`;
    page.line(`  ${session[0].session_id}  ${bar}  ${figures}  ${who}`.trimEnd());
  }
  Object.assign(tally, { turns: turns.length, sessions: sessions.length });
  const rate = grouped((turns.length / tally.writeMs) * 1000);
  page.line();
  page.line(`  ${turns.length} turns stored in ${grouped(tally.writeMs)} ms, ${rate} a second.`);
  if (merged > 0) page.line(`  ${merged} were in this file already and were merged, not doubled.`);
  return turnOf;
}

/** Why this memory was found: its strongest signals, with their figures. */
function signalsLine(page, hit) {
  const strong = Object.entries(SIGNALS)
    .map(([name, word]) => ({ word, value: hit.signals[name] }))
    .sort((a, b) => b.value - a.value)
    .slice(0, SIGNALS_SHOWN_MAX)
    .filter(({ value }) => value >= SIGNAL_SHOWN_MIN);
  const cells = strong.map(({ word, value }) => `${word} ${page.level(value)}${figure(value)}`);
  return cells.join("  ") || "no signal above the threshold";
}

function quote(page, hit, lead = "") {
  page.line(`       ${lead}${page.ink(`${hit.speaker}, ${day(hit.occurredAt)}`, "bold")}`);
  page.wrapped(hit.content, `       ${page.glyph("│ ", "| ")}`, [], QUOTE_ROWS_MAX);
}

async function ask(page, mem, number, question, tally) {
  const { hits, spentMs } = await timedRecall(mem, question.question, tally);
  const place = hits.findIndex((hit) => question.evidence.includes(hit.metadata.turn));
  const found = place >= 0;
  tally.asked += 1;
  tally.found += found ? 1 : 0;
  tally.first += place === 0 ? 1 : 0;

  const mark = found ? page.ink(page.glyph("✓", "+"), "green") : page.ink(page.glyph("✗", "x"), "red");
  page.line(` ${mark} ${String(number).padStart(2)}  ${page.ink(question.category, "dim")}`);
  page.sides(question.question, `${fixed(spentMs)} ms`, 7, "bold", "yellow");
  if (hits.length > 0) {
    quote(page, hits[0]);
    if (place > 0) quote(page, hits[place], page.ink(`and in place ${place + 1}: `, "green"));
    page.wrapped(`found by  ${signalsLine(page, hits[found ? place : 0])}`, "       ", ["cyan"]);
  }
  if (!found) page.wrapped(`expected: ${question.answer}`, "       ", ["red"]);
}

async function askAll(page, mem, questions, tally) {
  page.heading("2  Ask", `recall, k: ${FETCHED}; a tick: the evidence is among the ${FETCHED}`);
  for (const [i, question] of questions.entries()) {
    if (i > 0) page.line();
    await ask(page, mem, i + 1, question, tally);
  }
}

async function showContext(page, mem, turnOf) {
  page.heading("3  Put it into a prompt", `context, maxTokens: ${CONTEXT_TOKENS}`);
  page.line(`  ${page.ink(CONTEXT_QUESTION, "bold", "yellow")}`);
  page.line();
  const block = await mem.context(CONTEXT_QUESTION, { maxTokens: CONTEXT_TOKENS });
  for (const row of block.text.trimEnd().split("\n")) page.wrapped(row, `  ${page.glyph("│ ", "| ")}`);
  const known = block.sources.map((source) => turnOf.get(source.id)).filter(Boolean);
  const told = unique(known.map((turn) => `${turn.speaker} ${turn.session_id}`)).join("; ");
  page.line();
  page.line(`  ${block.tokenCount} of ${CONTEXT_TOKENS} tokens, ${block.sources.length} sources:`);
  page.wrapped(told || "none", "  ", ["dim"]);
}

/** A fact that changes twice: one id, three versions. */
async function showUpdate(page, mem) {
  page.heading("4  Change a fact", "remember, update, history");
  const { id } = await mem.remember("The guesthouse opens on 1 September 2025.", { kind: "fact" });
  await mem.update(id, { content: "The guesthouse opens on 10 October 2025." });
  await mem.update(id, { content: "The guesthouse opens on 31 October 2025." });
  for (const { version, content, replacedAt } of await mem.history(id)) {
    const now = replacedAt === null;
    const mark = now ? page.ink("  now", "green") : "";
    page.line(`  version ${version}  ${page.ink(content, now ? "bold" : "dim")}${mark}`);
  }
  page.line();
  page.wrapped("One id. Recall sees the last version; the history keeps the others.", "  ");
  return id;
}

/** The ids of the memories that answer each question, in order. */
async function answers(mem, questions, tally) {
  const found = [];
  for (const { question } of questions) {
    found.push((await timedRecall(mem, question, tally)).hits.map((hit) => hit.id));
  }
  return found;
}

/** Opens the file a second time; `kept` when nothing that was remembered is missing. */
async function reopen(page, path, questions, before, fact, tally) {
  page.heading("5  Close, open again", "the same file");
  const start = performance.now();
  const mem = await open(path, SCOPE);
  const openedMs = performance.now() - start;
  try {
    page.line(`  open          ${fixed(openedMs)} ms, ${(await mem.stats()).memories} memories`);
    const after = await answers(mem, questions, tally);
    const same = after.filter((ids, i) => ids.join() === before[i].join()).length;
    page.line(`  questions     ${same} of ${before.length} with the same memories in the same order`);
    page.line(`  the fact      ${(await mem.history(fact)).length} versions in its history`);
    await mem.forget(fact);
    const stats = await mem.stats();
    page.line(`  forget(fact)  ${stats.memories} memories left`);
    if (same === before.length) {
      page.line();
      page.line(`  ${page.ink("The same file, opened again, answers the same.", "green")}`);
    }
    return { stats, kept: stats.memories >= tally.turns };
  } finally {
    await mem.close();
  }
}

async function totals(page, stats, path, tally) {
  page.heading("Totals");
  const { recallMs } = tally;
  const size = grouped((await sizeBytes(path)) / 1024);
  const rows = {
    memories: `${stats.memories} in ${tally.sessions} sessions, a file of ${size} KiB`,
    written: `${grouped((tally.turns / tally.writeMs) * 1000)} turns a second, one call per session`,
    recall: `median ${fixed(median(recallMs))} ms, worst ${fixed(Math.max(...recallMs))} ms, ${recallMs.length} calls`,
    evidence:
      `first in ${tally.first} of ${tally.asked} questions, ` +
      `among the first ${FETCHED} in ${tally.found} of ${tally.asked}`,
    embedder: `${stats.embedder.id}, ${stats.embedder.dim} dimensions`,
    network: `${tally.connections} connections through Node's sockets (watched); no API key in this script`,
  };
  for (const [name, text] of Object.entries(rows)) {
    wrap(text, page.width - 13).forEach((row, i) => {
      page.line(`  ${page.ink((i === 0 ? name : "").padEnd(10), "dim")} ${row}`);
    });
  }
  page.line();
}

async function run(page, path) {
  const tally = newTally();
  // Every connection made through Node's net module (fetch and http use it too) from here on.
  subscribe("net.client.socket", () => (tally.connections += 1));
  const [turns, questions] = [await loadTurns(), await loadQuestions()];
  title(page, turns);
  const mem = await open(path, SCOPE);
  let fact;
  let before;
  try {
    const turnOf = await remember(page, mem, turns, tally);
    await askAll(page, mem, questions, tally);
    await showContext(page, mem, turnOf);
    fact = await showUpdate(page, mem);
    before = await answers(mem, questions, tally);
  } finally {
    await mem.close();
  }
  const { stats, kept } = await reopen(page, path, questions, before, fact, tally);
  await totals(page, stats, path, tally);
  const enough = tally.found >= FOUND_MIN;
  if (!enough) page.line(page.ink(`  ${tally.found} of ${tally.asked} found; ${FOUND_MIN} are needed.`, "red"));
  if (!kept) page.line(page.ink("  Memories are missing after the file was opened again.", "red"));
  return kept && enough ? 0 : 1;
}

async function main([store]) {
  if (store !== undefined) return run(new Page(), resolve(store));
  const folder = await mkdtemp(join(tmpdir(), "rae-demo-"));
  try {
    return await run(new Page(), join(folder, "lighthouse.rae"));
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

process.exitCode = await main(process.argv.slice(2));
