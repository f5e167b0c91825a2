//! Every bound of the engine, in one file. A limit that is not here does not exist.

/// Longest content of one memory, in bytes of UTF-8.
pub const CONTENT_BYTES_MAX: usize = 1 << 20;
/// Longest query, in bytes. Longer text is a document, not a question.
pub const QUERY_BYTES_MAX: usize = 64 << 10;
/// Longest tenant, project, session, agent, user, speaker, source or idempotency key, in bytes.
pub const NAME_BYTES_MAX: usize = 256;
/// Longest role, in bytes.
pub const ROLE_BYTES_MAX: usize = 64;
/// Longest tag, in bytes.
pub const TAG_BYTES_MAX: usize = 128;
/// Most tags of one memory, after merging too.
pub const TAGS_MAX: usize = 64;
/// Most sources of one memory; a merge past that keeps the first ones.
pub const SOURCES_MAX: usize = 64;
/// Largest metadata object, in bytes of JSON.
pub const METADATA_BYTES_MAX: usize = 64 << 10;
/// Deepest nesting of metadata.
pub const METADATA_DEPTH_MAX: usize = 16;
/// Code points of a subject or object of a claim.
pub const CLAIM_NAME_CHARS_MAX: usize = 200;
/// Code points of the relation of a claim.
pub const CLAIM_RELATION_CHARS_MAX: usize = 64;
/// Largest weight of a claim.
pub const CLAIM_WEIGHT_MAX: f64 = 1_000.0;
/// Most items in one `remember_many` call.
pub const BATCH_ITEMS_MAX: usize = 100_000;
/// Most items in one transaction; a larger call is cut into such.
pub const TRANSACTION_ITEMS_MAX: usize = 1_000;
/// Most bytes of content in one transaction.
pub const TRANSACTION_BYTES_MAX: usize = 16 << 20;
/// Most hits of one recall.
pub const K_MAX: usize = 1_000;
/// Largest page of `list`, `changes_since` and scans.
pub const PAGE_MAX: usize = 1_000;
/// Deepest nesting of a filter.
pub const FILTER_DEPTH_MAX: usize = 8;
/// Most comparisons in a filter, counting each member of `in` and `nin`.
pub const FILTER_TERMS_MAX: usize = 64;
/// Largest `max_tokens` of `context` and `recall`.
pub const CONTEXT_TOKENS_MAX: usize = 1_000_000;
/// Longest time to live, in seconds (100 years).
pub const TTL_SECONDS_MAX: i64 = 100 * 365 * 86_400;
/// Terms of one index piece.
pub const PIECE_TERMS: usize = 100;
/// Most bytes of one term; a longer word is cut.
pub const TERM_BYTES_MAX: usize = 64;
/// Most different terms of a query that are looked up; the rarest stay.
pub const QUERY_TERMS_MAX: usize = 64;
/// Tokens of a text that are embedded.
pub const EMBED_TOKENS_MAX: usize = 254;
/// Largest dimension of an embedder.
pub const DIM_MAX: usize = 4_096;
/// Most texts of one `embed` call.
pub const EMBED_TEXTS_MAX: usize = 1_000;
/// Texts given to an embedder at once.
pub const EMBED_BATCH_MAX: usize = 256;
/// Commands waiting for the SQLite writer before callers wait too.
pub const WRITE_QUEUE_MAX: usize = 256;
/// Write batches joined into one transaction.
pub const GROUP_COMMIT_MAX: usize = 64;
/// Reads waiting for a SQLite reader before callers wait too.
pub const READ_QUEUE_MAX: usize = 256;
/// Readers of one embedded store.
pub const READERS: usize = 2;
/// Scopes whose index stays in memory; the least recently used go.
pub const INDEX_SCOPES_MAX: usize = 64;
/// Changes applied to an index at a time.
pub const INDEX_DELTA_PAGE: usize = 1_000;
/// Newest changes of a scope whose vectors are kept in the process for as long as a vector server may not have them.
pub const OVERLAY_CHANGES_MAX: usize = 2_000;
/// Changes brought to a vector server at a time.
pub const VECTOR_SYNC_PAGE: usize = 256;
/// Changes of one scope brought to a vector server before it is another scope's turn.
pub const VECTOR_SYNC_CHANGES: u64 = 4_096;
/// Changes that `forget` brings to a vector server before it answers; what is left is `pending`.
pub const VECTOR_FORGET_CHANGES: u64 = 8_192;
/// Changes of one segment of the word index; fewer than this stay unwritten and are analysed again at the next opening.
pub const SEGMENT_CHANGES: u64 = 8_192;
/// Segments that are joined into one when all of them are full. A deletion rewrites the segment it falls into.
pub const SEGMENTS_PER_BLOCK: u64 = 8;
/// Tombstones kept per scope; a reader further behind rebuilds.
pub const TOMBSTONES_MAX: usize = 100_000;
/// Versions of one memory kept in history; the oldest go first.
pub const HISTORY_VERSIONS_MAX: usize = 1_000;
/// Access counts buffered before they are flushed.
pub const ACCESS_BUFFER_MAX: usize = 4_096;
/// How long an idempotency key and a batch id are remembered, in seconds.
pub const IDEMPOTENCY_SECONDS: i64 = 86_400;
/// Audit rows of a project that maintenance leaves; the oldest go.
pub const AUDIT_ROWS_MAX: usize = 10_000;
/// Subjects and attributes whose facts are seen to at once when others of them are forgotten; `maintain` sees to further ones.
pub const RESUME_KEYS_MAX: usize = 256;
/// Memories that the lifecycle looks at, and changes, at a time.
pub const LIFE_PAGE: usize = PAGE_MAX;
/// Sessions whose memories are counted for the capacity of their layer in one pass; further ones are seen to by their next write.
pub const LIFE_SESSIONS_MAX: usize = 100_000;
/// Longest time in days that a lifecycle policy may name (100 years).
pub const LIFECYCLE_DAYS_MAX: f64 = 36_500.0;
/// Most texts that a check of an erasure looks for.
pub const ERASED_TEXTS_MAX: usize = 16;
/// How long each may be, in bytes of UTF-8: shorter ones are everywhere.
pub const ERASED_TEXT_BYTES: std::ops::RangeInclusive<usize> = 4..=1_000;
/// Most ids of a receipt of `forget` that is checked.
pub const RECEIPT_IDS_MAX: usize = 1_000_000;
/// Attempts of a job before it is a dead letter.
pub const JOB_ATTEMPTS_MAX: u32 = 5;
/// How long one attempt of a job may take, in seconds.
pub const JOB_SECONDS_MAX: u64 = 900;
/// Longest wait before a job is tried again, in seconds.
pub const JOB_RETRY_SECONDS_MAX: u64 = 3_600;
/// Scopes for which one look at a schedule queues jobs; the rest follow at the next look.
pub const SCHEDULE_PAGE: usize = 1_000;
/// Bytes of one line of an import file.
pub const IMPORT_LINE_BYTES_MAX: usize = 16 << 20;
/// How long SQLite waits for a lock of another process, in milliseconds, before the call is Unavailable (`busy`).
pub const SQLITE_BUSY_MILLIS: u64 = 10_000;
/// How long a checkpoint waits for readers to leave the log, in milliseconds.
pub const SQLITE_CHECKPOINT_MILLIS: u64 = 250;
/// Page cache of the SQLite writer, in KiB.
pub const SQLITE_WRITER_CACHE_KIB: i64 = 8 << 10;
/// Page cache of each SQLite reader, in KiB.
pub const SQLITE_READER_CACHE_KIB: i64 = 4 << 10;
/// Prepared statements kept by each SQLite connection.
pub const SQLITE_STATEMENTS: usize = 128;
/// Bytes of SQLite's write-ahead log that stay allocated after a checkpoint.
pub const SQLITE_WAL_BYTES_KEPT: u64 = 16 << 20;
/// Pages in the write-ahead log after which the writer copies them to the file. More than SQLite's 1,000, as random keys
/// touch the same index pages again and again, and a page is copied once however often it was written.
pub const SQLITE_WAL_PAGES: u32 = 4_000;
/// Steps of SQLite's machine between two looks at the deadline.
pub const SQLITE_PROGRESS_STEPS: i32 = 4_000;
/// Free pages given back to the file system by one checkpoint.
pub const SQLITE_VACUUM_PAGES: u32 = 65_536;
/// Findings of one consistency check.
pub const FINDINGS_MAX: usize = 100;
/// Pages copied between two looks at the deadline of a backup.
pub const BACKUP_PAGES: i32 = 1_024;
/// Vectors of one space from which a graph is built beside the scan. A node takes 4.5 KB where a row takes 0.3: only a
/// scan that takes several milliseconds is worth that. Measured: see `embedded/vector/ann.rs`.
pub const ANN_VECTORS_MIN: usize = 1_000_000;
/// Rows that the scan scores in the time the graph needs for one more candidate. Measured: see `embedded/vector/ann.rs`.
pub const ANN_ROWS_PER_CANDIDATE: usize = 1_000;
/// Links of a node of the graph (twice as many in the lowest layer).
pub const ANN_LINKS: usize = 16;
/// Candidates looked at for each node while the graph is built.
pub const ANN_EF_CONSTRUCTION: usize = 100;
/// Candidates that a search of the graph looks at, at least.
pub const ANN_EF_MIN: usize = 256;
/// A filter that keeps less than one vector in so many is scanned, never searched by graph.
pub const ANN_FILTER_SHARE: usize = 10;
/// Entries of the in-process cache.
pub const CACHE_ENTRIES_MAX: usize = 16_384;
/// Bytes of the in-process cache, keys and values.
pub const CACHE_BYTES_MAX: usize = 64 << 20;
/// Vectors taken into a graph between two snapshots of an unfinished one.
pub const ANN_SNAPSHOT_STEP: usize = 200_000;
/// Bytes of the weights of a local model.
pub const MODEL_BYTES_MAX: u64 = 2 << 30;
/// Bytes of a configuration or vocabulary file of a local model.
pub const MODEL_SIDE_FILE_BYTES_MAX: u64 = 32 << 20;
/// Layers of a local model.
pub const MODEL_LAYERS_MAX: usize = 64;
/// Tokens that a local model reads of one text, its `[CLS]` and `[SEP]` included.
pub const MODEL_TOKENS_MAX: usize = EMBED_TOKENS_MAX + 2;
/// Tokens that go through a local model at once: bounds its working memory.
pub const MODEL_BATCH_TOKENS: usize = 1_024;
/// Threads on which a local model computes.
pub const MODEL_THREADS: usize = 2;
/// Most findings of one `audit`.
pub const AUDIT_FINDINGS_MAX: usize = 1_000;
/// Memories read at a time by `audit`: bounds its working memory where texts are long.
pub const AUDIT_PAGE: usize = 100;
/// Memories whose keys `audit` holds at once, at most three of some 20 bytes for each; a larger project is read once more for
/// each part of its keys.
pub const AUDIT_PASS_MEMORIES: u64 = 1_000_000;
/// Memories that `audit` holds as parts of possible findings.
pub const AUDIT_MEMBERS_MAX: usize = 200_000;
/// Memories of one finding.
pub const AUDIT_BUCKET_MEMBERS_MAX: usize = 32;
/// Different values of one statement; with more it is a series of readings.
pub const AUDIT_VALUES_MAX: usize = 8;
/// Words of one keyword.
pub const KEYWORD_WORDS_MAX: usize = 4;
/// Most keywords of one text.
pub const KEYWORDS_MAX: usize = 1_000;
/// Most statements read from one text.
pub const TRIPLES_MAX: usize = 1_000;
/// Longest text that facts are read from: what a person says at once.
pub const FACT_TEXT_BYTES_MAX: usize = 16 << 10;
/// Longest subject, attribute or value of a fact that a model reads, in characters.
pub const FACT_MODEL_CHARS_MAX: usize = 200;
/// Longest quotation by which a model shows a fact, in characters.
pub const FACT_QUOTE_CHARS_MAX: usize = 400;
/// What is shown to a model of an answer that could not be read, in characters.
pub const FACT_ANSWER_CHARS_MAX: usize = 24_000;
/// Most facts read from one memory.
pub const FACTS_PER_MEMORY_MAX: usize = 32;
/// Most names resolved at once: every two are compared.
pub const ENTITIES_MAX: usize = 500;
/// Projects whose graph of relations stays in memory; the least recently used go.
pub const GRAPH_SCOPES_MAX: usize = 16;
/// Projects of which a process knows that the summaries of their communities are up to date.
pub const GRAPH_TOLD_MAX: usize = 4_096;
/// Farthest that a question about the graph goes, in relations.
pub const GRAPH_DEPTH_MAX: usize = 5;
/// Most entities of one answer about the graph.
pub const GRAPH_ENTITIES_MAX: usize = 1_000;
/// Most relations of one subgraph.
pub const GRAPH_RELATIONS_MAX: usize = 10_000;
/// Relations that one question about the graph looks at.
pub const GRAPH_VISITS_MAX: usize = 200_000;
/// Changes after which a graph is read anew instead of following each.
pub const GRAPH_REBUILD_CHANGES: u64 = 50_000;
/// Relations whose older versions one question about a snapshot reads.
pub const GRAPH_HISTORIES_MAX: usize = 10_000;
/// Words of a question in which names of entities are looked for.
pub const GRAPH_QUESTION_WORDS_MAX: usize = 256;
/// Words of a name that is looked for in a question.
pub const GRAPH_NAME_WORDS_MAX: usize = 8;
/// Names that a round of `maintain` joins.
pub const GRAPH_JOINS_MAX: usize = 100;
/// Texts of a project in which `maintain` looks for names of one entity.
pub const GRAPH_ALIAS_TEXTS_MAX: usize = 1_000;
/// Memories that the graph gives a recall that weighs it.
pub const GRAPH_NEAR_MAX: usize = 2_000;
/// Entities that one subgraph begins with.
pub const GRAPH_STARTS_MAX: usize = 100;
/// Most snapshots of a project's graph.
pub const GRAPH_SNAPSHOTS_MAX: usize = 1_000;
/// Entities among which communities are looked for; with more, what is connected is one.
pub const GRAPH_COMMUNITY_ENTITIES_MAX: usize = 100_000;
/// Communities of a project's graph of which summaries are kept, the largest ones.
pub const COMMUNITIES_MAX: usize = 100;
/// Entities of a community that is worth a summary; two are one relation.
pub const COMMUNITY_ENTITIES_MIN: usize = 3;
/// Names that a summary of a community begins with.
pub const COMMUNITY_NAMES_MAX: usize = 10;
/// Relations that a summary of a community tells of, the strongest ones.
pub const COMMUNITY_RELATIONS_MAX: usize = 12;
/// Most texts scored by a reranker at once.
pub const RERANK_TEXTS_MAX: usize = K_MAX;
/// Tokens that a cross-encoder reads of a question and a text together, its `[CLS]` and both `[SEP]` included.
pub const RERANK_TOKENS_MAX: usize = 512;
/// Reservations that ran out and are ended at a time.
pub const EXPIRE_PAGE: usize = 100;
/// Most rows of one answer of sums of the ledger.
pub const COST_ROWS_MAX: usize = 10_000;
/// Bytes of one request to a chat model: texts, images and schemas together.
pub const CHAT_REQUEST_BYTES_MAX: usize = 32 << 20;
/// Messages of one request to a chat model.
pub const CHAT_MESSAGES_MAX: usize = 4_096;
/// Parts of one message.
pub const CHAT_PARTS_MAX: usize = 256;
/// Tools that a request offers.
pub const CHAT_TOOLS_MAX: usize = 512;
/// Calls of tools in one message.
pub const CHAT_TOOL_CALLS_MAX: usize = 256;
/// Texts at which a model stops.
pub const CHAT_STOPS_MAX: usize = 16;
/// Deepest nesting of a request to a chat model and of an answer, schemas included.
pub const CHAT_DEPTH_MAX: usize = 64;
/// Largest maximum of output tokens.
pub const CHAT_OUTPUT_TOKENS_MAX: u64 = 10_000_000;
/// Most tokens that a provider is believed to have counted in one call. A larger count is taken for no count.
pub const USAGE_TOKENS_MAX: u64 = 100_000_000;
/// Bytes of one answer of a chat model or an embedder, a stream counted to its end.
pub const LLM_ANSWER_BYTES_MAX: usize = 64 << 20;
/// Bytes of a provider's error that are read.
pub const LLM_ERROR_BYTES_MAX: usize = 64 << 10;
/// Characters of a provider's reason that are shown.
pub const LLM_REASON_CHARS_MAX: usize = 300;
/// Bytes of one event of a stream.
pub const SSE_EVENT_BYTES_MAX: usize = 8 << 20;
/// Providers of models that one process knows.
pub const LLM_PROVIDERS_MAX: usize = 32;
/// Most output tokens of a model call that names no maximum.
pub const OUTPUT_TOKENS_DEFAULT: u64 = 4_096;
/// Longest time of one model call with its repetitions, in seconds.
pub const LLM_SECONDS_MAX: u64 = 600;
/// Ends of calls that wait for the background thread.
pub const STRAYS_MAX: usize = 10_000;
/// Most answers that one request to a chat model may ask for (`n`).
pub const CHAT_ANSWERS_MAX: u64 = 16;
/// Answers of chat models that the cache of responses keeps for one project; the oldest goes.
pub const ANSWERS_KEPT_MAX: i64 = 256;
/// Bytes of one such answer; a longer one is not kept.
pub const ANSWER_BYTES_MAX: usize = 256 << 10;
/// Longest time that such an answer is kept, in seconds.
pub const ANSWER_SECONDS_MAX: u64 = 7 * 86_400;
/// Answers whose questions are compared by meaning, of requests that are the same otherwise.
pub const NEAR_ANSWERS_MAX: usize = 64;
/// Bytes of a question that is compared by meaning: not more than an embedder reads.
pub const NEAR_QUESTION_BYTES_MAX: usize = 1_000;
/// Most tokens of output of a call that names no maximum, where one must be sent.
pub const CHAT_OUTPUT_TOKENS_DEFAULT: u64 = 4_096;
/// Bytes of a file of prices.
pub const PRICES_BYTES_MAX: usize = 1 << 20;
/// Prices of one file.
pub const PRICES_MAX: usize = 10_000;
/// Largest price, in US dollars for a million tokens: a dollar a token. More is a slip of the unit.
pub const PRICE_DOLLARS_MAX: u64 = 1_000_000;
/// Most tokens of one attempt of a call, each kind.
pub const CALL_TOKENS_MAX: u64 = 1 << 40;
/// Days for which sums of a day or month are kept; the ledger that they are sums of stays.
pub const SPEND_DAYS_KEPT: i64 = 400;
/// Most questions of one evaluation.
pub const EVAL_QUESTIONS_MAX: usize = 10_000;
/// Most labels of one question.
pub const EVAL_LABELS_MAX: usize = 100;
/// Most questions of a stored set, which jobs run again and again.
pub const EVAL_STORED_QUESTIONS_MAX: usize = 1_000;
/// Most hits that a stored run looks at for each question; it keeps their ids.
pub const EVAL_STORED_K_MAX: i64 = 100;
/// Most stored sets of questions of a project.
pub const EVAL_SETS_MAX: usize = 20;
/// Runs of a set that are kept; the oldest go.
pub const EVAL_KEPT_MAX: usize = 30;
/// Longest error that the end of a session names, in bytes.
pub const SESSION_ERROR_BYTES_MAX: usize = 8 << 10;
/// Events of one session that a reflection looks at: the newest.
pub const REFLECT_EVENTS_MAX: usize = 10_000;
/// Characters of one event that a reflection reads.
pub const REFLECT_EVENT_CHARS_MAX: usize = 4_096;
/// Sessions of one `reflect` over a project; the next call goes on.
pub const REFLECT_SESSIONS_MAX: usize = 1_000;
/// Different failures that are learnt from one session.
pub const REFLECT_FAILURES_MAX: usize = 64;
/// Characters of a normalised error.
pub const REFLECT_ERROR_CHARS_MAX: usize = 200;
/// Characters of an error, or of a difference of two calls, that a lesson quotes as it was said.
pub const REFLECT_QUOTE_CHARS_MAX: usize = 160;
/// Characters of the general form of an error in the words of a lesson.
pub const REFLECT_SHOWN_CHARS_MAX: usize = 80;
/// Lessons of one tool that are told that it worked: the newest.
pub const REFLECT_RIGHTED_MAX: usize = 64;
/// Characters of the name of a tool.
pub const REFLECT_TOOL_CHARS_MAX: usize = 80;
/// Ways out of a failure that a lesson names.
pub const REFLECT_WAYS_MAX: usize = 8;
/// Sentences of the summary of a session.
pub const REFLECT_SENTENCES_MAX: usize = 3;
/// Sentences that compete for a summary; of a longer session the newest.
pub const REFLECT_CANDIDATES_MAX: usize = 400;
/// Characters of the summary of a session.
pub const REFLECT_SUMMARY_CHARS_MAX: usize = 800;
/// Failures of one session that a model is asked about.
pub const REFLECT_ASKED_MAX: usize = 16;
/// Characters of the events that a model is shown.
pub const REFLECT_PROMPT_CHARS_MAX: usize = 24_000;
/// Characters of one event that a model is shown.
pub const REFLECT_PROMPT_EVENT_CHARS_MAX: usize = 800;
/// Characters of a cause, a rule or an insight that a model gives.
pub const REFLECT_ANSWER_CHARS_MAX: usize = 400;
/// Characters of what a model said of the session of one user or agent.
pub const REFLECT_INSIGHT_CHARS_MAX: usize = 2_000;
/// Lessons of other projects of which one keeps what they gave to it, when it was joined with them by `import`.
pub const REFLECT_JOINED_MAX: usize = 16;
/// The largest number that a lesson or strategy of an import may count: sums of such numbers stay exact, so that they can be taken back.
pub const REFLECT_COUNT_MAX: u64 = 1_000_000_000_000;
/// Lessons that insights are made over: the newest.
pub const REFLECT_LESSONS_MAX: usize = 2_000;
/// Insights of a project.
pub const REFLECT_CLUSTERS_MAX: usize = 64;
/// Lessons that an insight names one by one.
pub const REFLECT_LISTED_MAX: usize = 5;
/// Different statements that are told apart when those that are said again and again are looked for.
pub const REFLECT_STATEMENTS_MAX: usize = 20_000;
/// Statements of a project that become memories of their own: those said in most sessions.
pub const REFLECT_CONSOLIDATED_MAX: usize = 256;
/// Sentences of the summary of a day or week.
pub const REFLECT_BUCKET_SENTENCES_MAX: usize = 5;
/// Characters of the summary of a day or week.
pub const REFLECT_BUCKET_CHARS_MAX: usize = 1_200;
/// Weeks that one `reflect` over a project sums up: the newest with news.
pub const REFLECT_WEEKS_MAX: usize = 4;
/// Days for which it is known how far something was looked at whose summary is gone.
pub const REFLECT_MARK_DAYS_MAX: f64 = 400.0;
