/// <reference lib="esnext.disposable" />

/** Version of the engine, for example `0.1.0`. */
export const version: () => string;

export type Layer = "sensory" | "working" | "episodic" | "semantic" | "reflective";
/** A layer, or one of its old codes. */
export type LayerName = Layer | "stm" | "wm" | "em" | "ltm" | "sm" | "rm";
export type Kind =
  | "text"
  | "fact"
  | "conversation"
  | "document"
  | "code"
  | "image-ref"
  | "reflection"
  | "lesson"
  | "strategy"
  | "entity-summary";
export type TrustLevel = "unverified" | "low" | "medium" | "high";
export type InfoClass = "public" | "internal" | "confidential" | "restricted";

/** What JSON can say. Integers beyond 2^53 lose digits in JavaScript: store them as text. */
export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };
export type Metadata = { [key: string]: Json };

/**
 * A time to give: a `Date`, or RFC 3339 text (any offset; a date alone is midnight UTC), years 1 to 9999. Times that come back are RFC 3339
 * text in UTC, exact to the microsecond, which a `Date` could not hold: `new Date(text)` cuts it to milliseconds. Compare times, not their text.
 */
export type Time = Date | string;

/** What every verb takes as its last options. */
export interface CallOptions {
  /** Ends the call: it rejects with `CancelledError`, and what was not committed is not written. */
  signal?: AbortSignal | null;
}

/** An operator of a filter. */
export type Comparison =
  | Json
  | Date
  | {
      eq?: Json | Date;
      ne?: Json | Date;
      in?: Iterable<Json | Date>;
      nin?: Iterable<Json | Date>;
      gt?: number | string | Date;
      gte?: number | string | Date;
      lt?: number | string | Date;
      lte?: number | string | Date;
      contains?: Json;
    };

/**
 * `{ field: value | { eq, ne, in, nin, gt, gte, lt, lte, contains } }`, combined by `and`, `or`, `not`. Fields are those of `Memory`, in camelCase
 * or snake_case, and `"metadata.a.b"`. At most 8 levels and 64 comparisons.
 */
export type Filter =
  | { and: Filter[] }
  | { or: Filter[] }
  | { not: Filter }
  | { [field: string]: Comparison };

/** What `remember` takes beside the content. null is the same as no value. */
export interface NewMemoryFields {
  /** Default `conversation` when sessionId, speaker or role is given, else `text`. */
  kind?: Kind | null;
  /** Default by kind. */
  layer?: LayerName | null;
  /** `user`, `assistant`, `system`, `tool` or your own, at most 64 bytes. */
  role?: string | null;
  /** Who said it, at most 256 bytes. */
  speaker?: string | null;
  /** Session, at most 256 bytes. */
  sessionId?: string | null;
  /** Agent, at most 256 bytes. */
  agentId?: string | null;
  /** User, at most 256 bytes. */
  userId?: string | null;
  /** When it happened. */
  occurredAt?: Time | null;
  /** At most 64 labels of 128 bytes. */
  tags?: Iterable<string> | null;
  /** A plain object of your own, at most 64 KiB of JSON and 16 levels. */
  metadata?: Metadata | null;
  /** 0 to 1; default the layer's. */
  importance?: number | null;
  /** 0 to 1; default 1. */
  confidence?: number | null;
  /** Seconds to live from now; default the layer's. */
  ttl?: number | null;
  /** Name of the source. */
  source?: string | null;
  /** Trust in the source. */
  trustLevel?: TrustLevel | null;
  /** Default `internal`. */
  infoClass?: InfoClass | null;
  /** From when it holds; default occurredAt, else now. */
  validFrom?: Time | null;
  /** Until when it holds (exclusive); default open. */
  validTo?: Time | null;
  /** Reads facts from the text, by rules and without a model, when `maintain` or a worker runs. */
  infer?: boolean | null;
  /** Makes the write safe to repeat for 24 h; another body under the same key is `ConflictError`. */
  idempotencyKey?: string | null;
}

/** An item of `rememberMany`. */
export interface NewMemory extends NewMemoryFields {
  /** The text, 1 byte to 1 MiB. */
  content: string;
}

/** What `update` can change. Left out (or undefined): it stays. null: it is cleared. */
export interface MemoryUpdate {
  content?: string;
  kind?: Kind;
  layer?: LayerName;
  role?: string | null;
  speaker?: string | null;
  occurredAt?: Time | null;
  tags?: Iterable<string> | null;
  metadata?: Metadata | null;
  importance?: number;
  confidence?: number;
  /** Seconds from now; null lifts the limit. */
  ttl?: number | null;
  source?: string | null;
  trustLevel?: TrustLevel | null;
  infoClass?: InfoClass;
  validFrom?: Time | null;
  validTo?: Time | null;
  /** Id of the memory that replaces this one. */
  supersededBy?: string | null;
  /** `ConflictError` unless the memory has this version. */
  expectedVersion?: number | null;
}

/** What became of a write. */
export interface Receipt {
  /** Id of the memory that holds the text now: an older one when it merged. */
  id: string;
  version: number;
  /** Whether the text was there already, so that its witness count grew instead. */
  merged: boolean;
  /** What could not be done at once: `dense` (the vector is owed as a job). */
  degraded: string[];
}

export interface RecallOptions extends CallOptions {
  /** Most hits, 1 to 1,000; default 10. */
  k?: number | null;
  layers?: Iterable<LayerName> | null;
  kinds?: Iterable<Kind> | null;
  /** All of these. */
  tags?: Iterable<string> | null;
  /** Any of these. */
  tagsAny?: Iterable<string> | null;
  filter?: Filter | null;
  /** Inclusive, on occurredAt, else createdAt. */
  since?: Time | null;
  /** Exclusive, on occurredAt, else createdAt. */
  until?: Time | null;
  /** What held at that time. */
  asOf?: Time | null;
  /** What was stored by that time, in its wording then. */
  knownAt?: Time | null;
  sessionId?: string | null;
  agentId?: string | null;
  userId?: string | null;
  /** Least `relevance`, 0 to 1, which is absolute. */
  minScore?: number | null;
  /** Most tokens of all hits together. */
  maxTokens?: number | null;
  /**
   * What nearness in the graph of relations to the entities that the question names adds to the score, 0 to 1; default 0.
   */
  graphWeight?: number | null;
  /** Asks the configured reranker; `degraded: ["rerank"]` where there is none. */
  rerank?: boolean | null;
  /** Fills `trace`. */
  explain?: boolean | null;
}

/** The parts of a hit's score, each 0 to 1. */
export interface Signals {
  dense: number;
  lexical: number;
  passage: number;
  actor: number;
  session: number;
  time: number;
  graph: number;
  recency: number;
  importance: number;
}

/** A part of a content, in code points: `[...content].slice(start, end)`. */
export interface Passage {
  start: number;
  end: number;
}

