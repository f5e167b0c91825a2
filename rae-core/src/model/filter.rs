//! The filter language of `recall`, `list` and `forget`: `{field: value | {op: value}}` with `and`, `or`, `not`.

use super::{Claim, Memory, Timestamp};
use crate::{
    error::{Error, Result},
    limits::{FILTER_DEPTH_MAX, FILTER_TERMS_MAX},
};
use serde_json::Value as Json;
use std::cmp::Ordering;

/// A parsed, bounded filter. Evaluated by [`Filter::matches`] alone, in every store, so that all agree.
#[derive(Debug, Clone, PartialEq)]
pub enum Filter {
    /// All hold.
    And(Vec<Filter>),
    /// One holds.
    Or(Vec<Filter>),
    /// It does not hold.
    Not(Box<Filter>),
    /// A comparison.
    Cmp(Field, Cmp),
}

/// What is compared.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // the names are those of `Memory`
pub enum Field {
    Id,
    Layer,
    Kind,
    Role,
    Speaker,
    SessionId,
    AgentId,
    UserId,
    Tags,
    Source,
    TrustLevel,
    InfoClass,
    Content,
    Importance,
    Strength,
    Confidence,
    WitnessCount,
    Version,
    CreatedAt,
    UpdatedAt,
    OccurredAt,
    ValidFrom,
    ValidTo,
    ExpiresAt,
    /// Of the claim, folded as names of entities are.
    Subject,
    Relation,
    /// Folded.
    Object,
    /// A path into the metadata.
    Metadata(Vec<String>),
}

/// How it is compared.
#[derive(Debug, Clone, PartialEq)]
pub enum Cmp {
    /// Equal; with `null`: absent.
    Eq(Value),
    /// Not equal; absent counts as not equal.
    Ne(Value),
    /// One of.
    In(Vec<Value>),
    /// None of.
    Nin(Vec<Value>),
    /// Greater. Numbers with numbers, texts with texts, times with times; anything else is false.
    Gt(Value),
    /// Greater or equal.
    Gte(Value),
    /// Less.
    Lt(Value),
    /// Less or equal.
    Lte(Value),
    /// A list has this member, or a text has this part (case-sensitive).
    Contains(Value),
}

/// A value to compare with.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Nothing.
    Null,
    /// True or false.
    Bool(bool),
    /// A number.
    Number(f64),
    /// A text.
    Text(String),
    /// An instant.
    Time(Timestamp),
}

impl Filter {
    /// Reads a filter; InvalidInput for unknown fields or operators, wrong types, more than 8 levels or 64 terms. An empty
    /// object is an empty `And`, which holds for everything: callers that must not accept it ask [`Filter::is_trivial`].
    pub fn parse(json: &Json) -> Result<Self> {
        let mut terms = 0;
        parse_object(json, 1, &mut terms)
    }

    /// Whether it has no comparison at all.
    pub fn is_trivial(&self) -> bool {
        match self {
            Self::And(list) | Self::Or(list) => list.iter().all(Self::is_trivial),
            Self::Not(inner) => inner.is_trivial(),
            Self::Cmp(..) => false,
        }
    }

    /// The key of the claims that are asked for, where all of these together name a subject and a relation.
    pub fn claim_key(all: &[Self]) -> Option<[u8; 16]> {
        let named = |wanted: &Field| {
            all.iter().find_map(|filter| match filter {
                Self::Cmp(field, Cmp::Eq(Value::Text(text))) if field == wanted => Some(text),
                _ => None,
            })
        };
        Some(Claim::key_of(named(&Field::Subject)?, named(&Field::Relation)?))
    }

    /// Whether `memory` is in.
    pub fn matches(&self, memory: &Memory) -> bool {
        match self {
            Self::And(list) => list.iter().all(|f| f.matches(memory)),
            Self::Or(list) => list.iter().any(|f| f.matches(memory)),
            Self::Not(inner) => !inner.matches(memory),
            Self::Cmp(field, cmp) => cmp.holds(&field.values(memory), field.is_list(memory)),
        }
    }
}

