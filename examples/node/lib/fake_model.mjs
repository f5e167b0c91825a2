// Stands in for a language model: a server on a free port of this machine that speaks OpenAI's chat completions and
// answers by rules. It sees the messages and nothing else, so what it knows, it knows from memory.

import { createServer } from "node:http";
import { HttpError, listen, readJson, sendJson } from "./http.mjs";

const BODY_BYTES_MAX = 1 << 20;
// `- [2] [8 May, 2023] Ines: The ferry leaves at ten past seven.`
const ENTRY = /^- \[(\d+)\] (?:\[([^\]]+)\] )?([^:]{1,80}): (.+)$/;
const COMMON = new Set(
  "about again also and any are been but can could did does for from had has have her him his how its may mine must " +
    "not now our she should that the their them there they this was were what when where which who whom whose why " +
    "will with would you your",
);

/** The words that carry a meaning, by their first five letters: "leave" and "leaves" are one. */
function stems(text) {
  const words = text.toLowerCase().match(/[\p{L}\p{N}]{3,}/gu) ?? [];
  return new Set(words.filter((word) => !COMMON.has(word)).map((word) => word.slice(0, 5)));
}

/** A question gets the remembered statement that shares most words with it; what is no question is noted. */
export function answer(messages) {
  const said = messages.findLast((message) => message.role === "user")?.content ?? "";
  if (!said.trimEnd().endsWith("?")) return "Noted.";
  const asked = stems(said);
  let best = { shared: 0 };
  for (const line of messages.filter((message) => message.role === "system").flatMap((m) => m.content.split("\n"))) {
    const [, number, date, speaker, text] = ENTRY.exec(line) ?? [];
    // Neither earlier questions nor earlier answers are news.
    if (text === undefined || speaker === "Kit" || text.trimEnd().endsWith("?")) continue;
    const shared = [...stems(text)].filter((stem) => asked.has(stem)).length;
    if (shared > best.shared) best = { shared, number, date, speaker, text };
  }
  if (best.shared === 0) return "I do not know that yet.";
  return `${best.speaker} said${best.date ? ` on ${best.date}` : ""}: ${best.text} [${best.number}]`;
}

/** Starts the server. `close` ends it. */
export async function startFakeModel() {
  const server = createServer({ requestTimeout: 30_000 }, async (req, res) => {
    try {
      if (req.method !== "POST" || req.url !== "/v1/chat/completions") throw new HttpError(404, "no such route");
      const { messages, model = "fake" } = await readJson(req, BODY_BYTES_MAX);
      const isMessage = (m) => typeof m?.role === "string" && typeof m?.content === "string";
      if (!Array.isArray(messages) || !messages.every(isMessage)) {
        throw new HttpError(400, "messages must be a list of {role, content}");
      }
      const message = { role: "assistant", content: answer(messages) };
      const choices = [{ index: 0, message, finish_reason: "stop" }];
      sendJson(res, 200, { id: "chatcmpl-fake", object: "chat.completion", created: 0, model, choices });
    } catch (error) {
      sendJson(res, error.status ?? 500, { error: { message: error.message, type: "invalid_request_error" } });
    }
  });
  const address = await listen(server, 0);
  // The program ends when its own work ends.
  server.unref();
  const close = () => new Promise((done) => server.close(done).closeAllConnections());
  return { baseUrl: `${address}/v1`, model: "fake", name: "the rules of lib/fake_model.mjs", close };
}