/** A memory that answers. */
export interface Hit {
  id: string;
  version: number;
  content: string;
  /** 0 to 1, in relation to the best that was found; hits sort by it, then by id. */
  score: number;
  /** 0 to 1, absolute: what `minScore` compares. */
  relevance: number;
  signals: Signals;
  /** The part of a long text that fits best; all of a short one. */
  passage: Passage;
  kind: Kind;
  layer: Layer;
  role: string | null;
  speaker: string | null;
  sessionId: string | null;
  tags: string[];
  metadata: Metadata;
  occurredAt: string | null;
  createdAt: string;
  importance: number;
}

/** The answer of `recall`, best first. What `map`, `filter` and `slice` make of it is a plain array. */
export class Hits extends Array<Hit> {
  /** Parts that could not be used: `dense` (the embedder failed), `rerank` (there is none). */
  degraded: string[];
  /** How the answer came about, with `explain: true`; else null. Its keys are the engine's, in snake_case. */
  trace: { [key: string]: Json } | null;
}

/** A relation that a memory states. */
export interface Claim {
  /** What it is about. */
  subject: string;
  /** How the two stand to each other, such as `works_at`. */
  relation: string;
  /** The other end. */
  object: string;
  /** How strong the relation is, more than 0. */
  weight: number;
}

/** One memory. */
export interface Memory {
  id: string;
  version: number;
  content: string;
  kind: Kind;
  layer: Layer;
  role: string | null;
  speaker: string | null;
  sessionId: string | null;
  tags: string[];
  agentId: string | null;
  confidence: number;
  /** BLAKE3 of the content, in hexadecimal digits. */
  contentHash: string;
  createdAt: string;
  derivedFrom: string[];
  expiresAt: string | null;
  importance: number;
  infoClass: InfoClass;
  metadata: Metadata;
  occurredAt: string | null;
  project: string;
  seq: number;
  seqInSession: number | null;
  sources: string[];
  /** How vivid it is, 0 to 1; feedback moves it. */
  strength: number;
  supersededBy: string | null;
  tenant: string;
  trustLevel: TrustLevel | null;
  updatedAt: string;
  userId: string | null;
  validFrom: string | null;
  validTo: string | null;
  /** How often it was said. */
  witnessCount: number;
  /** The relation that it states; absent where it states none. */
  claim?: Claim;
}

/** A memory as it was, or is. */
export interface MemoryVersion extends Memory {
  /** When this state was replaced; null for the present one. */
  replacedAt: string | null;
}

export interface Page {
  /** Oldest first. */
  items: Memory[];
  /** What `list({ cursor })` takes to go on; null on the last page. */
  nextCursor: string | null;
}

export interface ListOptions extends CallOptions {
  /** 1 to 1,000; default 50. */
  limit?: number | null;
  cursor?: string | null;
  layer?: LayerName | null;
  /** All of these. */
  tags?: Iterable<string> | null;
  filter?: Filter | null;
}

export interface ContextOptions extends CallOptions {
  /** Adds this session's last turns; its last turn is the question where there is no query. */
  sessionId?: string | null;
  /** Most tokens of the whole text, counted exactly, 1 to 1,000,000; default 1,000. */
  maxTokens?: number | null;
  agentId?: string | null;
  userId?: string | null;
  layers?: Iterable<LayerName> | null;
  tags?: Iterable<string> | null;
  filter?: Filter | null;
  /** Least relevance, default 0.12. */
  minScore?: number | null;
}

/** A memory in a context's text: `[...text].slice(start, end)`. */
export interface ContextSource {
  id: string;
  start: number;
  end: number;
  kind: Kind;
  layer: Layer;
  /** 0 for a recent turn, or a line of the profile, that was not recalled. */
  score: number;
}

/** A block for a prompt. */
export interface Context {
  /** Empty when nothing was relevant enough and there is no profile. */
  text: string;
  tokenCount: number;
  sources: ContextSource[];
  degraded: string[];
}

export interface RelateOptions extends CallOptions {
  /** How strong the relation is, more than 0 and at most 1,000; default 1. */
  weight?: number | null;
  /** How sure it is, 0 to 1; default 1. */
  confidence?: number | null;
  /** From when it holds; default now. */
  validFrom?: Time | null;
  /** Until when it holds (exclusive); default open. */
  validTo?: Time | null;
  /** The memory that says so; forgetting it takes what it alone said. `NotFoundError` where there is none. */
  sourceId?: string | null;
  /** User it belongs to: it is erased with the user, and merges with that user's alone. */
  userId?: string | null;
  agentId?: string | null;
  trustLevel?: TrustLevel | null;
  /** Default `internal`. */
  infoClass?: InfoClass | null;
}

/** Whose the events of a session are, and who may read them. What is learnt from them is the same owner's, in the strictest class. */
export interface Whose {
  userId?: string | null;
  agentId?: string | null;
  /** Default `internal`. */
  infoClass?: InfoClass | null;
}

export interface EventOptions extends Whose, CallOptions {
  metadata?: { [key: string]: Json } | null;
  /** Who said it. */
  speaker?: string | null;
  /** Default: now. */
  occurredAt?: Time | null;
  /** Seconds to live; default: none. */
  ttl?: number | null;
  trustLevel?: TrustLevel | null;
  idempotencyKey?: string | null;
}

/** Whose the end of a session is. Default: the only one whose events are in it, or whose event says the error, in the strictest class of them. */
export interface SessionEndOptions extends Whose, CallOptions {
  /** What went wrong, at most 8 KiB. */
  error?: string | null;
}

export interface RelationsOptions extends CallOptions {
  /** Only those of this subject, whatever its case and spacing. */
  subject?: string | null;
  relation?: string | null;
  object?: string | null;
  /** 1 to 1,000; default 50. */
  limit?: number | null;
  cursor?: string | null;
}

export type ForgetWhat =
  | string
  | ({ id: string } & CallOptions)
  | ({ filter: Filter } & CallOptions)
  | ({ scope: "session" | "user" | "project" | "tenant"; target: string } & CallOptions);

export interface Forgotten {
  /** Memories that were asked for and are gone. */
  deleted: number;
  /** Memories derived from these alone, gone with them. */
  derived: number;
  /** What still holds traces for now: `wal` until the next `maintain`. */
  pending: string[];
  /** What was done and when, with keyed hashes of the ids. Its keys are the engine's. */
  receipt: { [key: string]: Json };
}

/** What one place holds of what was to be erased. */
export interface ErasurePlace {
  /** Which, for example `memories`, `vectors`, `cache`, or `export FILE`. */
  place: string;
  /** How many of the ids were found there. */
  found: number;
  /** `kept`: bare ids that the engine keeps on purpose. */
  state: "clean" | "found" | "kept";
  /** What it means and what to do; null where it is clean. */
  note: string | null;
}

