//! Shapes of relations.

use super::names::{InfoClass, TrustLevel};
use utoipa::{IntoParams, ToSchema};

/// What `relate` takes; null is the same as no value.
#[derive(ToSchema)]
pub struct NewRelation {
    /// What it is about: 1 to 200 characters.
    #[schema(min_length = 1)]
    pub subject: String,
    /// How the two stand to each other, such as works_at: letters, digits and underscores, at most 64. "Works at" is the same.
    #[schema(min_length = 1)]
    pub relation: String,
    /// The other end: 1 to 200 characters.
    #[schema(min_length = 1)]
    pub object: String,
    /// How strong it is: more than 0, at most 1,000; default 1.
    #[schema(exclusive_minimum = 0.0, maximum = 1000.0)]
    pub weight: Option<f64>,
    /// How sure it is, 0 to 1; default 1.
    #[schema(minimum = 0.0, maximum = 1.0)]
    pub confidence: Option<f64>,
    /// From when it holds; default now.
    #[schema(format = DateTime)]
    pub valid_from: Option<String>,
    /// Until when it holds (exclusive); default open.
    #[schema(format = DateTime)]
    pub valid_to: Option<String>,
    /// The memory that says so; erasure follows it.
    #[schema(format = Uuid)]
    pub source_id: Option<String>,
    /// User it belongs to: it is erased with the user, and merges with that user's alone.
    pub user_id: Option<String>,
    /// Agent it belongs to.
    pub agent_id: Option<String>,
    pub trust_level: Option<TrustLevel>,
    /// Default internal.
    pub info_class: Option<InfoClass>,
}

/// Parameters of a list of relations.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct RelationParameters {
    /// Only those of this subject, however it is spelt.
    pub subject: Option<String>,
    /// Only this relation.
    pub relation: Option<String>,
    /// Only those with this object, however it is spelt.
    pub object: Option<String>,
    /// Size of the page; default 50.
    #[param(minimum = 1, maximum = 1000)]
    pub limit: Option<i64>,
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
}
