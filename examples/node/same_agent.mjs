// One agent, written once: its memory is a file, or a server, as you say.
//
//     node same_agent.mjs agent.rae
//     node same_agent.mjs http://127.0.0.1:8000
//
// For a server that wants a key, set RAE_API_KEY.

import { connect, open } from "rae";

/** The only lines that know where memories lie. */
async function memory(place) {
  if (/^https?:\/\//.test(place)) return connect(place, { apiKey: process.env.RAE_API_KEY, tenant: "demo" });
  return open(place, { tenant: "demo" });
}

async function agent(mem) {
  await mem.rememberMany([
    { content: "Ines is allergic to hazelnuts.", kind: "fact" },
    { content: "The ferry leaves at ten past seven.", speaker: "Ines", sessionId: "s1" },
  ]);
  const [hit] = await mem.recall("What is Ines allergic to?", { k: 1 });
  console.log(hit.content);
  console.log((await mem.context("When does the ferry leave?", { maxTokens: 100 })).text);
  console.log((await mem.stats()).memories, "memories");
}

const [place] = process.argv.slice(2);
if (place === undefined) {
  console.error("usage: node same_agent.mjs FILE|URL");
  process.exitCode = 2;
} else {
  const mem = await memory(place);
  try {
    await agent(mem);
  } finally {
    await mem.close();
  }
}