/** What the check of a receipt found. */
export interface ErasureReport {
  /** Whether no place is `found`. */
  clean: boolean;
  /** Ids that the receipt names. */
  ids: number;
  /** Whether the receipt says that it is of this store and project; those of older versions do not say. */
  bound: boolean;
  places: ErasurePlace[];
}

export interface Stats {
  memories: number;
  byLayer: Record<Layer, number>;
  vectors: number;
  /** Bytes of the whole store. */
  bytes: number;
  jobs: { queued: number; dead: number };
  embedder: { id: string; dim: number };
  seq: number;
  schemaVersion: number;
}

export interface Exported {
  memories: number;
  bytes: number;
}

export interface Imported {
  imported: number;
  merged: number;
  unchanged: number;
}

export interface Reembedded {
  from: string;
  to: string;
  vectors: number;
}

export interface Maintained {
  /** What ran, and how much of it. */
  ran: { [name: string]: number };
}

export interface Finding {
  level: "ok" | "warning" | "error";
  check: string;
  message: string;
}

export interface AuditFinding {
  /** `duplicate`: memories that say the same. `contradiction`: statements that cannot both hold. `orphan`: refers to what is gone. */
  kind: "duplicate" | "contradiction" | "orphan";
  /** The memories, oldest first; at most 32. */
  ids: string[];
  /** What was seen, without content. */
  message: string;
  /** What to do, in the verbs of the engine. */
  fix: string;
  /** What `fix: true` would do about it, or did; null where somebody must decide. */
  automatic: string | null;
  /** Id of the change by which it was fixed, for `undo`. */
  change: string | null;
}

export interface Audit {
  /** Memories looked at. */
  checked: number;
  findings: AuditFinding[];
  /** Whether there are more findings than `limit`. */
  truncated: boolean;
  /** How many of the findings were fixed. */
  fixed: number;
  /** Memories that no facts were read from although that was asked for, by reason. */
  keptOut: Record<string, number>;
}

/** Something that the engine changed by itself. */
export interface AutomaticChange {
  /** Opaque, for `undo`. */
  id: string;
  at: string;
  /**
   * What happened: `facts`, `derived`, `reflect`, `audit_fix`, `resume`, `joined`, `parted`, `fade`, `undo`; and what cannot be undone: `communities`,
   * `forget_faded`, `retire`, `expire`, `trim`, `capacity`, `forget`.
   */
  action: string;
  /** The memories that it added or changed; empty where only their number is known. */
  ids: string[];
  /** Whether `undo` can take it back. */
  undoable: boolean;
  /** The change that took it back. */
  undoneBy: string | null;
}

/** A page of changes, newest first. */
export interface ChangePage {
  items: AutomaticChange[];
  /** For the next page; null on the last one. */
  nextCursor: string | null;
}

/** A change that was taken back. */
export interface Undone {
  /** The undoing, itself a change. */
  id: string;
  /** What was undone. */
  undone: string;
  /** The memories that are as before. What the change added holds no longer. */
  ids: string[];
  /** Whether it was undone already, and nothing was done. */
  replayed: boolean;
}

/** A background job that waits, or that failed for good. */
export interface Job {
  /** For `requeueJob`. */
  id: string;
  /** What it does, such as `embed`, `extract` or `reflect`. */
  kind: string;
  /** `dead`: it failed as often as is allowed, and waits to be requeued. */
  state: "queued" | "dead";
  /** Attempts begun. */
  attempts: number;
  /** Not before. */
  runAt: string;
  /** Why its last attempt failed: the code of an error, without content. */
  lastError: string | null;
}

/** A page of jobs, oldest first. */
export interface JobPage {
  items: Job[];
  /** For the next page; null on the last one. */
  nextCursor: string | null;
}

/** What makes a hit right: it is this memory, or it contains this text, whatever its case. */
export type Label = string | { id: string } | { text: string };

/** A question and what should be found. */
export interface Question {
  query: string;
  /** 1 to 100. A plain text is the id of a memory. */
  relevant: Label[];
}

/** Means over the questions, 0 to 1 each. */
export interface Metrics {
  /** Labels met by the first k hits, of all labels. */
  recall: number;
  /** 1 / the rank of the first hit that meets a label. */
  mrr: number;
  /** Normalised discounted cumulative gain. */
  ndcg: number;
  /** Questions with any label met. */
  hitRate: number;
}

/** How one question was answered. */
export interface Answered {
  query: string;
  /** For each label the rank, from 1, of the first hit that meets it. */
  ranks: (number | null)[];
  /** Ids, best first. */
  hits: string[];
  recall: number;
  mrr: number;
  ndcg: number;
}

/** A run over all questions. */
export interface Evaluation {
  at: string;
  k: number;
  /** The options that were given, other than k. */
  options: Record<string, unknown>;
  embedder: string;
  memories: number;
  metrics: Metrics;
  /** Questions that a part of recall could not answer. */
  degraded: number;
  questions: Answered[];
  /** The same in words. */
  report: string;
}

/** One measure in both runs. */
export interface MetricChange {
  metric: string;
  a: number;
  b: number;
  change: number;
  /** Bounds of the change at 95 %, by a paired bootstrap over the questions. */
  low: number;
  high: number;
  /** Whether the bounds leave out 0 and at least six questions differ. */
  significant: boolean;
}

/** A question that was answered otherwise, with its nDCG in both runs. */
export interface Difference {
  query: string;
  a: number;
  b: number;
}

/** What differs between two runs. */
export interface EvaluationComparison {
  /** Questions in both. */
  questions: number;
  /** Questions of one run alone. */
  leftOut: number;
  metrics: MetricChange[];
  /** Drift: the mean share of hits that both gave, of all that either gave. */
  overlap: number;
  /** Questions with the same hits in the same order. */
  unchanged: number;
  /** Those that lost most, at most 10. */
  lost: Difference[];
  gained: Difference[];
  /** The same in words. */
  report: string;
}

/** A stored set of questions. */
export interface QuestionSet {
  name: string;
  at: string;
  questions: Question[];
}

/** A stored run of a set, and what has changed since the one before. */
export interface EvaluationRun {
  /** Name of the set. */
  questions: string;
  evaluation: Evaluation;
  /** null for the first run, and where k was another. */
  drift: EvaluationComparison | null;
}

/** A vector; null (or undefined) for a text the model knows nothing of. */
export type Vector = Float32Array | Float64Array | readonly number[] | null | undefined;

/**
 * Texts to vectors, one each, at most 256 texts at once. It is called on this thread and must not block it. It has 30 seconds, and is asked up
 * to three times; `timeout` of `open` ends that. What it throws is the `cause` of the call's `UnavailableError`; in `remember` and `recall` it
 * only costs the meaning (`degraded: ["dense"]`).
 *
 * The store keeps its id: `raeId`, else `node:NAME/DIM` by the function's name.
 */
export interface EmbedderFunction {
  (texts: string[], role: "document" | "query"): Promise<readonly Vector[]> | readonly Vector[];
  raeId?: string;
}

