//! Two runs over the same questions: is one better, and what has drifted?

use super::{Answered, Evaluation, report};
use crate::{
    error::{Error, Result},
    limits::EVAL_QUESTIONS_MAX,
    model::MemoryId,
};
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, HashSet};

/// Resamples of the bootstrap: enough for two digits of the bounds.
const RESAMPLES: usize = 2_000;
/// Fewest questions that must differ: with five all on one side, chance does that once in sixteen times.
const DIFFER_MIN: usize = 6;
/// Questions that are told, of those that changed most.
const TOLD: usize = 10;

/// One measure in both runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MetricChange {
    /// Its name, as in `Metrics`.
    pub metric: String,
    /// In the first run.
    pub a: f64,
    /// In the second.
    pub b: f64,
    /// `b - a`.
    pub change: f64,
    /// Bounds of the change at 95 %, by a paired bootstrap over the questions (percentiles; Efron and Tibshirani, 1993, chapter 13).
    pub low: f64,
    /// The upper bound.
    pub high: f64,
    /// Whether the bounds leave out 0, and enough questions differ for that to mean something: six, as a sign test at 5 % needs.
    pub significant: bool,
}

/// A question that was answered otherwise.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// The question.
    pub query: String,
    /// nDCG in the first run.
    pub a: f64,
    /// nDCG in the second.
    pub b: f64,
}

/// What differs between two runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// Questions in both.
    pub questions: u64,
    /// Questions of one run alone, which are left out.
    pub left_out: u64,
    /// The measures.
    pub metrics: Vec<MetricChange>,
    /// Drift: the mean share of hits that both runs gave, of all that either gave (Jaccard); 1 when the same were found.
    pub overlap: f64,
    /// Questions with the same hits in the same order.
    pub unchanged: u64,
    /// Questions that lost most, worst first.
    pub lost: Vec<Difference>,
    /// Questions that gained most, best first.
    pub gained: Vec<Difference>,
}

impl Comparison {
    /// Compares `b` with `a`. InvalidInput where they share no question, looked at different numbers of hits, or are no
    /// runs that `evaluate` gives: too many questions, or one twice. The same two runs give the same bounds.
    pub fn between(a: &Evaluation, b: &Evaluation) -> Result<Self> {
        if a.k != b.k {
            let message = format!("one run looked at {} hits and the other at {}; run both with one k", a.k, b.k);
            return Err(Error::invalid(message));
        }
        let (of_a, _) = (by_query(a)?, by_query(b)?);
        let pairs: Vec<(&Answered, &Answered)> =
            b.questions.iter().filter_map(|q| of_a.get(q.query.as_str()).map(|found| (*found, q))).collect();
        if pairs.is_empty() {
            return Err(Error::invalid("the two runs share no question; run the same questions in both"));
        }
        let hit = |q: &Answered| f64::from(u8::from(q.mrr > 0.0));
        let measures: [(&str, fn(&Answered) -> f64); 4] =
            [("recall", |q| q.recall), ("mrr", |q| q.mrr), ("ndcg", |q| q.ndcg), ("hit_rate", hit)];
        let metrics = measures.iter().map(|(name, of)| change(name, &pairs, *of)).collect();
        let changes = |sign: f64| {
            let mut all: Vec<Difference> = pairs
                .iter()
                .map(|(a, b)| Difference { query: b.query.clone(), a: a.ndcg, b: b.ndcg })
                .filter(|d| (d.b - d.a) * sign > 1e-9)
                .collect();
            let by = |d: &Difference| (d.b - d.a) * sign;
            all.sort_by(|x, y| by(y).total_cmp(&by(x)).then_with(|| x.query.cmp(&y.query)));
            all.truncate(TOLD);
            all
        };
        let count = pairs.len();
        let left_out = |run: &Evaluation| run.questions.len().saturating_sub(count) as u64;
        Ok(Self {
            questions: count as u64,
            left_out: left_out(a).saturating_add(left_out(b)),
            metrics,
            overlap: pairs.iter().map(|(a, b)| overlap(&a.hits, &b.hits)).sum::<f64>() / count as f64,
            unchanged: pairs.iter().filter(|(a, b)| a.hits == b.hits).count() as u64,
            lost: changes(-1.0),
            gained: changes(1.0),
        })
    }

