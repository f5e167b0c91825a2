// One agent, two runs, two processes: what it was told in the first it answers in the second.
//
// The memory is real, the model is not: a server of this process that speaks OpenAI's chat completions stands where
// your provider goes. It reads the prompt and nothing else, so what it knows it knows from memory.
//
//     node agent_loop.mjs                               the two runs, on a file that is removed afterwards
//     node agent_loop.mjs STORE SESSION MESSAGE...      one run of your own

import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { open } from "rae";
import { startFakeModel } from "./lib/fake_model.mjs";
import { complete, promptOf, sourcesOf } from "./lib/model.mjs";

/** One turn of the loop: look back, answer, remember both sides, say what helped. */
async function turn(mem, model, session, said) {
  const signal = AbortSignal.timeout(60_000);

  // 1. Before the model: the memories that matter for this message and the session's last turns, cut to a budget.
  const memory = await mem.context(said, { sessionId: session, maxTokens: 300, signal });

  // 2. The model sees the memories and the message.
  const askedAt = new Date();
  const answer = await complete(model, promptOf(memory, said), signal);

  // 3. After the model: keep what was said, by whom and when. No model runs to store it.
  await mem.rememberMany(
    [
      { content: said, speaker: "Ines", role: "user", sessionId: session, occurredAt: askedAt },
      { content: answer, speaker: "Kit", role: "assistant", sessionId: session, occurredAt: new Date() },
    ],
    { signal },
  );

  // 4. A memory that the answer cites has helped: it will weigh a little more. `false` is for one that misled.
  const used = sourcesOf(memory, answer).filter((source) => source.cited);
  const helped = [];
  for (const { id } of used) helped.push(await mem.feedback(id, true, { signal }));
  return { answer, helped };
}

/** One run of the agent. Opening the file is all it takes to have its memories back. */
async function talk(path, session, messages) {
  const model = await startFakeModel();
  const mem = await open(path, { tenant: "demo", project: "agent-loop" });
  try {
    console.log(`\n[${session}, process ${process.pid}] ${(await mem.stats()).memories} memories`);
    for (const said of messages) {
      const { answer, helped } = await turn(mem, model, session, said);
      console.log(`  Ines: ${said}`);
      console.log(`  Kit:  ${answer}`);
      for (const memory of helped) console.log(`        helped: importance is ${memory.importance.toFixed(2)} now`);
    }
  } finally {
    await mem.close();
    await model.close();
  }
}

/** The two runs, each a process of its own. */
function twoRuns() {
  const folder = mkdtempSync(join(tmpdir(), "rae-agent-"));
  const command = [fileURLToPath(import.meta.url), join(folder, "agent.rae")];
  const run = (...args) => execFileSync(process.execPath, [...command, ...args], { stdio: "inherit" });
  try {
    run(
      "monday",
      "The ferry to the island leaves at ten past seven, and only on weekdays.",
      "My sister is vegetarian, keep that in mind for Friday's dinner.",
      "What is my brother's name?",
    );
    run("thursday", "Could my sister eat roast lamb tomorrow?", "When does the ferry leave?");
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const [store, session, ...messages] = process.argv.slice(2);
if (store === undefined) {
  twoRuns();
} else if (messages.length > 0) {
  await talk(store, session, messages);
} else {
  console.error("usage: node agent_loop.mjs [STORE SESSION MESSAGE...]");
  process.exitCode = 2;
}