/**
 * null or undefined: the built-in table. A text: a folder with all-MiniLM-L6-v2, or a model of a provider such as
 * `openai:text-embedding-3-small` or `google:gemini-embedding-001@768`, with the key of the environment. Texts then go over the network,
 * and each request is held to the budgets and booked.
 */
export type Embedder = null | undefined | string | EmbedderFunction;

export interface OpenOptions {
  /** Default `default`. */
  tenant?: string | null;
  /** Default `default`. */
  project?: string | null;
  /** Default the built-in table. A store refuses another one than it was made with: `ConflictError`, reason `embedder_mismatch`. */
  embedder?: Embedder;
  /** `full` (default): on the disk when the call resolves. `normal`: safe from a crash of the process, not of the machine. */
  durability?: "full" | "normal" | null;
  /** Re-embeds a store that was made with another embedder instead of refusing it. */
  reembed?: boolean | null;
  /** Longest time of one call, in seconds; default none. */
  timeout?: number | null;
  /**
   * Providers of chat models by name, for `llm`. `openai`, `anthropic` and `google` say what they speak; any other speaks as OpenAI does and
   * needs a `baseUrl`. Default: those of the environment (`OPENAI_API_KEY`, `ANTHROPIC_API_KEY`, `GEMINI_API_KEY`, `OPENROUTER_API_KEY`,
   * `OLLAMA_BASE_URL`, `VLLM_BASE_URL`); `{}`: none.
   */
  providers?: { [name: string]: Provider } | null;
  /** A JSON file of prices over the built-in ones, or what it would hold. */
  prices?: Path | { [key: string]: Json } | null;
  /** What becomes of a call of a model without a price: it is refused (default), or costs this, in dollars for a million tokens. */
  unknownModel?: "reject" | { input: number | string; output: number | string } | null;
  /**
   * The chat model that background work may ask, such as `openai:gpt-4.1-mini`: reflection on sessions that failed, within the budgets.
   * Without one everything works by rules alone.
   */
  model?: string | null;
  /**
   * Queues a reflection after every so many changes of a project, for agents that do not say when a session ends; `maintain` runs it. 0, the
   * default: never.
   */
  reflectAfter?: number | null;
  /**
   * `rules` reads facts from all that is remembered, as `infer` does for one memory; `model` lets `model` read them too, within the budgets.
   * Default `off`.
   */
  enrich?: "off" | "rules" | "model" | null;
  /** What `maintain` does with memories as they age. Default: strength sinks without use, and nothing is deleted by age. */
  lifecycle?: LifecyclePolicy | null;
}

/** See docs/concepts/lifecycle.md. Days are more than 0 and at most 36,500. */
export interface LifecyclePolicy {
  /** Whether strength sinks without use; default true. */
  decay?: boolean | null;
  /** Half-lives in days of layers that shall not have their own. */
  halfLifeDays?: Partial<Record<Layer, number>> | null;
  /** What has one of these neither fades nor is forgotten; default `pinned`. */
  protectedTags?: Iterable<string> | null;
  /** The same by kind; default `lesson` and `strategy`. */
  protectedKinds?: Iterable<Kind> | null;
  /** Forget where strength times importance is below this; default never. */
  forgetBelow?: number | null;
  /** And that were not used for so many days; default 30. */
  forgetAfterDays?: number | null;
  /** Delete what was first stored so many days ago, whatever its tags, by class. */
  keepClassDays?: Partial<Record<InfoClass, number>> | null;
  /** The same by kind; the shorter time counts. */
  keepKindDays?: Partial<Record<Kind, number>> | null;
  /** What a user says in so many sessions becomes a fact of the semantic layer, with its sources; default: nothing does. */
  consolidateSessions?: number | null;
}

/** Where a provider of chat models is, and with which key. */
export interface Provider {
  apiKey?: string | null;
  baseUrl?: string | null;
  kind?: "openai" | "anthropic" | "google" | "compatible" | null;
  /** OpenAI's. */
  organization?: string | null;
  /** A PEM file of certificates to trust. */
  ca?: Path | null;
}

/** Whose money. */
export interface BudgetScope extends CallOptions {
  /** The project's; default the tenant's. */
  project?: boolean | null;
}

/** Limits; what is left out stays, null lifts a limit. Dollars have at most six decimals and may be text. Days and months are those of UTC. */
export interface BudgetChange extends BudgetScope {
  dailyLimit?: number | string | null;
  monthlyLimit?: number | string | null;
  dailyTokenLimit?: number | null;
  monthlyTokenLimit?: number | null;
  /** The share of a limit from which on callers are warned, 0 to 1. */
  warningThreshold?: number | null;
}

/** The limits that count, in dollars and tokens; null: none. All money is exact to the micro-dollar: `Math.round(usd * 1e6)`. */
export interface Limits {
  dailyLimit: number | null;
  monthlyLimit: number | null;
  dailyTokenLimit: number | null;
  monthlyTokenLimit: number | null;
  warningThreshold: number;
}

/** Money of a UTC day or month. */
export interface UsdWindow {
  limitUsd: number | null;
  usedUsd: number;
  /** Held for calls under way. */
  reservedUsd: number;
  /** What a call may still cost. */
  remainingUsd: number | null;
  resetsAt: string;
}

/** Tokens of a UTC day or month, read and written together. */
export interface TokenWindow {
  limit: number | null;
  used: number;
  reserved: number;
  remaining: number | null;
  resetsAt: string;
}

export interface Budget {
  scope: "tenant" | "project";
  daily: UsdWindow;
  monthly: UsdWindow;
  tokens: { daily: TokenWindow; monthly: TokenWindow };
  warningThreshold: number;
  /** Whether spending, what is held counted, has reached the threshold of any limit. */
  warning: boolean;
  /** Whether limits are kept at all. */
  tracking: boolean;
}

export type CostGroup = "day" | "model" | "provider" | "project" | "operation" | "user";

export interface CostsOptions extends BudgetScope {
  groupBy?: Iterable<CostGroup> | null;
  /** When the call began: from this instant on. */
  since?: Time | null;
  /** Before this instant. */
  until?: Time | null;
}

interface Tokens {
  inputTokens: number;
  /** Of those, read from the provider's cache. */
  cachedInputTokens: number;
  outputTokens: number;
  /** Of those, reasoning that is not shown. */
  reasoningTokens: number;
}

/** A sum of the ledger, with the values of the groups that were asked for. */
export interface CostRow extends Tokens, Partial<Record<CostGroup, string>> {
  calls: number;
  /** Attempts that did not end well. */
  failed: number;
  costUsd: number;
  /** Of that, booked at what was held, as nobody said how the call ended. */
  unconfirmedUsd: number;
  /** What a cache of responses saved. */
  savedUsd: number;
}

