// A program that cannot spend more than it may: a budget, a meter round a call, and what was spent.
//
//     node budget.mjs [STORE]
//
// It calls no model: `fakeClient` stands for the client of your provider. With a key in the environment (OPENAI_API_KEY),
// `mem.llm({ model, messages })` makes the call itself, holds the money before it and books it after.
import { BudgetExceededError, open } from "rae";

const MODEL = "gpt-4o-mini";

/** The answer of a provider, with the usage that it counted. */
async function fakeClient(messages, maxTokens) {
  const words = messages.flatMap(({ content }) => content.split(" ")).length;
  const usage = { prompt_tokens: words + 10, completion_tokens: Math.min(maxTokens, 8) };
  return { content: "It leaves from the old pier.", usage };
}

const dollars = (usd) => `$${usd.toFixed(6)}`;

const mem = await open(process.argv[2] ?? ":memory:");
// Enough for about three calls of at most 500 tokens.
await mem.setBudget({ dailyLimit: "0.001", monthlyLimit: 10, warningThreshold: 0.5 });
const messages = [{ role: "user", content: "Where does the ferry leave from?" }];
for (const userId of ["ada", "ben"]) {
  const held = await mem.meter("openai", MODEL, { messages, maxOutputTokens: 500, userId }, async (call) => {
    const answer = await fakeClient(messages, 500);
    call.used(answer.usage);
    return call.heldUsd;
  });
  console.log(`${userId}: held ${dollars(held)}`);
}

// A call that could pass the limit is refused before it is made.
try {
  await mem.meter("openai", MODEL, { messages, maxOutputTokens: 5000 });
  throw new Error("the budget has no room for this call");
} catch (error) {
  if (!(error instanceof BudgetExceededError)) throw error;
  console.log(`refused: ${error.reason}`);
}

const { daily } = await mem.budget();
console.log(`today: ${dollars(daily.usedUsd)} of ${dollars(daily.limitUsd)}, ${dollars(daily.remainingUsd)} are left`);
for (const row of (await mem.costs({ groupBy: ["user"] })).items) console.log(`${row.user}: ${row.calls} call, ${dollars(row.costUsd)}`);
await mem.close();