    /// The comparison in plain words.
    pub fn report(&self) -> String {
        report::comparison(self)
    }
}

/// The answers of a run by their question. Runs come from callers too, and each has a question once, as [`super::check`] sees to.
fn by_query(run: &Evaluation) -> Result<HashMap<&str, &Answered>> {
    let count = run.questions.len();
    if count > EVAL_QUESTIONS_MAX {
        return Err(Error::invalid(format!("a run has {count} questions; at most {EVAL_QUESTIONS_MAX} are compared")));
    }
    let is_share = |figure: f64| (0.0..=1.0).contains(&figure);
    if !run.questions.iter().all(|q| [q.recall, q.mrr, q.ndcg].into_iter().all(is_share)) {
        return Err(Error::invalid("a run has a figure outside of 0 to 1; give the runs as evaluate gave them"));
    }
    let found: HashMap<&str, &Answered> = run.questions.iter().map(|q| (q.query.as_str(), q)).collect();
    if found.len() < count {
        return Err(Error::invalid("a run has a question twice; give the runs as evaluate gave them"));
    }
    Ok(found)
}

fn overlap(a: &[MemoryId], b: &[MemoryId]) -> f64 {
    let (a, b): (HashSet<_>, HashSet<_>) = (a.iter().collect(), b.iter().collect());
    let either = a.union(&b).count();
    if either == 0 { 1.0 } else { a.intersection(&b).count() as f64 / either as f64 }
}

fn change(name: &str, pairs: &[(&Answered, &Answered)], of: fn(&Answered) -> f64) -> MetricChange {
    let count = pairs.len() as f64;
    let differences: Vec<f64> = pairs.iter().map(|(a, b)| of(b) - of(a)).collect();
    let (low, high) = bounds(&differences);
    let differ = differences.iter().filter(|d| d.abs() > 1e-12).count();
    let mean = |of: &dyn Fn(&(&Answered, &Answered)) -> f64| pairs.iter().map(of).sum::<f64>() / count;
    let (a, b) = (mean(&|(a, _)| of(a)), mean(&|(_, b)| of(b)));
    MetricChange {
        metric: name.to_owned(),
        a,
        b,
        change: b - a,
        low,
        high,
        significant: (low > 1e-12 || high < -1e-12) && differ >= DIFFER_MIN,
    }
}

/// The 2.5th and 97.5th percentile of the mean over resamples.
fn bounds(differences: &[f64]) -> (f64, f64) {
    let count = differences.len() as u64;
    let mut random = SplitMix(0x5241_4531);
    let mut means: Vec<f64> = (0..RESAMPLES)
        .map(|_| {
            let draw = |_| differences.get((random.next() % count) as usize).copied().unwrap_or_default();
            (0..count).map(draw).sum::<f64>() / count as f64
        })
        .collect();
    means.sort_by(f64::total_cmp);
    let at = |share: f64| means.get((share * (RESAMPLES - 1) as f64).round() as usize).copied().unwrap_or_default();
    (at(0.025), at(0.975))
}

/// SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014): the same bounds each time.
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        eval::Metrics,
        model::{MemoryId, Timestamp},
    };
    use uuid::Uuid;

    /// One label a question, met at these ranks.
    fn run(ranks: &[Option<u32>]) -> Evaluation {
        let answered = |(i, rank): (usize, &Option<u32>)| Answered {
            query: format!("question {i}"),
            ranks: vec![*rank],
            hits: (1..=5).map(|n| MemoryId(Uuid::from_u128(u128::from(n + rank.unwrap_or(9))))).collect(),
            recall: f64::from(u8::from(rank.is_some())),
            mrr: rank.map_or(0.0, |r| 1.0 / f64::from(r)),
            ndcg: rank.map_or(0.0, |r| 1.0 / f64::from(r + 1).log2()),
        };
        Evaluation {
            at: Timestamp::parse("2026-01-01").unwrap(),
            k: 5,
            options: serde_json::json!({}),
            embedder: "e/1".into(),
            memories: 9,
            metrics: Metrics::default(),
            degraded: 0,
            questions: ranks.iter().enumerate().map(answered).collect(),
        }
        .summed()
    }

    #[test]
    fn the_same_run_has_not_drifted() {
        let a = run(&[Some(1), None, Some(3)]);
        let same = Comparison::between(&a, &a).unwrap();
        assert_eq!((same.questions, same.left_out, same.unchanged), (3, 0, 3));
        assert!((same.overlap - 1.0).abs() < 1e-12 && same.lost.is_empty() && same.gained.is_empty());
        assert!(same.metrics.iter().all(|m| m.change == 0.0 && m.low == 0.0 && m.high == 0.0 && !m.significant));
    }

    #[test]
    fn a_clear_loss_is_significant_and_named_and_noise_is_not() {
        let before: Vec<_> = (0..40).map(|_| Some(1)).collect();
        let after: Vec<_> = (0..40).map(|i| if i % 2 == 0 { None } else { Some(1) }).collect();
        let loss = Comparison::between(&run(&before), &run(&after)).unwrap();
        let recall = &loss.metrics[0];
        assert!((recall.change + 0.5).abs() < 1e-12 && recall.significant && recall.high < 0.0);
        assert!(recall.low < recall.change && recall.change < recall.high);
        assert_eq!((loss.lost.len(), loss.gained.len(), loss.unchanged), (10, 0, 20));
        let noise: Vec<_> = (0..40).map(|i| if i == 3 { None } else { Some(1) }).collect();
        let noise = Comparison::between(&run(&before), &run(&noise)).unwrap();
        assert!(!noise.metrics[0].significant, "{:?}", noise.metrics[0]);
        assert_eq!(loss, Comparison::between(&run(&before), &run(&after)).unwrap(), "the same bounds each time");
        let few = Comparison::between(&run(&[Some(1); 5]), &run(&[None; 5])).unwrap();
        assert!(!few.metrics[0].significant, "five questions show nothing");
        assert!(loss.report().contains("question 0"), "{}", loss.report());
    }

    #[test]
    fn only_questions_of_both_are_compared() {
        let (a, mut b) = (run(&[Some(1), Some(2)]), run(&[Some(1), Some(2)]));
        b.questions[0].query = "another".into();
        let compared = Comparison::between(&a, &b).unwrap();
        assert_eq!((compared.questions, compared.left_out), (1, 2));
        b.questions.remove(1);
        assert!(Comparison::between(&a, &b).unwrap_err().message().contains("share no question"));
        b.k = 7;
        assert!(Comparison::between(&a, &b).unwrap_err().message().contains("one k"));
    }

    #[test]
    fn a_run_with_a_question_twice_or_too_many_is_refused() {
        let (a, mut b) = (run(&[Some(1)]), run(&[Some(1), Some(2), Some(3)]));
        for answered in &mut b.questions {
            answered.query = "question 0".into();
        }
        let long = run(&vec![None; EVAL_QUESTIONS_MAX + 1]);
        for (x, y, message) in [(&a, &b, "twice"), (&b, &a, "twice"), (&a, &long, "at most"), (&long, &a, "at most")] {
            assert!(Comparison::between(x, y).unwrap_err().message().contains(message));
        }
    }

    #[test]
    fn a_run_with_a_figure_that_no_run_has_is_refused() {
        for figure in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
            for part in 0..3 {
                let mut odd = run(&[Some(1)]);
                let answered = odd.questions.first_mut().unwrap();
                match part {
                    0 => answered.recall = figure,
                    1 => answered.mrr = figure,
                    _ => answered.ndcg = figure,
                }
                let refused = Comparison::between(&run(&[Some(1)]), &odd).unwrap_err();
                assert!(refused.message().contains("outside of 0 to 1"), "{figure} {part}");
            }
        }
    }
}
