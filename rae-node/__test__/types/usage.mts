// Compiled, never run: what people write must type-check, and what is wrong must not.
import { connect, open, InvalidInputError, RaeError, Hits, type EmbedderFunction, type Filter, type Memory, type NewMemory, type Receipt } from "rae";

const embedder: EmbedderFunction = async (texts) => texts.map(() => new Float32Array(4));
embedder.raeId = "mine@1/4";

await using mem = await open("agent.rae", { tenant: "t", project: "p", embedder, durability: "normal", timeout: 5 });
const filter: Filter = { and: [{ "metadata.n": { gte: 1 } }, { not: { sessionId: "s1" } }, { occurredAt: { lt: new Date() } }] };
const receipt = await mem.remember("text", { speaker: "Ada", occurredAt: new Date(), tags: new Set(["a"]), metadata: { n: [1, null] } });
const id: string = receipt.id;
const items: NewMemory[] = [{ content: "a", layer: "wm" }];
await mem.rememberMany(items, { signal: AbortSignal.timeout(1_000) });
const hits: Hits = await mem.recall("q", { k: 3, filter, since: "2024-01-01", explain: true });
const contents: string[] = hits.map((hit) => hit.content);
const first: string | null | undefined = hits[0]?.occurredAt;
for (const hit of hits) console.log(hit.signals.dense, hit.passage.start, hits.degraded);
console.log((await mem.context({ sessionId: "s1" })).tokenCount, (await mem.context("q", { maxTokens: 9 })).sources);
const memory: Memory = await mem.get(id);
await mem.update(id, { content: "b", speaker: null }, { signal: null });
const edge: Receipt = await mem.relate("Ada", "works_at", "Acme", { weight: 2, validFrom: new Date(), sourceId: id });
const claimed = (await mem.relations({ subject: "ada", limit: 1 })).items[0]?.claim;
const weight: number | undefined = claimed?.weight;
await mem.forget({ scope: "session", target: "s1" });
await mem.forget({ filter });
const gone = await mem.forget("id");
const erased = await mem.verifyErasure(gone, { exports: ["a.jsonl"], texts: ["a text"] });
const traces: string[] = erased.places.filter((place) => place.state === "found").map((place) => place.place);
await mem.verifyErasure(gone.receipt);
void traces;
await mem.export(new URL("file:///tmp/dump.jsonl"));
await mem.reembed(null);
await mem.maintain({ now: new Date() });
const other = mem.withScope({ project: "q" });
const far = await connect(new URL("http://127.0.0.1:8000"), { apiKey: "k", tenant: "t", timeout: 5, ca: null });
const address: string | null = far.url;
console.log(address);
try {
  await other.recall("x");
} catch (error) {
  if (error instanceof InvalidInputError) console.log(error.reason, error.details);
  if (error instanceof RaeError && error.code === "NOT_FOUND") console.log(error.kind satisfies "not_found" | string);
}
console.log(contents, first, memory.witnessCount);
await mem.setBudget({ dailyLimit: "20.00", monthlyLimit: null, project: true });
const left: number | null = (await mem.budget({ project: true })).daily.remainingUsd;
const spent: number[] = (await mem.costs({ groupBy: ["day", "user"], since: new Date() })).items.map((row) => row.costUsd);
const logged: string | null = (await mem.costLog({ limit: 5 })).nextCursor;
const metered: string = await mem.meter("openai", "gpt-4o-mini", { inputTokens: 5 }, async (call) => {
  call.used({ inputTokens: 5, outputTokens: 1 });
  return call.id;
});
const said: string = (await mem.llm({ model: "gpt-4o-mini", messages: [{ role: "user", content: "x" }] })).text;
for await (const piece of await mem.llmStream({ model: "gpt-4o-mini", messages: [] })) console.log(piece.text);
console.log(left, spent, logged, metered, said, (await mem.llmEstimate({ model: "m", messages: [] })).allowed);
const named: string[] = (await mem.entities("ada", { limit: 5 })).items.map((entity) => entity.name);
const all: string | null = (await mem.entities({ at: new Date() })).nextCursor;
const near: number[] = (await mem.neighbors("Ada", { depth: 2, snapshot: "before" })).neighbors.map((n) => n.strength);
const way: string[] | undefined = (await mem.path("Ada", "Oslo"))?.entities;
const around: string[] = (await mem.subgraph(["Ada"], { depth: 1 })).relations.map((relation) => relation.validFrom);
const taken: string[] = [await mem.snapshot("now"), ...(await mem.snapshots())].map((snapshot) => snapshot.at);
console.log(named, all, near, way, around, taken, mem.file);

// @ts-expect-error no such group
await mem.costs({ groupBy: ["week"] });
// @ts-expect-error a query is needed
await mem.recall();
// @ts-expect-error snake_case is Python's
await mem.remember("x", { session_id: "s" });
// @ts-expect-error no such layer
await mem.recall("x", { layers: ["long"] });
// @ts-expect-error metadata is JSON
await mem.remember("x", { metadata: { at: new Date() } });
// @ts-expect-error content cannot be cleared
await mem.update(id, { content: null });
// @ts-expect-error a scope needs its target
await mem.forget({ scope: "session" });
// @ts-expect-error frozen
memory.content satisfies number;
