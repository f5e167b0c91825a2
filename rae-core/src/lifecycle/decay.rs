//! Decay: a ceiling over strength that sinks with each day without use.
//!
//! The ceiling is `0.5 ^ (days / half-life)`, days since the last use, an exponential forgetting curve (Ebbinghaus 1885; Murre and
//! Dros 2015, "Replication and Analysis of Ebbinghaus' Forgetting Curve"). Use makes the half-life longer, with each doubling of the
//! number of uses by half of the layer's, at most to four times of it: what was practised at intervals lasts longer, with
//! diminishing returns (spacing effect: Cepeda et al. 2006; a half-life that grows with exposures: Settles and Meeder 2016, "A
//! Trainable Spaced Repetition Model for Language Learning").
//!
//! Decay is `min(strength, ceiling)` and never anything else. Between two uses the ceiling only sinks, so the order, the number and
//! the moments of runs do not matter: `min(min(s, c1), c2)` is `min(s, c2)`. No run needs to know of another one, nothing but the
//! strength itself is stored, and a run that died half way is simply run again.

use super::LifecyclePolicy;
use crate::model::{Life, Timestamp};

/// The ceiling moves in steps of this much. So a memory that nobody uses is written at most 20 times in its life, not daily.
pub const STRENGTH_STEP: f64 = 1.0 / STEPS;
/// What decay leaves of any strength.
pub const STRENGTH_LEAST: f64 = STRENGTH_STEP;

const STEPS: f64 = 20.0;
/// Part of the layer's half-life that each doubling of uses adds.
const GAIN: f64 = 0.5;
/// Most that uses stretch a half-life.
const STRETCH_MAX: f64 = 4.0;
/// Keeps what is a whole number of steps, but for the last bit, from being rounded up to the next one.
const SLACK: f64 = 1e-9;

/// What is left of full strength after `days` without use, with `uses` before that: 0.05 to 1, in steps of 0.05. Whole days
/// count.
pub fn retention(half_life_days: f64, uses: u64, days: f64) -> f64 {
    let doublings = f64::from(uses.saturating_add(1).ilog2());
    let half_life = half_life_days * (1.0 + GAIN * doublings).min(STRETCH_MAX);
    let left = 0.5_f64.powf(days.floor().max(0.0) / half_life);
    ((left * STEPS - SLACK).ceil() / STEPS).clamp(STRENGTH_LEAST, 1.0)
}

/// Strength at `now`: never more than it is.
pub(super) fn faded(policy: &LifecyclePolicy, life: &Life, now: Timestamp) -> f64 {
    let Some(half_life) = policy.half_life_of(life) else { return life.strength };
    let uses = life.access_count.saturating_add(u64::from(life.witness_count.saturating_sub(1)));
    life.strength.min(retention(half_life, uses, now.days_since(life.last_use())))
}
