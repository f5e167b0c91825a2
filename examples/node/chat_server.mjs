// A chat server that remembers, with node:http alone.
//
//     node chat_server.mjs [STORE]       chat.rae by default; then open the address that it prints
//
//     POST /chat {"user", "session", "message"} -> {"reply", "sources": [{"id", "text", "cited"}]}
//     GET /health, and GET / for a page to chat on
//
// HOST (127.0.0.1) and PORT (8080; 0 takes a free one) say where it listens. The model is lib/fake_model.mjs unless
// OPENAI_BASE_URL or OPENAI_API_KEY (and OPENAI_MODEL) name another. There is no login: `user` is believed. Where
// others can reach it, take the user from your own session or token instead, and put TLS in front.

import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { InvalidInputError, RaeError, open } from "rae";
import { HttpError, listen, readJson, send, sendJson } from "./lib/http.mjs";
import { complete, modelFromEnv, promptOf, sourcesOf } from "./lib/model.mjs";

const BODY_BYTES_MAX = 16 << 10;
const CONNECTIONS_MAX = 256;
const CONTEXT_TOKENS = 800;
const CALL_MS_MAX = 60_000;
const DRAIN_MS_MAX = 10_000;
const PAGE_POLICY =
  "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; connect-src 'self'; base-uri 'none'; " +
  "form-action 'none'; frame-ancestors 'none'";
const LOOPBACK = new Set(["127.0.0.1", "localhost", "[::1]", "::1"]);

const { HOST = "127.0.0.1", PORT = "8080" } = process.env;
const page = await readFile(new URL("chat.html", import.meta.url), "utf8");
const model = await modelFromEnv();
const mem = await open(process.argv[2] ?? "chat.rae", { tenant: "chat" });
// The calls that run, each with its answer and with what ends it.
const calls = new Map();

function textField(body, name, charsMax) {
  const value = body[name];
  if (typeof value !== "string" || value.trim() === "" || value.length > charsMax) {
    throw new HttpError(400, `${name} must be a text of 1 to ${charsMax} characters`);
  }
  return value;
}

/** One turn of the chat. It is remembered whole, or, when the caller leaves before, not at all. */
async function chat(req, signal) {
  const body = await readJson(req, BODY_BYTES_MAX);
  const user = textField(body, "user", 64);
  const session = textField(body, "session", 64);
  const message = textField(body, "message", BODY_BYTES_MAX);

  // A project for each user: nothing that one said can reach another.
  const own = mem.withScope({ project: user });
  const memory = await own.context(message, { sessionId: session, maxTokens: CONTEXT_TOKENS, signal });
  const askedAt = new Date();
  const reply = await complete(model, promptOf(memory, message), signal);
  const turn = { sessionId: session, kind: "conversation" };
  await own.rememberMany(
    [
      { content: message, speaker: user, role: "user", occurredAt: askedAt, ...turn },
      { content: reply, speaker: "Kit", role: "assistant", occurredAt: new Date(), ...turn },
    ],
    { signal },
  );
  return { reply, sources: sourcesOf(memory, reply) };
}

/** Refuses what a page of another site makes a browser send here. */
function checkOrigin({ headers: { host = "", origin } }) {
  const name = host.replace(/:\d+$/, "").toLowerCase();
  if (LOOPBACK.has(HOST) && !LOOPBACK.has(name)) throw new HttpError(403, "the Host header names another host");
  if (origin !== undefined && (!URL.canParse(origin) || new URL(origin).host !== host.toLowerCase())) {
    throw new HttpError(403, "requests from pages of other sites are refused");
  }
}

async function route(req, res, signal) {
  checkOrigin(req);
  const where = `${req.method} ${req.url.split("?", 1)[0]}`;
  if (where === "POST /chat") {
    sendJson(res, 200, await chat(req, signal));
  } else if (where === "GET /health") {
    await mem.stats({ signal });
    sendJson(res, server.listening ? 200 : 503, { status: server.listening ? "ok" : "draining" });
  } else if (where === "GET /") {
    send(res, 200, "text/html; charset=utf-8", page, { "content-security-policy": PAGE_POLICY });
  } else {
    throw new HttpError(404, "there are POST /chat, GET /health and GET /");
  }
}

/** The status and the text of an error. What was said is in neither. */
function answerTo(error, signal) {
  if (error instanceof HttpError) return [error.status, error.message];
  if (error instanceof InvalidInputError) return [400, error.message];
  if (signal.aborted) return [503, `the call was ended: ${signal.reason.message}`];
  console.error(`${error.name}: ${error.message}`);
  return error instanceof RaeError ? [503, "the memory cannot be used now"] : [502, "the model could not be asked"];
}

async function handle(req, res, controller) {
  // A caller who leaves ends the call: the model is not asked further, and nothing is written.
  res.once("close", () => controller.abort(new Error("the caller left")));
  const timer = setTimeout(() => controller.abort(new Error("it took too long")), CALL_MS_MAX);
  try {
    await route(req, res, controller.signal);
  } catch (error) {
    if (res.destroyed) return;
    const [status, message] = answerTo(error, controller.signal);
    sendJson(res, status, { error: { status, message } });
  } finally {
    clearTimeout(timer);
  }
}

const server = createServer({ requestTimeout: 30_000, headersTimeout: 10_000 }, (req, res) => {
  const controller = new AbortController();
  if (!server.listening) res.setHeader("connection", "close");
  const call = handle(req, res, controller).finally(() => calls.delete(call));
  calls.set(call, { res, controller });
});
server.maxConnections = CONNECTIONS_MAX;

/** Takes no more callers, lets those who wait have their answer, and closes the store. A second signal ends at once. */
async function stop() {
  const closed = new Promise((done) => server.close(done));
  console.log(`draining: ${calls.size} calls run`);
  for (const { res } of calls.values()) if (!res.headersSent) res.setHeader("connection", "close");
  const late = setTimeout(() => {
    for (const { controller } of calls.values()) controller.abort(new Error("the server stops"));
    server.closeAllConnections();
  }, DRAIN_MS_MAX);
  await closed;
  await Promise.allSettled(calls.keys());
  clearTimeout(late);
  await mem.close();
  await model.close();
  console.log("closed");
}

const address = await listen(server, Number(PORT), HOST);
for (const signal of ["SIGTERM", "SIGINT"]) process.once(signal, stop);
console.log(`listening on ${address}`);
console.log(`the model is ${model.name}; the memory is ${mem.file ?? "in this process alone"}`);