fn bad(message: impl Into<String>) -> Error {
    Error::invalid(message).with_code("invalid_filter")
}

fn parse_object(json: &Json, depth: usize, terms: &mut usize) -> Result<Filter> {
    if depth > FILTER_DEPTH_MAX {
        return Err(bad(format!("a filter may be at most {FILTER_DEPTH_MAX} levels deep")));
    }
    let object = json.as_object().ok_or_else(|| bad("a filter must be an object, like {\"speaker\": \"Ada\"}"))?;
    let mut all = Vec::with_capacity(object.len());
    for (key, value) in object {
        all.push(match key.as_str() {
            "and" => Filter::And(parse_list(key, value, depth, terms)?),
            "or" => Filter::Or(parse_list(key, value, depth, terms)?),
            "not" => Filter::Not(Box::new(parse_object(value, depth + 1, terms)?)),
            _ => parse_field(key, value, terms)?,
        });
    }
    Ok(if all.len() == 1 { all.swap_remove(0) } else { Filter::And(all) })
}

fn parse_list(key: &str, value: &Json, depth: usize, terms: &mut usize) -> Result<Vec<Filter>> {
    let list = value.as_array().filter(|l| !l.is_empty());
    let list = list.ok_or_else(|| bad(format!("\"{key}\" takes a list of at least one filter")))?;
    list.iter().map(|f| parse_object(f, depth + 1, terms)).collect()
}

fn parse_field(key: &str, value: &Json, terms: &mut usize) -> Result<Filter> {
    let field = Field::parse(key)?;
    let Some(ops) = value.as_object() else {
        count(terms, 1)?;
        return Ok(Filter::Cmp(field.clone(), Cmp::Eq(field.value(value)?)));
    };
    if ops.is_empty() {
        return Err(bad(format!(
            "the filter on {key} has no comparison; use one of eq, ne, in, nin, gt, gte, lt, lte, contains"
        )));
    }
    let mut all = Vec::with_capacity(ops.len());
    for (op, value) in ops {
        let one = |terms: &mut usize| count(terms, 1).and_then(|()| field.value(value));
        let cmp = match op.as_str() {
            "eq" => Cmp::Eq(one(terms)?),
            "ne" => Cmp::Ne(one(terms)?),
            "gt" => Cmp::Gt(one(terms)?),
            "gte" => Cmp::Gte(one(terms)?),
            "lt" => Cmp::Lt(one(terms)?),
            "lte" => Cmp::Lte(one(terms)?),
            "contains" => Cmp::Contains(one(terms)?),
            "in" | "nin" => {
                let list = value.as_array().ok_or_else(|| bad(format!("\"{op}\" on {key} takes a list")))?;
                count(terms, list.len().max(1))?;
                let values = list.iter().map(|v| field.value(v)).collect::<Result<Vec<_>>>()?;
                if op == "in" { Cmp::In(values) } else { Cmp::Nin(values) }
            }
            _ => return Err(bad(format!("unknown comparison \"{}\" on {}", clip(op), clip(key)))),
        };
        all.push(Filter::Cmp(field.clone(), cmp));
    }
    Ok(if all.len() == 1 { all.swap_remove(0) } else { Filter::And(all) })
}

fn count(terms: &mut usize, n: usize) -> Result<()> {
    *terms += n;
    if *terms > FILTER_TERMS_MAX {
        Err(bad(format!("a filter may have at most {FILTER_TERMS_MAX} terms")))
    } else {
        Ok(())
    }
}

fn clip(text: &str) -> String {
    text.chars().take(40).collect()
}

