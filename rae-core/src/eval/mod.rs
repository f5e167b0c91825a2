//! How good recall is on labelled questions: the figures of one run, and what differs between two. Pure: no I/O, no clock.
//!
//! Relevance is binary. The measures are those of the field (Manning, Raghavan, Schütze: "Introduction to Information Retrieval",
//! chapter 8; nDCG by Järvelin and Kekäläinen, 2002), each the mean over the questions:
//! - `recall`: labels that a hit among the first k meets, of all labels of the question;
//! - `mrr`: 1 / the rank of the first hit that meets a label, 0 where none does;
//! - `ndcg`: the sum of 1 / log2(rank + 1) over the hits that meet a label, of the greatest such sum;
//! - `hit_rate`: 1 where any label is met.

mod compare;
mod report;

pub use compare::{Comparison, Difference, MetricChange};

use crate::{
    error::{Error, Result},
    limits::{EVAL_LABELS_MAX, EVAL_QUESTIONS_MAX},
    model::{MemoryId, Timestamp},
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// What makes a hit right.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Label {
    /// It is this memory.
    Id(MemoryId),
    /// It contains this text, whatever its case: for those who know what was said and not under which id.
    Text(String),
}

/// A question and what should be found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// The question as it would be asked.
    pub query: String,
    /// At least one.
    pub relevant: Vec<Label>,
}

/// Refuses what cannot be judged: no questions, too many, one without a label, one that is asked twice.
pub fn check(questions: &[Question]) -> Result<()> {
    if questions.is_empty() || questions.len() > EVAL_QUESTIONS_MAX {
        let message = format!("{} questions were given; give 1 to {EVAL_QUESTIONS_MAX}", questions.len());
        return Err(Error::invalid(message));
    }
    let mut seen = BTreeSet::new();
    for (i, question) in questions.iter().enumerate() {
        let labels = question.relevant.len();
        if labels == 0 || labels > EVAL_LABELS_MAX {
            return Err(Error::invalid(format!("question {i} has {labels} labels; give 1 to {EVAL_LABELS_MAX}")));
        }
        if question.relevant.iter().collect::<BTreeSet<_>>().len() < labels {
            return Err(Error::invalid(format!("question {i} has a label twice")));
        }
        if question.relevant.iter().any(|label| matches!(label, Label::Text(text) if text.trim().is_empty())) {
            return Err(Error::invalid(format!("question {i} has an empty text as a label; everything contains it")));
        }
        if !seen.insert(question.query.as_str()) {
            return Err(Error::invalid(format!("question {i} is asked twice; join the labels of the two")));
        }
    }
    Ok(())
}

/// A hit, as far as it is judged.
#[derive(Debug, Clone, Copy)]
pub struct Judged<'a> {
    /// Its id.
    pub id: MemoryId,
    /// Its text.
    pub content: &'a str,
}

/// How one question was answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Answered {
    /// The question.
    pub query: String,
    /// For each label the rank, from 1, of the first hit that meets it.
    pub ranks: Vec<Option<u32>>,
    /// The hits, best first.
    pub hits: Vec<MemoryId>,
    /// Share of the labels that were met.
    pub recall: f64,
    /// 1 / the first rank.
    pub mrr: f64,
    /// Normalised discounted cumulative gain.
    pub ndcg: f64,
}

impl Answered {
    /// Judges the hits of a question, best first, of which at most `k` were asked for.
    pub fn judge(question: &Question, hits: &[Judged<'_>], k: usize) -> Self {
        let folded: Vec<String> = hits.iter().map(|hit| hit.content.to_lowercase()).collect();
        let meets = |label: &Label| match label {
            Label::Id(id) => hits.iter().position(|hit| hit.id == *id),
            Label::Text(text) => {
                let text = text.to_lowercase();
                folded.iter().position(|content| content.contains(&text))
            }
        };
        let rank = |place: usize| u32::try_from(place + 1).unwrap_or(u32::MAX);
        let ranks: Vec<Option<u32>> = question.relevant.iter().map(|label| meets(label).map(rank)).collect();
        // Two labels that one hit meets are one gain.
        let met: BTreeSet<u32> = ranks.iter().flatten().copied().collect();
        let labels = ranks.len().max(1);
        let gain = |rank: u32| 1.0 / f64::from(rank.saturating_add(1)).log2();
        // Labels that share a hit cannot fill two ranks, so the best order has fewer.
        let shared = ranks.iter().flatten().count() - met.len();
        let best: f64 = (1..=rank(labels - 1 - shared)).take(k.max(1)).map(gain).sum();
        Self {
            query: question.query.clone(),
            recall: ranks.iter().flatten().count() as f64 / labels as f64,
            mrr: met.first().map_or(0.0, |rank| 1.0 / f64::from(*rank)),
            // An empty sum of floats is -0.
            ndcg: met.iter().copied().map(gain).fold(0.0, |sum: f64, gain| sum + gain) / best,
            hits: hits.iter().map(|hit| hit.id).collect(),
            ranks,
        }
    }
}

/// Means over the questions, each 0 to 1.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Metrics {
    /// Share of the labels met.
    pub recall: f64,
    /// Reciprocal rank.
    pub mrr: f64,
    /// Normalised discounted cumulative gain.
    pub ndcg: f64,
    /// Share of the questions with any label met.
    pub hit_rate: f64,
}

