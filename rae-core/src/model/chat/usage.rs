//! What a call used.

use crate::limits::USAGE_TOKENS_MAX;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Tokens of one call.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Usage {
    /// Tokens that were read, those from the provider's cache included.
    pub input_tokens: u64,
    /// Tokens of `input_tokens` that came from the provider's cache, at its lower price.
    pub cached_input_tokens: u64,
    /// Tokens of `input_tokens` that were written to the provider's cache, where it charges more for that.
    pub cache_write_tokens: u64,
    /// Tokens that were written, those of reasoning included.
    pub output_tokens: u64,
    /// Tokens of `output_tokens` that were reasoning.
    pub reasoning_tokens: u64,
    /// Whether they were counted here, since the provider did not say.
    pub estimated: bool,
}

impl Usage {
    /// A provider's count, made consistent: cached tokens are part of the input, reasoning tokens of the output. `None` where it
    /// cannot be one: no input at all (every request has some), or more than any model takes.
    pub fn believed(self) -> Option<Self> {
        let plausible = self.input_tokens > 0 && self.input_tokens.max(self.output_tokens) <= USAGE_TOKENS_MAX;
        plausible.then(|| Self {
            cached_input_tokens: self.cached_input_tokens.min(self.input_tokens),
            cache_write_tokens: self.cache_write_tokens.min(self.input_tokens),
            reasoning_tokens: self.reasoning_tokens.min(self.output_tokens),
            ..self
        })
    }

    /// Input and output.
    pub fn total_tokens(&self) -> u64 {
        self.input_tokens.saturating_add(self.output_tokens)
    }

    /// Reads `usage` of an OpenAI body. `None` where there is none that can be believed.
    pub fn from_openai(usage: &Value) -> Option<Self> {
        let number = |place: &str| usage.pointer(place).and_then(Value::as_u64);
        let input_tokens = number("/prompt_tokens")?;
        let reasoning_tokens = number("/completion_tokens_details/reasoning_tokens").unwrap_or(0);
        let mut output_tokens = number("/completion_tokens").unwrap_or(0);
        // Some compatible servers count reasoning beside the output instead of in it; their total tells.
        let beside = number("/total_tokens")
            .is_some_and(|total| total == input_tokens.saturating_add(output_tokens).saturating_add(reasoning_tokens));
        if reasoning_tokens > 0 && (beside || reasoning_tokens > output_tokens) {
            output_tokens = output_tokens.saturating_add(reasoning_tokens);
        }
        // DeepSeek has a name of its own for tokens from its cache.
        let cached_input_tokens =
            number("/prompt_tokens_details/cached_tokens").or_else(|| number("/prompt_cache_hit_tokens")).unwrap_or(0);
        let cache_write_tokens = number("/prompt_tokens_details/cache_write_tokens").unwrap_or(0);
        let counted = Self { input_tokens, cached_input_tokens, cache_write_tokens, ..Self::default() };
        Self { output_tokens, reasoning_tokens, ..counted }.believed()
    }

    /// `usage` of an OpenAI body.
    pub fn to_openai(&self) -> Value {
        json!({
            "prompt_tokens": self.input_tokens,
            "completion_tokens": self.output_tokens,
            "total_tokens": self.total_tokens(),
            "prompt_tokens_details": {
                "cached_tokens": self.cached_input_tokens,
                "cache_write_tokens": self.cache_write_tokens,
            },
            "completion_tokens_details": {"reasoning_tokens": self.reasoning_tokens},
        })
    }
}