impl Field {
    fn parse(key: &str) -> Result<Self> {
        Ok(match key {
            "id" => Self::Id,
            "layer" => Self::Layer,
            "kind" => Self::Kind,
            "role" => Self::Role,
            "speaker" => Self::Speaker,
            "session_id" => Self::SessionId,
            "agent_id" => Self::AgentId,
            "user_id" => Self::UserId,
            "tags" => Self::Tags,
            "source" => Self::Source,
            "trust_level" => Self::TrustLevel,
            "info_class" => Self::InfoClass,
            "content" => Self::Content,
            "importance" => Self::Importance,
            "strength" => Self::Strength,
            "confidence" => Self::Confidence,
            "witness_count" => Self::WitnessCount,
            "version" => Self::Version,
            "created_at" => Self::CreatedAt,
            "updated_at" => Self::UpdatedAt,
            "occurred_at" => Self::OccurredAt,
            "valid_from" => Self::ValidFrom,
            "valid_to" => Self::ValidTo,
            "expires_at" => Self::ExpiresAt,
            "subject" => Self::Subject,
            "relation" => Self::Relation,
            "object" => Self::Object,
            _ => match key.strip_prefix("metadata.") {
                Some(path) if !path.split('.').any(str::is_empty) => {
                    Self::Metadata(path.split('.').map(str::to_owned).collect())
                }
                _ => {
                    return Err(bad(format!(
                        "unknown filter field \"{}\"; fields of your own are metadata.NAME",
                        clip(key)
                    )));
                }
            },
        })
    }

    fn is_time(&self) -> bool {
        use Field::{CreatedAt, ExpiresAt, OccurredAt, UpdatedAt, ValidFrom, ValidTo};
        matches!(self, CreatedAt | UpdatedAt | OccurredAt | ValidFrom | ValidTo | ExpiresAt)
    }

    fn is_number(&self) -> bool {
        matches!(self, Self::Importance | Self::Strength | Self::Confidence | Self::WitnessCount | Self::Version)
    }

    /// A value of the type that the field has.
    fn value(&self, json: &Json) -> Result<Value> {
        let wrong = |want: &str| bad(format!("the filter on {self:?} takes {want}"));
        Ok(match json {
            Json::Null => Value::Null,
            Json::String(s) if self.is_time() => {
                Value::Time(Timestamp::parse(s).map_err(|e| e.with_code("invalid_filter"))?)
            }
            _ if self.is_time() => return Err(wrong("a time in RFC 3339")),
            Json::Number(n) => {
                let n = n.as_f64().filter(|n| n.is_finite()).ok_or_else(|| wrong("a finite number"))?;
                if !self.is_number() && !matches!(self, Self::Metadata(_)) {
                    return Err(wrong("a text"));
                }
                Value::Number(n)
            }
            _ if self.is_number() => return Err(wrong("a number")),
            Json::Bool(b) if matches!(self, Self::Metadata(_)) => Value::Bool(*b),
            Json::String(s) => match self {
                // The old layer codes mean the same here as everywhere.
                Self::Layer => {
                    Value::Text(s.parse::<super::Layer>().map_err(|e| e.with_code("invalid_filter"))?.to_string())
                }
                // However they are spelt.
                Self::Subject | Self::Object => Value::Text(Claim::name_key(s)),
                Self::Relation => Value::Text(Claim::relation_key(s).map_err(|e| e.with_code("invalid_filter"))?),
                _ => Value::Text(s.clone()),
            },
            _ => return Err(wrong("a text")),
        })
    }

    /// Whether it is a part of the claim.
    pub fn is_of_claim(&self) -> bool {
        matches!(self, Self::Subject | Self::Relation | Self::Object)
    }

    fn is_list(&self, memory: &Memory) -> bool {
        match self {
            Self::Tags | Self::Source => true,
            Self::Metadata(path) => matches!(lookup(memory, path), Some(Json::Array(_))),
            _ => false,
        }
    }