export interface Costs {
  groupBy: CostGroup[];
  items: CostRow[];
  truncated: boolean;
}

export interface CostLogOptions extends BudgetScope {
  /** 1 to 1,000; default 50. */
  limit?: number | null;
  cursor?: string | null;
  since?: Time | null;
  until?: Time | null;
}

/** One attempt of a call that ended. */
export interface LedgerRow extends Tokens {
  id: string;
  /** When it began: the day and month that it is booked to. */
  at: string;
  settledAt: string;
  project: string;
  provider: string;
  model: string;
  operation: string;
  userId: string | null;
  requestId: string | null;
  attempt: number;
  status: "ok" | "failed" | "cancelled" | "dropped" | "unconfirmed" | "cached";
  /** Whether the tokens were counted here, as the provider gave none. */
  estimated: boolean;
  costUsd: number;
  savedUsd: number;
  error: string | null;
}

export interface CostLog {
  /** The last booked first. */
  items: LedgerRow[];
  /** What `costLog({ cursor })` takes to go on; null on the last page. */
  nextCursor: string | null;
}

/** A part of a chat in the shape of OpenAI's chat completions. */
export type ChatJson = { [key: string]: unknown };

export interface MeterOptions extends CallOptions {
  /** Most tokens of the request; without them they are counted from `messages` and `tools`. */
  inputTokens?: number | null;
  messages?: readonly ChatJson[] | null;
  tools?: readonly ChatJson[] | null;
  /** What you tell the provider; default 4,096. */
  maxOutputTokens?: number | null;
  /** For `costs`; default `chat`. */
  operation?: string | null;
  userId?: string | null;
  requestId?: string | null;
  /** Longest time in seconds until it ends, at most 600, which is the default: then it is booked at all that was held. */
  timeout?: number | null;
}

/** Money that is held for a call of your own, until `end` books how it ended. */
export class Metered {
  private constructor();
  /** Id of its row of the ledger. */
  readonly id: string;
  /** The most that it may cost. */
  readonly heldUsd: number;
  readonly heldTokens: number;
  readonly inputTokens: number;
  /** Whether a limit has reached its warning threshold. */
  readonly warning: boolean;
  /** What was booked; null before the end. */
  readonly costUsd: number | null;
  /** Says what it used: the usage of an answer of OpenAI, Anthropic or Google, or numbers. */
  used(usage: Partial<LlmUsage> & { inputTokens: number; outputTokens: number }, outcome?: "ok" | "failed" | "cancelled" | "dropped"): void;
  used(usage: object, outcome?: "ok" | "failed" | "cancelled" | "dropped"): void;
  /** Says that it was not sent, or that the provider charged nothing. */
  free(): void;
  /** Books it; gives what it cost. Without `used` or `free` that is all that was held, with a warning. */
  end(): Promise<number>;
}

export interface LlmRequest extends CallOptions {
  /** `gpt-4o-mini`, `claude-haiku-4-5`, `openrouter/openai/gpt-4o`. */
  model: string;
  messages: readonly ChatJson[];
  /** Most tokens of the answer; default 4,096. */
  maxTokens?: number | null;
  temperature?: number | null;
  topP?: number | null;
  stop?: string | readonly string[] | null;
  tools?: readonly ChatJson[] | null;
  toolChoice?: string | ChatJson | null;
  responseFormat?: ChatJson | null;
  /** Further fields of OpenAI's body, by their own names. */
  extra?: ChatJson | null;
  /** For `costs`; default `chat`. */
  operation?: string | null;
  userId?: string | null;
  requestId?: string | null;
  /** Longest time in seconds of all attempts together, at most 600, which is the default. */
  timeout?: number | null;
}

export interface LlmUsage extends Tokens {
  /** Of `inputTokens`, written to the provider's cache, at its own price. */
  cacheWriteTokens: number;
  /** Whether they were counted here, as the provider gave none. */
  estimated: boolean;
}

export interface LimitWarning {
  scope: "tenant" | "project";
  limit: "daily_limit" | "monthly_limit" | "daily_token_limit" | "monthly_token_limit";
}

export interface LlmAnswer {
  id: string;
  text: string;
  /** The whole message in OpenAI's shape: it can go into `messages`. */
  message: ChatJson;
  model: string;
  provider: string;
  /** `stop`, `length`, `tool_calls`, `content_filter`, or the provider's own word. */
  finishReason: string;
  usage: LlmUsage | null;
  costUsd: number;
  attempts: number;
  /** Limits whose warning threshold is reached. */
  warnings: LimitWarning[];
}

export interface LlmEstimate {
  provider: string;
  model: string;
  inputTokens: number;
  outputTokens: number;
  /** What would be held before the call. */
  costUsd: number;
  /** Whether the budgets have room for it now. */
  allowed: boolean;
  /** Else the error that it would get. */
  refusal: { kind: ErrorKind; code: string; message: string; details: { [key: string]: Json } | null } | null;
}

export interface LlmChunk {
  text: string;
  /** What is new, in OpenAI's shape. */
  delta: ChatJson;
  finishReason: string | null;
}

/** A streamed answer. What is left before its end is booked at what was produced. */
export class LlmStream implements AsyncIterableIterator<LlmChunk> {
  private constructor();
  next(): Promise<IteratorResult<LlmChunk, undefined>>;
  return(): Promise<IteratorResult<LlmChunk, undefined>>;
  [Symbol.asyncIterator](): this;
  /** Gives the rest of the answer up. Twice is fine. */
  close(): void;
  /** What it cost; null until it has ended well. */
  readonly costUsd: number | null;
  readonly usage: LlmUsage | null;
  readonly warnings: LimitWarning[];
}

/** Which state of the knowledge graph is asked. */
export interface GraphTime {
  /** What held at this time; default: what holds now, or did at the snapshot, and was not superseded. */
  at?: Time | null;
  /** What was known when this snapshot was taken. */
  snapshot?: string | null;
}

export interface EntitiesOptions extends GraphTime, CallOptions {
  query?: string | null;
  limit?: number | null;
  cursor?: string | null;
}

export interface NeighborsOptions extends GraphTime, CallOptions {
  /** How many relations away at most, 1 to 5; default 1. */
  depth?: number | null;
  /** Only by this relation. */
  relation?: string | null;
  /** 1 to 1,000; default 50. */
  limit?: number | null;
}

export interface SubgraphOptions extends GraphTime, CallOptions {
  /** How many relations away at most, 0 to 5; default 2. */
  depth?: number | null;
  /** Most entities, 1 to 1,000; default 200. */
  limit?: number | null;
}

/** Someone or something that relations name. */
export interface Entity {
  /** The most frequent spelling. */
  name: string;
  /** Other names that `same_as` relations join to it. */
  aliases: string[];
  /** Relations that hold at the time of the question, `same_as` aside. */
  degree: number;
}

export interface EntityPage {
  items: Entity[];
  /** What `entities({ cursor })` takes to go on; null at the end. */
  nextCursor: string | null;
}

