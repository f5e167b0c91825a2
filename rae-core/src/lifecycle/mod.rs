//! Pure: how a memory fades while nobody uses it, and when it may go. `ops/lifecycle.rs` carries it out.

mod decay;
mod policy;

pub use decay::{STRENGTH_LEAST, STRENGTH_STEP, retention};
pub use policy::LifecyclePolicy;

use crate::model::{Life, Timestamp};

/// What is due for a memory.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Fate {
    /// Nothing.
    Stay,
    /// Its strength falls to this.
    Fade(f64),
    /// It fell below the floor of forgetting.
    Forget,
    /// It is older than its class or kind is kept.
    Retire,
}

/// What is due for `life` at `now`. Asking again after it was done gives [`Fate::Stay`], until a day passes.
pub(crate) fn fate(policy: &LifecyclePolicy, life: &Life, now: Timestamp) -> Fate {
    if policy.kept_days(life).is_some_and(|days| now.days_since(life.created_at) >= days) {
        return Fate::Retire;
    }
    if policy.is_protected(life) {
        return Fate::Stay;
    }
    let strength = decay::faded(policy, life, now);
    if policy.forgets(life, strength, now) {
        return Fate::Forget;
    }
    if strength < life.strength { Fate::Fade(strength) } else { Fate::Stay }
}

#[cfg(test)]
mod tests;
