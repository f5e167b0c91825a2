//! Runs and comparisons in plain words.

use super::{Comparison, Difference, Evaluation};
use std::fmt::Write;

/// Questions that are told, of those answered worst.
const WORST: usize = 10;
/// Characters of a question that are told.
const SHOWN: usize = 80;

pub(super) fn run(run: &Evaluation) -> String {
    let mut out = String::new();
    let (n, k) = (run.questions.len(), run.k);
    line(&mut out, format_args!("{n} questions over {} memories, k = {k}, {}", run.memories, run.embedder));
    for (name, value) in run.metrics.named() {
        line(&mut out, format_args!("  {name:<9} {value:.3}"));
    }
    if run.degraded > 0 {
        line(&mut out, format_args!("  {} questions were answered by a part of recall only (degraded)", run.degraded));
    }
    let mut worst: Vec<_> = run.questions.iter().filter(|q| q.ndcg < 1.0).collect();
    worst.sort_by(|a, b| a.ndcg.total_cmp(&b.ndcg).then_with(|| a.query.cmp(&b.query)));
    if !worst.is_empty() {
        line(&mut out, format_args!("answered worst (nDCG, ranks of the right ones):"));
    }
    for question in worst.into_iter().take(WORST) {
        let ranks: Vec<String> = question.ranks.iter().map(|r| r.map_or("-".to_owned(), |r| r.to_string())).collect();
        line(&mut out, format_args!("  {:.2}  [{}]  {}", question.ndcg, ranks.join(" "), shown(&question.query)));
    }
    out
}

pub(super) fn comparison(found: &Comparison) -> String {
    let mut out = String::new();
    line(&mut out, format_args!("{} questions in both runs, {} in one alone", found.questions, found.left_out));
    for m in &found.metrics {
        let says = if m.significant || m.change == 0.0 { "" } else { "  (may be chance)" };
        line(
            &mut out,
            format_args!(
                "  {:<9} {:.3} -> {:.3}  {:+.3}  95 % from {:+.3} to {:+.3}{says}",
                m.metric, m.a, m.b, m.change, m.low, m.high
            ),
        );
    }
    let (same, of) = (found.unchanged, found.questions);
    line(&mut out, format_args!("the same hits in {same} of {of} questions; overlap of hits {:.3}", found.overlap));
    for (what, all) in [("lost", &found.lost), ("gained", &found.gained)] {
        if !all.is_empty() {
            line(&mut out, format_args!("{what} most (nDCG):"));
        }
        for Difference { query, a, b } in all {
            line(&mut out, format_args!("  {a:.2} -> {b:.2}  {}", shown(query)));
        }
    }
    out
}

fn shown(query: &str) -> String {
    let flat: String = query.chars().map(|c| if c.is_control() { ' ' } else { c }).take(SHOWN).collect();
    if query.chars().count() > SHOWN { format!("{flat}…") } else { flat }
}

fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a String does not fail.
    let _ = writeln!(out, "{text}");
}