/** A relation; `get(id)` has the rest. */
export interface Relation {
  id: string;
  subject: string;
  relation: string;
  object: string;
  weight: number;
  confidence: number;
  validFrom: string;
  validTo: string | null;
}

export interface Neighbor {
  name: string;
  /** Relations on the shortest way to it. */
  depth: number;
  /** Weight times confidence of the relation. */
  strength: number;
  /** The strongest relation by which it was reached. */
  relation: Relation;
}

export interface Neighborhood {
  /** null where no relation names it. */
  entity: Entity | null;
  /** Near ones first, then those with the stronger relation, then by name. */
  neighbors: Neighbor[];
  truncated: boolean;
}

export interface GraphPath {
  /** Both ends included. */
  entities: string[];
  /** One fewer. */
  relations: Relation[];
  /** The sum of 1 over weight times confidence. */
  cost: number;
}

export interface Subgraph {
  /** Those asked about first, then the near ones. */
  entities: Entity[];
  relations: Relation[];
  truncated: boolean;
}

/** An instant of the knowledge graph with a name. */
export interface Snapshot {
  /** The memory that holds it; `forget` of it forgets the snapshot. */
  id: string;
  label: string;
  at: string;
}

/** A path: text, or a `file:` URL. */
export type Path = string | URL;

/**
 * Opens a store: a file, made where there is none, or `":memory:"`. Errors: `InvalidInputError` (a directory, a missing folder, bad names),
 * `CorruptError` (not a store; it is left as it is), `UnsupportedError` (made by a newer version), `ConflictError`, `PermissionDeniedError`,
 * `UnavailableError`.
 *
 * An open store does not keep the process alive; a call that is under way does.
 */
export function open(path: Path, options?: OpenOptions | null): Promise<Rae>;

export interface ConnectOptions {
  /** The key that the server wants. A warning says when it would go unencrypted to another machine. */
  apiKey?: string | null;
  /** Default `default` without a key; with one the key decides, and the property is empty. */
  tenant?: string | null;
  /** As `tenant`. */
  project?: string | null;
  /** Longest time of one call, in seconds; default a minute, and an hour for exports, imports, audits and the like. */
  timeout?: number | null;
  /** A PEM file of certificates to trust beside the public ones. */
  ca?: Path | null;
}

/**
 * The memories of a server (`rae-server`), with the verbs, answers and errors of `open`. It is not asked before the first call; redirects and
 * proxies of the environment are not followed.
 *
 * What a network adds: `UnavailableError` with reason `unreachable`, `connection_lost` or `not_a_rae_server`, `TimeoutError`,
 * `PermissionDeniedError` for a key that is not known, `RateLimitedError`. What only reads, and `remember`, is tried again when a connection
 * breaks; where another write may have been done all the same, the error says so. `backup`, the forgetting of a tenant and
 * `maintain({ now })` need the operator's key; `reembed` rejects with `UnsupportedError`.
 */
export function connect(url: string | URL, options?: ConnectOptions | null): Promise<Rae>;

/** What happens in a session. */
export type EventType =
  | "user_input"
  | "llm_call"
  | "llm_response"
  | "tool_call"
  | "tool_response"
  | "system_event"
  | "error_event";

/** How a session ended. */
export type SessionOutcome = "success" | "failure" | "partial" | "timeout" | "error";

export interface EventsOptions extends CallOptions {
  /** Size of a page, 1 to 1,000; default 50. */
  limit?: number | null;
  /** `nextCursor` of the page before. */
  cursor?: string | null;
}

/** What `reflect` made, or made stronger. */
export interface Reflected {
  id: string;
  kind: "lesson" | "strategy" | "reflection" | "fact";
  /** What it says now. */
  content: string;
  version: number;
  /** Whether it is new. */
  created: boolean;
  /** The session that it sums up, where it is a reflection. */
  sessionId: string | null;
  /** The tool that failed, where one did. */
  tool: string | null;
  /** The error in its general form. */
  error: string | null;
  /** How often it happened. */
  count: number | null;
  /** In how many sessions. */
  sessions: number | null;
  importance: number;
  confidence: number;
  /** Ids of the events it was learnt from, at most 64. */
  sources: string[];
  /** `model` where one is configured and could not be asked: a job asks it later. */
  degraded: string[];
}

/** A session of an agent, by its name. Made by `mem.session(id)`. */
export class Session {
  private constructor();
  readonly id: string;
  /** Logs an event; see `Rae.logEvent`. */
  log(type: EventType, content: string, metadata?: { [key: string]: Json } | null, options?: EventOptions | null): Promise<Receipt>;
  /** Ends the session; see `Rae.endSession`. */
  end(outcome: SessionOutcome, error?: string | null, options?: SessionEndOptions | null): Promise<Receipt>;
  /** A page of its events, oldest first; its end is the last one. */
  events(options?: EventsOptions | null): Promise<Page>;
}

/** A memory of one tenant and project. Made by `open` or `connect`. */
export class Rae {
  private constructor();
  /** The file; null in memory and on a server. */
  readonly file: string | null;
  /** The address of the server; null for a store of this process. */
  readonly url: string | null;
  readonly tenant: string;
  readonly project: string;

  /** The same store for another tenant or project. */
  withScope(scope: { tenant?: string | null; project?: string | null }): Rae;

  /** Stores a memory, durably when it resolves. */
  remember(content: string, options?: (NewMemoryFields & CallOptions) | null): Promise<Receipt>;

  /**
   * Stores many, faster than one by one. All are checked before the first is written: `InvalidInputError` with `details.item`. Then one
   * transaction per at most 1,000 items; an error after that has `details.committed` and the receipts so far. The items must not be
   * changed until it resolves. At most 100,000.
   */
  rememberMany(items: Iterable<NewMemory>, options?: CallOptions | null): Promise<Receipt[]>;

  /** Finds memories: meaning, words, speaker, session and time together. No model is called. query: 1 byte to 64 KiB. */
  recall(query: string, options?: RecallOptions | null): Promise<Hits>;

  /**
   * A block of memories for a prompt: the user's profile (what holds of `userId`, else of the only one who speaks in the session),
   * lessons, relevant memories, the session's last turns, each with its id in `sources`.
   */
  context(query?: string | null, options?: ContextOptions | null): Promise<Context>;
  context(options: ContextOptions): Promise<Context>;

  /** A memory. `NotFoundError` when there is none. */
  get(id: string, options?: CallOptions | null): Promise<Memory>;

  /** A page of memories, oldest first. */
  list(options?: ListOptions | null): Promise<Page>;

  /** Changes a memory: its id stays, its version grows, the old version stays in `history`. */
  update(id: string, fields: MemoryUpdate, options?: CallOptions | null): Promise<Receipt>;

  /** All versions, oldest first; the last one is the present. */
  history(id: string, options?: CallOptions | null): Promise<MemoryVersion[]>;

