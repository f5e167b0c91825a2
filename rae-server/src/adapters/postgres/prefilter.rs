//! A filter as SQL, as far as that goes: what it keeps is a superset of what [`Filter::matches`] keeps, which decides.
//!
//! Values are bound, never spelled out, and compared for equality, order or plain containment: there is no `LIKE` and no
//! pattern, so nothing in a value has a meaning.

use rae_core::model::{Cmp, Field, Filter, MemoryId, Value};
use tokio_postgres::types::ToSql;

/// A value to be bound.
pub(super) type Param = Box<dyn ToSql + Sync + Send>;

/// A condition on `memories m` and what is bound to it.
#[derive(Default)]
pub(super) struct Prefilter {
    /// ` AND ...`, or empty.
    pub sql: String,
    /// Bound after the parameters that were there.
    pub params: Vec<Param>,
    /// Whether `matches` looks at the text or the metadata: if not, they are not read.
    pub needs_text: bool,
    /// Whether the condition keeps exactly what `matches` keeps.
    pub is_exact: bool,
}

impl Prefilter {
    /// `first` is the number of the first parameter it may bind.
    pub fn of(filter: Option<&Filter>, first: usize) -> Self {
        let mut this = Self { needs_text: filter.is_some_and(needs_text), is_exact: true, ..Self::default() };
        match filter.map(|f| this.translate(f, first)) {
            Some(Some(condition)) => this.sql = format!(" AND {condition}"),
            Some(None) => this.is_exact = filter.is_some_and(|f| matches!(f, Filter::And(list) if list.is_empty())),
            None => {}
        }
        this
    }

    /// `None` where the filter cannot be told in SQL: then everything may match.
    fn translate(&mut self, filter: &Filter, first: usize) -> Option<String> {
        match filter {
            Filter::And(list) => {
                let mut parts: Vec<_> = list.iter().filter_map(|f| self.translate(f, first)).collect();
                self.is_exact &= parts.len() == list.len();
                // In place of `IS NOT NULL` alone: the index by key.
                if let Some(key) = Filter::claim_key(list) {
                    parts.push(format!("m.claim_key = {}", self.push(Box::new(key.to_vec()), Kind::Bytes, first)));
                }
                (!parts.is_empty()).then(|| format!("({})", parts.join(" AND ")))
            }
            Filter::Or(list) => {
                let bound = self.params.len();
                let parts: Option<Vec<_>> = list.iter().map(|f| self.translate(f, first)).collect();
                if parts.is_none() {
                    // Nothing may stay bound that no condition names.
                    self.params.truncate(bound);
                    self.is_exact = false;
                }
                parts.filter(|p| !p.is_empty()).map(|p| format!("({})", p.join(" OR ")))
            }
            Filter::Not(_) => {
                self.is_exact = false;
                None
            }
            Filter::Cmp(field, cmp) => {
                let condition = self.compare(field, cmp, first);
                self.is_exact &= condition.is_some();
                condition
            }
        }
    }

    fn compare(&mut self, field: &Field, cmp: &Cmp, first: usize) -> Option<String> {
        if field.is_of_claim() {
            return self.claim_cmp(cmp);
        }
        if *field == Field::Tags {
            return self.has_tag(cmp, first);
        }
        let (column, kind) = column(field)?;
        let (op, value) = match cmp {
            Cmp::Eq(Value::Null) => return Some(format!("m.{column} IS NULL")),
            Cmp::Eq(value) => ("=", value),
            Cmp::Gt(value) => (">", value),
            Cmp::Gte(value) => (">=", value),
            Cmp::Lt(value) => ("<", value),
            Cmp::Lte(value) => ("<=", value),
            Cmp::In(values) => {
                let bound: Option<Vec<_>> = values.iter().map(|v| bind(kind, v)).collect();
                let names: Vec<_> = bound?.into_iter().map(|v| self.push(v, kind, first)).collect();
                return (!names.is_empty()).then(|| format!("m.{column} IN ({})", names.join(", ")));
            }
            Cmp::Contains(value) if kind == Kind::Bytes => {
                let name = self.push(bind(kind, value)?, kind, first);
                return Some(format!("position({name} in m.{column}) > 0"));
            }
            Cmp::Ne(_) | Cmp::Nin(_) | Cmp::Contains(_) => return None,
        };
        // The filter language sees an id as text, whose order the database need not share.
        if kind == Kind::Id && op != "=" {
            return None;
        }
        let value = bind(kind, value)?;
        Some(format!("m.{column} {op} {}", self.push(value, kind, first)))
    }

    /// Tags are a JSON list as one text: a tag that is in the list is in the text, quoted. The reverse need not hold.
    fn has_tag(&mut self, cmp: &Cmp, first: usize) -> Option<String> {
        self.is_exact = false;
        let (Cmp::Eq(Value::Text(tag)) | Cmp::Contains(Value::Text(tag))) = cmp else { return None };
        let quoted = serde_json::to_string(tag).ok()?;
        let name = self.push(Box::new(quoted), Kind::Text, first);
        Some(format!("position({name} in m.tags) > 0"))
    }

    /// Parts of claims are compared folded, which SQL cannot do: but only what has a claim has them.
    fn claim_cmp(&mut self, cmp: &Cmp) -> Option<String> {
        match cmp {
            Cmp::Eq(Value::Null) => return Some("m.claim_key IS NULL".to_owned()),
            Cmp::Ne(Value::Null) => return Some("m.claim_key IS NOT NULL".to_owned()),
            Cmp::Ne(_) | Cmp::Nin(_) => return None,
            Cmp::In(values) if values.contains(&Value::Null) => return None,
            Cmp::Eq(_) | Cmp::In(_) | Cmp::Gt(_) | Cmp::Gte(_) | Cmp::Lt(_) | Cmp::Lte(_) | Cmp::Contains(_) => {}
        }
        self.is_exact = false;
        Some("m.claim_key IS NOT NULL".to_owned())
    }

