//! A filter as SQL, as far as that goes: what it keeps is a superset of what [`Filter::matches`] keeps, which decides.

use super::row::Id;
use crate::model::{Cmp, Field, Filter, MemoryId, Value};
use rusqlite::ToSql;

/// A condition on `memories m` and what is bound to it.
#[derive(Default)]
pub(super) struct Prefilter {
    /// ` AND ...`, or empty.
    pub sql: String,
    /// Bound after the parameters that were there.
    pub params: Vec<Box<dyn ToSql>>,
    /// Whether `matches` looks at the text or the metadata: if not, they are not read.
    pub needs_text: bool,
}

impl Prefilter {
    /// `first` is the number of the first parameter it may bind.
    pub fn of(filter: Option<&Filter>, first: usize) -> Self {
        let mut this = Self { needs_text: filter.is_some_and(needs_text), ..Self::default() };
        if let Some(condition) = filter.and_then(|f| this.translate(f, first)) {
            this.sql = format!(" AND {condition}");
        }
        this
    }

    /// `None` where the filter cannot be told in SQL: then everything may match.
    fn translate(&mut self, filter: &Filter, first: usize) -> Option<String> {
        match filter {
            Filter::And(list) => {
                let mut parts: Vec<_> = list.iter().filter_map(|f| self.translate(f, first)).collect();
                // In place of `IS NOT NULL` alone: the index by key.
                if let Some(key) = Filter::claim_key(list) {
                    parts.push(format!("m.claim_key = {}", self.push(Box::new(key), first)));
                }
                (!parts.is_empty()).then(|| format!("({})", parts.join(" AND ")))
            }
            Filter::Or(list) => {
                let bound = self.params.len();
                let parts: Option<Vec<_>> = list.iter().map(|f| self.translate(f, first)).collect();
                if parts.is_none() {
                    // Nothing may stay bound that no condition names.
                    self.params.truncate(bound);
                }
                parts.filter(|p| !p.is_empty()).map(|p| format!("({})", p.join(" OR ")))
            }
            Filter::Not(_) => None,
            Filter::Cmp(field, cmp) => self.compare(field, cmp, first),
        }
    }

    fn compare(&mut self, field: &Field, cmp: &Cmp, first: usize) -> Option<String> {
        if field.is_of_claim() {
            return Self::claim_cmp(cmp);
        }
        let column = column(field)?;
        let (op, value) = match cmp {
            Cmp::Eq(Value::Null) => return Some(format!("m.{column} IS NULL")),
            Cmp::Eq(value) => ("=", value),
            Cmp::Gt(value) => (">", value),
            Cmp::Gte(value) => (">=", value),
            Cmp::Lt(value) => ("<", value),
            Cmp::Lte(value) => ("<=", value),
            Cmp::In(values) => {
                let bound: Option<Vec<_>> = values.iter().map(|v| bind(field, v)).collect();
                let names: Vec<_> = bound?.into_iter().map(|v| self.push(v, first)).collect();
                return Some(format!("m.{column} IN ({})", names.join(", ")));
            }
            Cmp::Ne(_) | Cmp::Nin(_) | Cmp::Contains(_) => return None,
        };
        // Ids are stored as bytes, which sort as their texts do only for equality's purposes.
        if *field == Field::Id && op != "=" {
            return None;
        }
        let value = bind(field, value)?;
        Some(format!("m.{column} {op} {}", self.push(value, first)))
    }

    /// Parts of claims are compared folded, which SQL cannot do: but only what has a claim has them.
    fn claim_cmp(cmp: &Cmp) -> Option<String> {
        match cmp {
            Cmp::Eq(Value::Null) => Some("m.claim_key IS NULL".to_owned()),
            Cmp::Ne(Value::Null) => Some("m.claim_key IS NOT NULL".to_owned()),
            Cmp::Ne(_) | Cmp::Nin(_) => None,
            Cmp::In(values) if values.contains(&Value::Null) => None,
            Cmp::Eq(_) | Cmp::In(_) | Cmp::Gt(_) | Cmp::Gte(_) | Cmp::Lt(_) | Cmp::Lte(_) | Cmp::Contains(_) => {
                Some("m.claim_key IS NOT NULL".to_owned())
            }
        }
    }

    fn push(&mut self, value: Box<dyn ToSql>, first: usize) -> String {
        self.params.push(value);
        format!("?{}", first + self.params.len() - 1)
    }
}