    /// The values of the field: none when absent, several for a list.
    fn values(&self, m: &Memory) -> Vec<Value> {
        fn text(t: Option<&str>) -> Vec<Value> {
            t.map(|t| Value::Text(t.to_owned())).into_iter().collect()
        }
        fn time(t: Option<Timestamp>) -> Vec<Value> {
            t.map(Value::Time).into_iter().collect()
        }
        match self {
            Self::Id => vec![Value::Text(m.id.to_string())],
            Self::Layer => text(Some(m.layer.as_str())),
            Self::Kind => text(Some(m.kind.as_str())),
            Self::Role => text(m.role.as_deref()),
            Self::Speaker => text(m.speaker.as_deref()),
            Self::SessionId => text(m.session_id.as_deref()),
            Self::AgentId => text(m.agent_id.as_deref()),
            Self::UserId => text(m.user_id.as_deref()),
            Self::Tags => m.tags.iter().cloned().map(Value::Text).collect(),
            Self::Source => m.provenance.sources.iter().cloned().map(Value::Text).collect(),
            Self::TrustLevel => text(m.trust_level.map(super::TrustLevel::as_str)),
            Self::InfoClass => text(Some(m.info_class.as_str())),
            Self::Content => text(Some(&m.content)),
            Self::Importance => vec![Value::Number(m.importance)],
            Self::Strength => vec![Value::Number(m.strength)],
            Self::Confidence => vec![Value::Number(m.confidence)],
            Self::WitnessCount => vec![Value::Number(m.witness_count.into())],
            Self::Version => vec![Value::Number(m.version.into())],
            Self::CreatedAt => time(Some(m.created_at)),
            Self::UpdatedAt => time(Some(m.updated_at)),
            Self::OccurredAt => time(m.occurred_at),
            Self::ValidFrom => time(Some(m.valid_start())),
            Self::ValidTo => time(m.valid_to),
            Self::ExpiresAt => time(m.expires_at),
            Self::Subject => text(m.claim.as_ref().map(|c| Claim::name_key(&c.subject)).as_deref()),
            Self::Relation => text(m.claim.as_ref().map(|c| c.relation.as_str())),
            Self::Object => text(m.claim.as_ref().map(|c| Claim::name_key(&c.object)).as_deref()),
            Self::Metadata(path) => match lookup(m, path) {
                None | Some(Json::Null | Json::Object(_)) => Vec::new(),
                Some(Json::Array(list)) => list.iter().filter_map(scalar).collect(),
                Some(other) => scalar(other).into_iter().collect(),
            },
        }
    }
}

fn lookup<'a>(memory: &'a Memory, path: &[String]) -> Option<&'a Json> {
    let (first, rest) = path.split_first()?;
    rest.iter().try_fold(memory.metadata.get(first)?, |value, key| value.get(key))
}

fn scalar(json: &Json) -> Option<Value> {
    match json {
        Json::Bool(b) => Some(Value::Bool(*b)),
        Json::Number(n) => n.as_f64().map(Value::Number),
        Json::String(s) => Some(Value::Text(s.clone())),
        Json::Null | Json::Array(_) | Json::Object(_) => None,
    }
}

impl Cmp {
    fn holds(&self, values: &[Value], list: bool) -> bool {
        let equal = |want: &Value| match want {
            Value::Null => values.is_empty(),
            _ => values.contains(want),
        };
        let ordered = |want: &Value, ok: fn(Ordering) -> bool| values.iter().any(|v| v.order(want).is_some_and(ok));
        match self {
            Self::Eq(want) => equal(want),
            Self::Ne(want) => !equal(want),
            Self::In(wants) => wants.iter().any(equal),
            Self::Nin(wants) => !wants.iter().any(equal),
            Self::Gt(want) => ordered(want, Ordering::is_gt),
            Self::Gte(want) => ordered(want, Ordering::is_ge),
            Self::Lt(want) => ordered(want, Ordering::is_lt),
            Self::Lte(want) => ordered(want, Ordering::is_le),
            Self::Contains(want) => match want {
                Value::Text(part) if !list => {
                    values.iter().any(|v| matches!(v, Value::Text(t) if t.contains(part.as_str())))
                }
                _ => list && values.contains(want),
            },
        }
    }
}

impl Value {
    fn order(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Number(a), Self::Number(b)) => a.partial_cmp(b),
            (Self::Text(a), Self::Text(b)) => Some(a.cmp(b)),
            (Self::Time(a), Self::Time(b)) => Some(a.cmp(b)),
            _ => None,
        }
    }
}