    fn push(&mut self, value: Param, kind: Kind, first: usize) -> String {
        self.params.push(value);
        format!("${}::{}", first + self.params.len() - 1, kind.sql())
    }
}

/// How a field is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Id,
    Text,
    Bytes,
    Time,
    Number,
}

impl Kind {
    fn sql(self) -> &'static str {
        match self {
            Self::Id => "uuid",
            Self::Text => "text",
            Self::Bytes => "bytea",
            Self::Time => "bigint",
            Self::Number => "float8",
        }
    }
}

/// The column that holds exactly what the filter language sees in the field.
fn column(field: &Field) -> Option<(&'static str, Kind)> {
    Some(match field {
        Field::Id => ("id", Kind::Id),
        Field::Layer => ("layer", Kind::Text),
        Field::Kind => ("kind", Kind::Text),
        Field::Role => ("role", Kind::Bytes),
        Field::Speaker => ("speaker", Kind::Bytes),
        Field::SessionId => ("session_id", Kind::Bytes),
        Field::AgentId => ("agent_id", Kind::Bytes),
        Field::UserId => ("user_id", Kind::Bytes),
        Field::TrustLevel => ("trust_level", Kind::Text),
        Field::InfoClass => ("info_class", Kind::Text),
        Field::Content => ("content", Kind::Bytes),
        Field::CreatedAt => ("created_at", Kind::Time),
        Field::UpdatedAt => ("updated_at", Kind::Time),
        Field::OccurredAt => ("occurred_at", Kind::Time),
        Field::ValidTo => ("valid_to", Kind::Time),
        Field::ExpiresAt => ("expires_at", Kind::Time),
        Field::Importance => ("importance", Kind::Number),
        Field::Strength => ("strength", Kind::Number),
        Field::Confidence => ("confidence", Kind::Number),
        _ => return None,
    })
}

/// The value in the column's type; `None` where the types differ, which is for `matches` to judge.
fn bind(kind: Kind, value: &Value) -> Option<Param> {
    Some(match (kind, value) {
        (Kind::Id, Value::Text(text)) => {
            Box::new(text.parse::<MemoryId>().ok().filter(|id| id.to_string() == *text)?.0)
        }
        (Kind::Time, Value::Time(t)) => Box::new(t.micros()),
        (Kind::Number, Value::Number(n)) => Box::new(*n),
        (Kind::Bytes, Value::Text(text)) => Box::new(text.clone().into_bytes()),
        // The names of enums have no NUL: a text with one equals none of them.
        (Kind::Text, Value::Text(text)) if !text.contains('\0') => Box::new(text.clone()),
        _ => return None,
    })
}

fn needs_text(filter: &Filter) -> bool {
    match filter {
        Filter::And(list) | Filter::Or(list) => list.iter().any(needs_text),
        Filter::Not(inner) => needs_text(inner),
        Filter::Cmp(field, _) => matches!(field, Field::Content | Field::Metadata(_)),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // a test reports by panicking
mod tests {
    use super::*;
    use serde_json::json;

    fn of(filter: serde_json::Value) -> (String, usize, bool) {
        let filter = Filter::parse(&filter).unwrap();
        let pre = Prefilter::of(Some(&filter), 2);
        (pre.sql, pre.params.len(), pre.is_exact)
    }

    #[test]
    fn what_sql_cannot_say_is_left_out_of_and_and_opens_or() {
        assert_eq!(of(json!({"speaker": "Ada"})), (" AND m.speaker = $2::bytea".into(), 1, true));
        assert_eq!(of(json!({"speaker": "A", "metadata.x": 1})), (" AND (m.speaker = $2::bytea)".into(), 1, false));
        assert_eq!(of(json!({"or": [{"speaker": "Ada"}, {"metadata.x": "x"}]})), (String::new(), 0, false));
        assert_eq!(of(json!({"not": {"speaker": "Ada"}})), (String::new(), 0, false));
        assert_eq!(of(json!({"and": [{"or": [{"role": "a"}, {"source": "x"}]}, {"role": "b"}]})).1, 1);
        assert_eq!(
            of(json!({"kind": {"in": ["fact", "text"]}})),
            (" AND m.kind IN ($2::text, $3::text)".into(), 2, true)
        );
        assert_eq!(of(json!({"kind": {"in": ["fact", null]}})), (String::new(), 0, false));
        assert_eq!(of(json!({"subject": "Ada"})), (" AND m.claim_key IS NOT NULL".into(), 0, false));
        assert_eq!(of(json!({"subject": null})), (" AND m.claim_key IS NULL".into(), 0, true));
        assert_eq!(of(json!({"object": {"ne": "Ada"}})), (String::new(), 0, false));
        let (condition, bound, is_exact) = of(json!({"subject": "Ada", "relation": "knows"}));
        assert!(condition.contains("m.claim_key = $2::bytea") && bound == 1 && !is_exact, "{condition}");
        assert_eq!(of(json!({})), (String::new(), 0, true));
        assert!(of(json!({"content": {"contains": "%"}})).2);
        assert!(!of(json!({"tags": "x"})).2, "a tag may stand inside another one, quoted");
    }

    #[test]
    fn the_text_is_only_read_for_filters_on_it() {
        let of = |f| Prefilter::of(Some(&Filter::parse(&f).unwrap()), 2).needs_text;
        assert!(!of(json!({"speaker": "Ada"})));
        assert!(of(json!({"not": {"or": [{"content": {"contains": "x"}}]}})));
        assert!(of(json!({"metadata.a": 1})));
    }
}
