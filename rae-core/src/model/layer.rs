//! The five layers and their policies.

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// Where a memory lives, from fleeting to lasting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[repr(u8)]
pub enum Layer {
    /// Raw impressions, gone after a day.
    Sensory,
    /// What the current task needs, bounded per session.
    Working,
    /// What happened: conversation turns and events.
    Episodic,
    /// What is known: facts and documents.
    Semantic,
    /// What was learned: lessons, strategies, reflections.
    Reflective,
}

/// How a layer treats its memories (contract.md section 2).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LayerPolicy {
    /// Importance where the caller gives none, 0 to 1.
    pub default_importance: f64,
    /// Time to live where the caller gives none, in seconds.
    pub ttl_seconds: Option<i64>,
    /// Most live memories; the oldest go. Counted per session when `capacity_per_session`, else per project.
    pub capacity: Option<usize>,
    /// Whether `capacity` counts per session.
    pub capacity_per_session: bool,
    /// Half-life of recency and decay, in days.
    pub half_life_days: Option<f64>,
}

impl Layer {
    /// All layers, from fleeting to lasting.
    pub const ALL: [Layer; 5] = [Self::Sensory, Self::Working, Self::Episodic, Self::Semantic, Self::Reflective];

    /// The layer's policy.
    pub const fn policy(self) -> LayerPolicy {
        const DAY: i64 = 86_400;
        let (default_importance, ttl_seconds, capacity, capacity_per_session, half_life_days) = match self {
            Self::Sensory => (0.1, Some(DAY), Some(1_000), false, Some(1.0)),
            Self::Working => (0.5, Some(7 * DAY), Some(100), true, Some(7.0)),
            Self::Episodic => (0.5, None, None, false, Some(90.0)),
            Self::Semantic => (0.7, None, None, false, Some(365.0)),
            Self::Reflective => (0.8, None, None, false, None),
        };
        LayerPolicy { default_importance, ttl_seconds, capacity, capacity_per_session, half_life_days }
    }

    /// The canonical name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sensory => "sensory",
            Self::Working => "working",
            Self::Episodic => "episodic",
            Self::Semantic => "semantic",
            Self::Reflective => "reflective",
        }
    }
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Layer {
    type Err = Error;
    /// Accepts the names and the old codes stm, wm, em, ltm, sm and rm.
    fn from_str(text: &str) -> Result<Self> {
        Ok(match text {
            "sensory" => Self::Sensory,
            "working" | "stm" | "wm" => Self::Working,
            "episodic" | "em" => Self::Episodic,
            "semantic" | "ltm" | "sm" => Self::Semantic,
            "reflective" | "rm" => Self::Reflective,
            _ => {
                return Err(Error::invalid(
                    "layer must be sensory, working (stm, wm), episodic (em), semantic (ltm, sm) or reflective (rm)",
                ));
            }
        })
    }
}

impl TryFrom<String> for Layer {
    type Error = Error;
    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<Layer> for String {
    fn from(layer: Layer) -> Self {
        layer.as_str().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back_and_old_codes_are_accepted() {
        for layer in Layer::ALL {
            assert_eq!(layer.as_str().parse::<Layer>().unwrap(), layer);
        }
        let old = [("stm", Layer::Working), ("wm", Layer::Working), ("em", Layer::Episodic), ("ltm", Layer::Semantic)];
        for (code, layer) in old.into_iter().chain([("sm", Layer::Semantic), ("rm", Layer::Reflective)]) {
            assert_eq!(code.parse::<Layer>().unwrap(), layer);
        }
        assert!("long-term".parse::<Layer>().is_err());
    }
}
