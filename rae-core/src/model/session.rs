//! What happens in a session of an agent, and how one ends.

use super::memory::names;
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

names! {
    /// What sort of event it is.
    EventType, "type", {
        /// What the user said.
        UserInput = "user_input",
        /// A question to a model.
        LlmCall = "llm_call",
        /// A model's answer.
        LlmResponse = "llm_response",
        /// A tool is called.
        ToolCall = "tool_call",
        /// A tool's answer, or its error.
        ToolResponse = "tool_response",
        /// Something of the system's own.
        SystemEvent = "system_event",
        /// Something went wrong.
        ErrorEvent = "error_event",
    }
}

impl EventType {
    /// The role of its memory.
    pub const fn role(self) -> &'static str {
        match self {
            Self::UserInput => "user",
            Self::LlmCall | Self::LlmResponse => "assistant",
            Self::ToolCall | Self::ToolResponse => "tool",
            Self::SystemEvent | Self::ErrorEvent => "system",
        }
    }
}

names! {
    /// How a session ended.
    SessionOutcome, "outcome", {
        /// It did what it was for.
        Success = "success",
        /// It did not.
        Failure = "failure",
        /// It did some of it.
        Partial = "partial",
        /// It took too long.
        Timeout = "timeout",
        /// It broke.
        Error = "error",
    }
}

impl SessionOutcome {
    /// Whether something went wrong.
    pub const fn is_bad(self) -> bool {
        matches!(self, Self::Failure | Self::Timeout | Self::Error)
    }

    /// In words, after "the session ended".
    pub const fn in_words(self) -> &'static str {
        match self {
            Self::Success => "in success",
            Self::Failure => "in failure",
            Self::Partial => "with a part of it done",
            Self::Timeout => "because its time was over",
            Self::Error => "with an error",
        }
    }
}
