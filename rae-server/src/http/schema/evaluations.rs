//! Shapes of evaluations.

use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

/// What makes a hit right: one of the two.
#[derive(ToSchema)]
pub struct Label {
    /// It is this memory.
    pub id: Option<String>,
    /// It contains this text, whatever its case.
    pub text: Option<String>,
}

/// A question and what should be found.
#[derive(ToSchema)]
pub struct Question {
    #[schema(min_length = 1)]
    pub query: String,
    /// 1 to 100.
    #[schema(min_items = 1, max_items = 100)]
    pub relevant: Vec<Label>,
}

/// Questions to be asked at once.
#[derive(ToSchema)]
pub struct EvaluateRequest {
    /// 1 to 10,000, none twice.
    #[schema(min_items = 1)]
    pub questions: Vec<Question>,
    /// How many hits are looked at. It may stand in options instead; two that differ are refused.
    #[schema(minimum = 1, maximum = 1000, default = 10)]
    pub k: Option<i64>,
    /// What a recall takes beside its query: k, layers, filter, rerank and so on.
    #[schema(value_type = Option<Object>)]
    pub options: Option<Value>,
}

/// Questions to be kept.
#[derive(ToSchema)]
pub struct QuestionsRequest {
    /// 1 to 1,000, none twice.
    #[schema(min_items = 1)]
    pub questions: Vec<Question>,
}

/// How a stored set is run.
#[derive(ToSchema)]
pub struct RunRequest {
    /// How many hits are looked at. It may stand in options instead; two that differ are refused.
    #[schema(minimum = 1, maximum = 1000, default = 10)]
    pub k: Option<i64>,
    /// What a recall takes beside its query: k, layers, filter, rerank and so on.
    #[schema(value_type = Option<Object>)]
    pub options: Option<Value>,
}

/// Two runs as they were given.
#[derive(ToSchema)]
pub struct CompareRequest {
    #[schema(value_type = Object)]
    pub a: Value,
    #[schema(value_type = Object)]
    pub b: Value,
}

/// Name of a set of questions.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
pub struct SetName {
    /// Letters, digits, dots, dashes and underscores.
    pub name: String,
}

/// What was stored.
#[derive(ToSchema)]
pub struct StoredQuestions {
    pub name: String,
    /// How many questions; 0 when the set is gone.
    pub count: u64,
}

/// A stored set.
#[derive(ToSchema)]
pub struct QuestionSet {
    pub name: String,
    #[schema(format = DateTime)]
    pub at: String,
    pub questions: Vec<Question>,
}

/// All stored sets.
#[derive(ToSchema)]
pub struct QuestionSets {
    /// By name.
    pub items: Vec<QuestionSet>,
}

/// Means over the questions, 0 to 1 each.
#[derive(ToSchema)]
pub struct Metrics {
    /// Labels met by the first k hits, of all labels.
    pub recall: f64,
    /// 1 / the rank of the first hit that meets a label.
    pub mrr: f64,
    /// Normalised discounted cumulative gain.
    pub ndcg: f64,
    /// Questions with any label met.
    pub hit_rate: f64,
}

/// How one question was answered.
#[derive(ToSchema)]
pub struct Answered {
    pub query: String,
    /// For each label the rank, from 1, of the first hit that meets it.
    pub ranks: Vec<Option<u32>>,
    /// Ids, best first.
    pub hits: Vec<String>,
    pub recall: f64,
    pub mrr: f64,
    pub ndcg: f64,
}

/// A run over all questions.
#[derive(ToSchema)]
pub struct Evaluation {
    #[schema(format = DateTime)]
    pub at: String,
    pub k: u32,
    /// The options that were given, other than k.
    #[schema(value_type = Object)]
    pub options: Value,
    pub embedder: String,
    /// Memories in the project.
    pub memories: u64,
    pub metrics: Metrics,
    /// Questions that a part of recall could not answer.
    pub degraded: u64,
    pub questions: Vec<Answered>,
    /// The same in words.
    pub report: String,
}

/// One measure in both runs.
#[derive(ToSchema)]
pub struct MetricChange {
    pub metric: String,
    pub a: f64,
    pub b: f64,
    pub change: f64,
    /// Lower bound of the change at 95 %, by a paired bootstrap over the questions.
    pub low: f64,
    pub high: f64,
    /// Whether the bounds leave out 0 and at least six questions differ.
    pub significant: bool,
}

/// A question that was answered otherwise.
#[derive(ToSchema)]
pub struct Difference {
    pub query: String,
    /// nDCG in the first run.
    pub a: f64,
    /// nDCG in the second.
    pub b: f64,
}

/// What differs between two runs.
#[derive(ToSchema)]
pub struct Comparison {
    /// Questions in both.
    pub questions: u64,
    /// Questions of one run alone.
    pub left_out: u64,
    pub metrics: Vec<MetricChange>,
    /// Mean share of hits that both gave, of all that either gave.
    pub overlap: f64,
    /// Questions with the same hits in the same order.
    pub unchanged: u64,
    /// Questions that lost most nDCG, at most 10.
    pub lost: Vec<Difference>,
    /// Questions that gained most, at most 10.
    pub gained: Vec<Difference>,
    /// The same in words.
    pub report: String,
}

/// A stored run and what has changed since the one before.
#[derive(ToSchema)]
pub struct EvaluationRun {
    /// Name of the set.
    pub questions: String,
    pub evaluation: Evaluation,
    /// Null for the first run, and where k was another.
    pub drift: Option<Comparison>,
}

/// The runs of a set that are kept.
#[derive(ToSchema)]
pub struct EvaluationRuns {
    /// The newest first.
    pub items: Vec<EvaluationRun>,
}