  /**
   * Erases a memory (an id; a missing one is no error), all that match a filter (an empty one is `InvalidInputError`), or a scope. Memories
   * derived from these alone go too.
   */
  forget(what: ForgetWhat, options?: CallOptions | null): Promise<Forgotten>;

  /**
   * Looks for whatever the `receipt` of an answer of `forget` names (or the whole answer), in every place of the project and in export files.
   * Changes nothing. `InvalidInputError` with reason `not_a_receipt`, `other_project` or `no_ids` where there is nothing it could check. On a
   * server without `exports`. `texts` are some that you know were erased, at most 16 of 4 to 1,000 bytes: they are looked for, whatever their case,
   * in memories, history, jobs, stored sets and runs, the exports, and in the raw bytes of the store's own file (not on a server). They are
   * neither stored nor logged.
   */
  verifyErasure(
    receipt: { [key: string]: Json } | Forgotten,
    options?: ({ exports?: Iterable<Path> | null; texts?: Iterable<string> | null } & CallOptions) | null,
  ): Promise<ErasureReport>;

  /** Says whether a memory helped: strength moves a fifth of the way to 1 or 0, importance a tenth. */
  feedback(id: string, useful: boolean, options?: CallOptions | null): Promise<Memory>;

  /**
   * Stores a relation: a fact in words ("Ada works at Acme") that carries subject, relation and object as its `claim`. The same with the same
   * validity merges. The id is that of a memory.
   */
  relate(subject: string, relation: string, object: string, options?: RelateOptions | null): Promise<Receipt>;

  /** A page of relations, oldest first: the memories that carry them, past ones too. */
  relations(options?: RelationsOptions | null): Promise<Page>;

  /**
   * Vectors of texts, of unit length; null for one with nothing that the embedder knows. At most 1,000 texts of 1 MiB. role: which side of a
   * search they are on, default `document`.
   */
  embed(texts: Iterable<string>, options?: ({ role?: "document" | "query" | null } & CallOptions) | null): Promise<(Float32Array | null)[]>;

  /** The stored vector of a memory; null where it has none, or its vector is still owed. */
  vector(id: string, options?: CallOptions | null): Promise<Float32Array | null>;

  /** Numbers about the project and its store. */
  stats(options?: CallOptions | null): Promise<Stats>;

  /** Writes the project with vectors and history to a file of JSON lines. Replaces an older export and nothing else. */
  export(path: Path, options?: CallOptions | null): Promise<Exported>;

  /** Reads an export into this project. The file is checked whole first; reading it twice changes nothing. */
  import(path: Path, options?: CallOptions | null): Promise<Imported>;

  /** Changes the embedding model of the whole store while it stays in use. Interrupted, it goes on at the next call. */
  reembed(embedder: Embedder, options?: CallOptions | null): Promise<Reembedded>;

  /** Runs due housekeeping now: purges what expired, pays owed vectors. */
  maintain(options?: ({ now?: Time | null } & CallOptions) | null): Promise<Maintained>;

  /**
   * Looks for duplicates, contradictions and orphans in the project. Changes nothing. limit: 1 to 1,000 findings, default 100. fix: does what
   * `automatic` of the findings says; nothing is deleted, what a tag protects stays as it is, and `undo(finding.change)` takes it back.
   */
  audit(options?: ({ limit?: number | null; fix?: boolean | null } & CallOptions) | null): Promise<Audit>;

  /**
   * A page of what the engine changed by itself, newest first: facts that were read, what reflection learnt, what an audit fixed, what age and
   * capacities ended, and undoings. limit: 1 to 1,000, default 100. cursor: `nextCursor` of the page before.
   */
  changes(options?: ({ limit?: number | null; cursor?: string | null } & CallOptions) | null): Promise<ChangePage>;

  /**
   * Takes back a change that the engine made by itself: what it changed is as before, what it added holds no longer. Done twice it is done once.
   * Conflict with reason `changed_since` where one of its memories was changed or deleted since, `not_undoable` where what it did is gone for good or follows from relations.
   */
  undo(changeId: string, options?: CallOptions | null): Promise<Undone>;

  /**
   * A page of the project's background jobs, oldest first. `maintain` runs those that are due; on a server its worker does. A job that failed
   * as often as is allowed is `dead`, with the reason in `lastError`. limit: 1 to 1,000, default 50. cursor: `nextCursor` of the page before.
   */
  jobs(options?: ({ state?: "queued" | "dead" | null; limit?: number | null; cursor?: string | null } & CallOptions) | null): Promise<JobPage>;

  /** Takes a dead job back into the queue, due now, with all its attempts before it. `NotFoundError` (`job_not_found`) where there is none. */
  requeueJob(jobId: string, options?: CallOptions | null): Promise<void>;

  /**
   * Asks every question as `recall` would and judges the hits: recall, MRR, nDCG and hit rate over the questions, the ranks of each, and a
   * report in words. options: those of `recall`. Changes nothing, not even what counts as use. At most 10,000 questions.
   */
  evaluate(questions: Iterable<Question>, options?: RecallOptions | null): Promise<Evaluation>;

  /** What differs between two runs over the same questions, with bounds at 95 %: two configurations, or one then and now. */
  compareEvaluations(a: Evaluation, b: Evaluation, options?: CallOptions | null): Promise<EvaluationComparison>;

  /**
   * Keeps a set of questions, at most 1,000, in the place of the one of that name; an empty list removes it and its runs. Workers of a server
   * run the stored sets by schedule.
   */
  setQuestions(name: string, questions: Iterable<Question>, options?: CallOptions | null): Promise<void>;

  /** The stored sets of questions, by name. */
  questionSets(options?: CallOptions | null): Promise<QuestionSet[]>;

  /** Runs a stored set now, keeps the run (at most 30) and compares it with the one before. */
  runQuestions(name: string, options?: RecallOptions | null): Promise<EvaluationRun>;

  /** The runs of a stored set that are kept, the newest first. */
  evaluations(name: string, options?: CallOptions | null): Promise<EvaluationRun[]>;

  /**
   * A page of the entities that relations name: those whose name is the query, then those that begin with it, then those with all of its words;
   * within these the ones with the most relations first. Without a query all. limit: 1 to 1,000, default 50.
   */
  entities(query?: string | null, options?: EntitiesOptions | null): Promise<EntityPage>;
  entities(options: EntitiesOptions): Promise<EntityPage>;

  /** What is around an entity, the nearest first. Nothing is around a name that no relation has. */
  neighbors(entity: string, options?: NeighborsOptions | null): Promise<Neighborhood>;

  /** The cheapest way from `a` to `b`, where each relation costs 1 over its weight times its confidence; null where there is none. */
  path(a: string, b: string, options?: (GraphTime & CallOptions) | null): Promise<GraphPath | null>;

