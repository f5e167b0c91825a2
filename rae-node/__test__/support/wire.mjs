// The verbs by their wire names and shapes (snake_case), for what is replayed in every language: the scenarios and the interop driver.

// Data of the caller's or the engine's own making: their keys are not ours.
const OPAQUE = new Set(["metadata", "trace", "receipt", "details", "ran", "byLayer", "by_layer", "message", "delta"]);

const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);
const camel = (name) => name.replace(/_([a-z])/g, (_, letter) => letter.toUpperCase());
const snake = (name) => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);

/** The names of an options object in camelCase; filters and metadata stay as they are. */
function camelOptions(options) {
  if (!isObject(options)) return options;
  return Object.fromEntries(Object.entries(options).map(([name, value]) => [camel(name), value]));
}

/** An answer with the wire's names. */
export function toWire(value) {
  if (Array.isArray(value) || value instanceof Float32Array) return Array.from(value, toWire);
  if (!isObject(value)) return value === undefined ? null : value;
  const fields = Object.entries(value).map(([name, inner]) => [snake(name), OPAQUE.has(name) ? inner : toWire(inner)]);
  return Object.fromEntries(fields);
}

// Calls that were begun, by their ids.
const metered = new Map();

const verbs = {
  remember: (mem, { content, ...rest }) => mem.remember(content, camelOptions(rest)),
  remember_many: (mem, { items }) => mem.rememberMany(Array.isArray(items) ? items.map(camelOptions) : items),
  recall: async (mem, { query, ...rest }) => {
    const hits = await mem.recall(query, camelOptions(rest));
    return { hits: [...hits], degraded: hits.degraded, trace: hits.trace };
  },
  context: (mem, { query, ...rest }) => mem.context(query, camelOptions(rest)),
  get: (mem, { id }) => mem.get(id),
  list: (mem, args) => mem.list(camelOptions(args)),
  update: (mem, { id, ...fields }) => mem.update(id, camelOptions(fields)),
  history: (mem, { id }) => mem.history(id),
  // An id beside something else can only be said as an option, and is as invalid there as elsewhere.
  forget: (mem, args) => mem.forget("id" in args && Object.keys(args).length === 1 ? args.id : camelOptions(args)),
  relate: (mem, { subject, relation, object, ...options }) => mem.relate(subject, relation, object, camelOptions(options)),
  relations: (mem, args) => mem.relations(camelOptions(args)),
  verify_erasure: (mem, { receipt, exports, texts }) => mem.verifyErasure(receipt, { exports, texts }),
  feedback: (mem, { id, useful }) => mem.feedback(id, useful),
  embed: (mem, { texts, ...rest }) => mem.embed(texts, camelOptions(rest)),
  vector: (mem, { id }) => mem.vector(id),
  stats: (mem) => mem.stats(),
  export: (mem, { path }) => mem.export(path),
  import: (mem, { path }) => mem.import(path),
  reembed: (mem, { embedder }) => mem.reembed(embedder),
  maintain: (mem, args) => mem.maintain(camelOptions(args)),
  audit: (mem, args) => mem.audit(camelOptions(args)),
  changes: (mem, args) => mem.changes(camelOptions(args)),
  undo: (mem, { id }) => mem.undo(id),
  jobs: (mem, args) => mem.jobs(camelOptions(args)),
  requeue_job: (mem, { id }) => mem.requeueJob(id),
  doctor: (mem) => mem.doctor(),
  evaluate: (mem, { questions, options }) => mem.evaluate(questions, camelOptions(options)),
  compare_evaluations: (mem, { a, b }) => mem.compareEvaluations(a, b),
  set_questions: (mem, { name, questions }) => mem.setQuestions(name, questions),
  question_sets: (mem) => mem.questionSets(),
  run_questions: (mem, { name, options }) => mem.runQuestions(name, camelOptions(options)),
  evaluations: (mem, { name }) => mem.evaluations(name),
  entities: (mem, { query, ...rest }) => mem.entities(query, camelOptions(rest)),
  neighbors: (mem, { entity, ...rest }) => mem.neighbors(entity, camelOptions(rest)),
  path: (mem, { a, b, ...rest }) => mem.path(a, b, camelOptions(rest)),
  subgraph: (mem, { entities, ...rest }) => mem.subgraph(entities, camelOptions(rest)),
  snapshot: (mem, { label }) => mem.snapshot(label),
  snapshots: (mem) => mem.snapshots(),
  backup: (mem, { path }) => mem.backup(path),
  log_event: (mem, { session_id, type, content, ...rest }) => mem.logEvent(session_id, type, content, camelOptions(rest)),
  end_session: (mem, { session_id, outcome, ...rest }) => mem.endSession(session_id, outcome, camelOptions(rest)),
  events: (mem, { session_id, ...rest }) => mem.events(session_id, camelOptions(rest)),
  reflect: (mem, args) => mem.reflect(camelOptions(args)),
  reflections: (mem, args) => mem.reflections(camelOptions(args)),
  set_budget: (mem, args) => mem.setBudget(camelOptions(args)),
  limits: (mem, args) => mem.limits(camelOptions(args)),
  budget: (mem, args) => mem.budget(camelOptions(args)),
  costs: (mem, args) => mem.costs(camelOptions(args)),
  cost_log: (mem, args) => mem.costLog(camelOptions(args)),
  meter: async (mem, { provider, model, output_tokens, ...rest }) => {
    const most = output_tokens === undefined ? {} : { maxOutputTokens: output_tokens };
    const call = await mem.meter(provider, model, { ...camelOptions(rest), ...most });
    metered.set(call.id, call);
    const { id, heldUsd, heldTokens, inputTokens, warning } = call;
    return { id, heldUsd, heldTokens, inputTokens, warning };
  },
  end_metered: async (mem, { id, usage, outcome }) => {
    const call = metered.get(id);
    if (usage !== undefined) call.used(usage, outcome);
    else if (outcome === "free") call.free();
    return { costUsd: await call.end() };
  },
  llm: (mem, args) => mem.llm(camelOptions(args)),
  llm_estimate: (mem, args) => mem.llmEstimate(camelOptions(args)),
};

/** The verbs that can be called, by their wire names. */
export const VERBS = Object.keys(verbs);

/** Calls a verb; gives the wire's shape. */
export async function callVerb(mem, verb, args) {
  return toWire(await verbs[verb](mem, args));
}