/// The column that holds exactly what the filter language sees in the field.
fn column(field: &Field) -> Option<&'static str> {
    Some(match field {
        Field::Id => "id",
        Field::Layer => "layer",
        Field::Kind => "kind",
        Field::Role => "role",
        Field::Speaker => "speaker",
        Field::SessionId => "session_id",
        Field::AgentId => "agent_id",
        Field::UserId => "user_id",
        Field::TrustLevel => "trust_level",
        Field::InfoClass => "info_class",
        Field::CreatedAt => "created_at",
        Field::UpdatedAt => "updated_at",
        Field::OccurredAt => "occurred_at",
        Field::ValidTo => "valid_to",
        Field::ExpiresAt => "expires_at",
        Field::Importance => "importance",
        Field::Strength => "strength",
        Field::Confidence => "confidence",
        _ => return None,
    })
}

/// The value in the column's type; `None` where the types differ, which is for `matches` to judge.
fn bind(field: &Field, value: &Value) -> Option<Box<dyn ToSql>> {
    use Field::{
        Confidence, CreatedAt, ExpiresAt, Id as IdField, Importance, OccurredAt, Strength, UpdatedAt, ValidTo,
    };
    match (field, value) {
        (IdField, Value::Text(text)) => Some(Box::new(Id(text.parse::<MemoryId>().ok()?.0))),
        (CreatedAt | UpdatedAt | OccurredAt | ValidTo | ExpiresAt, Value::Time(t)) => Some(Box::new(t.micros())),
        (CreatedAt | UpdatedAt | OccurredAt | ValidTo | ExpiresAt, _) => None,
        (Importance | Strength | Confidence, Value::Number(n)) => Some(Box::new(*n)),
        (Importance | Strength | Confidence, _) => None,
        (_, Value::Text(text)) => Some(Box::new(text.clone())),
        _ => None,
    }
}

fn needs_text(filter: &Filter) -> bool {
    match filter {
        Filter::And(list) | Filter::Or(list) => list.iter().any(needs_text),
        Filter::Not(inner) => needs_text(inner),
        Filter::Cmp(field, _) => matches!(field, Field::Content | Field::Metadata(_)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn sql(filter: serde_json::Value) -> (String, usize) {
        let filter = Filter::parse(&filter).unwrap();
        let pre = Prefilter::of(Some(&filter), 2);
        (pre.sql, pre.params.len())
    }

    #[test]
    fn what_sql_cannot_say_is_left_out_of_and_and_opens_or() {
        assert_eq!(sql(json!({"speaker": "Ada"})), (" AND m.speaker = ?2".into(), 1));
        assert_eq!(sql(json!({"speaker": "Ada", "metadata.x": 1})), (" AND (m.speaker = ?2)".into(), 1));
        assert_eq!(sql(json!({"or": [{"speaker": "Ada"}, {"tags": "x"}]})), (String::new(), 0));
        assert_eq!(sql(json!({"not": {"speaker": "Ada"}})), (String::new(), 0));
        assert_eq!(sql(json!({"and": [{"or": [{"role": "a"}, {"tags": "x"}]}, {"role": "b"}]})).1, 1);
        assert_eq!(sql(json!({"kind": {"in": ["fact", "text"]}})), (" AND m.kind IN (?2, ?3)".into(), 2));
        assert_eq!(sql(json!({"kind": {"in": ["fact", null]}})), (String::new(), 0));
        let has = " AND m.claim_key IS NOT NULL";
        assert_eq!(sql(json!({"subject": "Ada"})), (has.into(), 0));
        assert_eq!(sql(json!({"object": {"ne": "Ada"}})), (String::new(), 0));
        assert_eq!(sql(json!({"relation": {"in": ["knows", null]}})), (String::new(), 0));
        let (condition, bound) = sql(json!({"subject": "Ada", "relation": "knows"}));
        assert!(condition.contains("m.claim_key = ?2") && bound == 1, "{condition}");
    }

    #[test]
    fn the_text_is_only_read_for_filters_on_it() {
        let of = |f| Prefilter::of(Some(&Filter::parse(&f).unwrap()), 2).needs_text;
        assert!(!of(json!({"speaker": "Ada"})));
        assert!(of(json!({"not": {"or": [{"content": {"contains": "x"}}]}})));
        assert!(of(json!({"metadata.a": 1})));
    }
}