  /** The entities around some, and the relations among them all. At most 100 to begin with. */
  subgraph(entities: Iterable<string>, options?: SubgraphOptions | null): Promise<Subgraph>;

  /** Gives the present instant a name, by which the graph can be asked later as it was known now. `ConflictError` for a name that is taken. */
  snapshot(label: string, options?: CallOptions | null): Promise<Snapshot>;

  /** The snapshots of the project, oldest first. */
  snapshots(options?: CallOptions | null): Promise<Snapshot[]>;

  /** Looks for damage and says what to do. */
  doctor(options?: CallOptions | null): Promise<Finding[]>;

  /** Writes a consistent copy of the whole store to a new file. */
  backup(path: Path, options?: CallOptions | null): Promise<void>;

  /** A session of an agent by its name: `log`, `end` and `events`. Writes nothing yet. */
  session(id: string, options?: Whose | null): Session;

  /**
   * Logs an event of a session, durably when it resolves. metadata: your own, without a key `event`; reflection reads `tool`, `error`, `ok`,
   * `status`, `exit_code` and `call_id`. `ConflictError` with reason `session_ended` once the session has ended.
   */
  logEvent(
    sessionId: string,
    type: EventType,
    content: string,
    options?: EventOptions | null,
  ): Promise<Receipt>;

  /** Ends a session and queues a reflection on it. So again is the same receipt, otherwise `ConflictError` (`session_ended`). */
  endSession(sessionId: string, outcome: SessionOutcome, options?: SessionEndOptions | null): Promise<Receipt>;

  /** A page of the events of a session, oldest first; its end is the last one. */
  events(sessionId: string, options?: EventsOptions | null): Promise<Page>;

  /** Learns from a session, or from all that have news, now. Gives what was made or grew stronger; nothing where nothing is new. */
  reflect(options?: ({ sessionId?: string | null; since?: Time | null } & CallOptions) | null): Promise<Reflected[]>;

  /** A page of lessons, strategies and reflections. */
  reflections(options?: EventsOptions | null): Promise<Page>;

  /**
   * Changes the limits of the tenant, or of the project; gives those that count now. A call is held to both: one that could pass any of them
   * is a `BudgetExceededError`, whose `details` have limit, used, reserved, requested, available and resets_at, before its first byte.
   */
  setBudget(limits: BudgetChange): Promise<Limits>;

  /** The limits that count. */
  limits(options?: BudgetScope | null): Promise<Limits>;

  /** Limits and spending in this UTC day and month. */
  budget(options?: BudgetScope | null): Promise<Budget>;

  /** What was spent, in sums. */
  costs(options?: CostsOptions | null): Promise<Costs>;

  /** A page of the ledger, with a row for each attempt of a call. */
  costLog(options?: CostLogOptions | null): Promise<CostLog>;

  /**
   * A meter round a call that you make with a client of your own. It holds the most that the call may cost, runs the function, and books what
   * it said by `used` or `free`; a function that throws and said nothing is booked at what was held. Gives what the function gives. Without a
   * function it resolves to the meter, whose `end` you call.
   */
  meter(provider: string, model: string, options?: MeterOptions | null): Promise<Metered>;
  meter<T>(provider: string, model: string, options: MeterOptions | null | undefined, run: (call: Metered) => Promise<T> | T): Promise<T>;

  /**
   * Asks a chat model of any configured provider, within the budgets: the worst cost is held before the first byte is sent, and each attempt
   * is booked. Errors: `BudgetExceededError`; `InvalidInputError` with reason `unknown_model_provider` or `unknown_model_price`; those of
   * the provider. On a server (`connect`) the models, prices and budgets are the server's.
   */
  llm(request: LlmRequest): Promise<LlmAnswer>;

  /** The same in pieces: `for await (const { text } of await mem.llmStream(request))`. */
  llmStream(request: LlmRequest): Promise<LlmStream>;

  /** What `llm` would hold for this call, and whether there is room for it now. Sends nothing. */
  llmEstimate(request: LlmRequest): Promise<LlmEstimate>;

  /** Finishes what is queued and releases the file, for all handles. Twice is fine. */
  close(): Promise<void>;
  /** `await using mem = await open(...)`. */
  [Symbol.asyncDispose](): Promise<void>;
}

/** What went wrong, in the terms a caller can act on. */
export type ErrorKind =
  | "invalid_input"
  | "unauthenticated"
  | "permission_denied"
  | "budget_exceeded"
  | "not_found"
  | "conflict"
  | "rate_limited"
  | "timeout"
  | "cancelled"
  | "unavailable"
  | "unsupported"
  | "corrupt"
  | "internal";

export type ErrorCode =
  | "INVALID_INPUT"
  | "UNAUTHENTICATED"
  | "PERMISSION_DENIED"
  | "BUDGET_EXCEEDED"
  | "NOT_FOUND"
  | "CONFLICT"
  | "RATE_LIMITED"
  | "TIMEOUT"
  | "ABORTED"
  | "UNAVAILABLE"
  | "UNSUPPORTED"
  | "CORRUPT"
  | "INTERNAL";

export interface RaeErrorFields {
  kind?: ErrorKind;
  reason?: string;
  details?: { [key: string]: Json } | null;
  retryAfter?: number | null;
  operation?: string | null;
  cause?: unknown;
}

/** Any failure of RAE. */
export class RaeError extends Error {
  constructor(message: string, fields?: RaeErrorFields);
  readonly kind: ErrorKind;
  /** The kind as a code of JavaScript's convention. */
  readonly code: ErrorCode;
  /** A finer name, for example `invalid_k` (Python's and REST's `code`); the kind where there is none. */
  readonly reason: string;
  readonly details: { [key: string]: Json } | null;
  /** Seconds to wait before the same call may succeed. */
  readonly retryAfter: number | null;
  /** The verb that failed. */
  readonly operation: string | null;
}
/** The input is wrong; nothing was written. */
export class InvalidInputError extends RaeError {}
/** The credential or the file's permissions do not allow this. */
export class PermissionDeniedError extends RaeError {}
/** A money or token limit would be passed. */
export class BudgetExceededError extends RaeError {}
/** What was named does not exist in this scope. */
export class NotFoundError extends RaeError {}
/** The state is not what the call expected. */
export class ConflictError extends RaeError {}
/** Too many requests; see `retryAfter`. */
export class RateLimitedError extends RaeError {}
/** The deadline passed. */
export class TimeoutError extends RaeError {}
/** The call's signal fired. Its `name` is `AbortError`, its `cause` the signal's reason. */
export class CancelledError extends RaeError {}
/** A backend does not answer, has no room left, or is closed. */
export class UnavailableError extends RaeError {}
/** This build or store cannot do that. */
export class UnsupportedError extends RaeError {}
/** Stored data is damaged or is not a store of ours. */
export class CorruptError extends RaeError {}
/** A fault of the engine. */
export class InternalError extends RaeError {}