impl Metrics {
    /// The names of the measures and their values, in the order they are told.
    pub fn named(&self) -> [(&'static str, f64); 4] {
        [("recall", self.recall), ("mrr", self.mrr), ("ndcg", self.ndcg), ("hit_rate", self.hit_rate)]
    }

    fn of(answers: &[Answered]) -> Self {
        let mean = |of: fn(&Answered) -> f64| answers.iter().map(of).sum::<f64>() / answers.len().max(1) as f64;
        Self {
            recall: mean(|a| a.recall),
            mrr: mean(|a| a.mrr),
            ndcg: mean(|a| a.ndcg),
            hit_rate: mean(|a| f64::from(u8::from(a.mrr > 0.0))),
        }
    }
}

/// A run over all questions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// When it began.
    pub at: Timestamp,
    /// How many hits were looked at.
    pub k: u32,
    /// The options that the questions were asked with, other than `k`.
    pub options: serde_json::Value,
    /// The embedder in use.
    pub embedder: String,
    /// Memories in the project.
    pub memories: u64,
    /// The figures.
    pub metrics: Metrics,
    /// Questions that some part of recall did not answer (see `degraded` of recall).
    pub degraded: u64,
    /// How each question was answered, in the order they were given.
    pub questions: Vec<Answered>,
}

impl Evaluation {
    /// Sets the figures from the answers.
    pub fn summed(mut self) -> Self {
        self.metrics = Metrics::of(&self.questions);
        self
    }

    /// The run in plain words: the figures and the questions that were answered worst.
    pub fn report(&self) -> String {
        report::run(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use uuid::Uuid;

    fn id(n: u128) -> MemoryId {
        MemoryId(Uuid::from_u128(n))
    }

    fn question(labels: &[u128]) -> Question {
        Question { query: "q".into(), relevant: labels.iter().map(|n| Label::Id(id(*n))).collect() }
    }

    fn hits(ids: &[u128]) -> Vec<Judged<'static>> {
        ids.iter().map(|n| Judged { id: id(*n), content: "" }).collect()
    }

    #[test]
    fn the_measures_are_those_of_a_calculation_by_hand() {
        // Met at ranks 2 and 4 of 3 labels: DCG = 1/log2(3) + 1/log2(5), ideal = 1 + 1/log2(3) + 1/2.
        let answered = Answered::judge(&question(&[7, 8, 9]), &hits(&[1, 7, 2, 8, 3]), 10);
        assert_eq!(answered.ranks, [Some(2), Some(4), None]);
        assert!((answered.recall - 2.0 / 3.0).abs() < 1e-12);
        assert!((answered.mrr - 0.5).abs() < 1e-12);
        let by_hand = (1.0 / 3f64.log2() + 1.0 / 5f64.log2()) / (1.0 + 1.0 / 3f64.log2() + 0.5);
        assert!((answered.ndcg - by_hand).abs() < 1e-12, "{}", answered.ndcg);
        let none = Answered::judge(&question(&[7]), &[], 10);
        assert_eq!((none.recall, none.mrr, none.ndcg), (0.0, 0.0, 0.0));
    }

    #[test]
    fn a_text_is_met_by_the_first_hit_that_contains_it_in_any_case() {
        let question = Question { query: "q".into(), relevant: vec![Label::Text("red BOAT".into())] };
        let all = [Judged { id: id(1), content: "a green boat" }, Judged { id: id(2), content: "The Red Boat sank" }];
        assert_eq!(Answered::judge(&question, &all, 10).ranks, [Some(2)]);
    }

    #[test]
    fn two_labels_met_by_one_hit_are_a_perfect_answer() {
        let relevant = vec![Label::Text("red".into()), Label::Text("boat".into())];
        let question = Question { query: "q".into(), relevant };
        let answered = Answered::judge(&question, &[Judged { id: id(1), content: "a red boat" }], 10);
        assert_eq!((answered.recall, answered.mrr, answered.ndcg), (1.0, 1.0, 1.0));
    }

    #[test]
    fn what_cannot_be_judged_is_refused() {
        let text = |text: &str| Label::Text(text.to_owned());
        let of = |query: &str, relevant: Vec<Label>| Question { query: query.into(), relevant };
        for (questions, says) in [
            (vec![], "0 questions"),
            (vec![of("a", vec![])], "question 0 has 0 labels"),
            (vec![of("a", vec![text("x"), text("x")])], "twice"),
            (vec![of("a", vec![text(" ")])], "empty text"),
            (vec![of("a", vec![text("x")]), of("a", vec![text("y")])], "question 1 is asked twice"),
        ] {
            assert!(check(&questions).unwrap_err().message().contains(says), "{says}");
        }
        check(&[of("a", vec![text("x")])]).unwrap();
    }

    proptest! {
        #[test]
        fn measures_lie_between_0_and_1_and_the_best_order_gives_1(
            labels in prop::collection::btree_set(0u128..20, 1..6),
            found in prop::collection::btree_set(0u128..20, 0..12),
        ) {
            let labels: Vec<u128> = labels.into_iter().collect();
            let found: Vec<u128> = found.into_iter().collect();
            let answered = Answered::judge(&question(&labels), &hits(&found), 12);
            for value in [answered.recall, answered.mrr, answered.ndcg] {
                prop_assert!((0.0..=1.0 + 1e-9).contains(&value), "{}", value);
            }
            let best = Answered::judge(&question(&labels), &hits(&labels), 12);
            prop_assert!((best.ndcg - 1.0).abs() < 1e-12 && best.recall == 1.0 && best.mrr == 1.0);
        }
    }
}
