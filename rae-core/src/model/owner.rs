//! Whose something is.

use super::Memory;

/// The user and the agent that a memory belongs to: what sums up, or is compared, is of one owner, so that nobody's carry what another
/// said.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Owner {
    /// The user; `None` where it is nobody's.
    pub user_id: Option<String>,
    /// The agent; `None` where it is nobody's.
    pub agent_id: Option<String>,
}

impl Owner {
    /// The owner of a memory.
    pub fn of(memory: &Memory) -> Self {
        Self { user_id: memory.user_id.clone(), agent_id: memory.agent_id.clone() }
    }

    /// What tells it from all others in an id.
    pub(crate) fn parts(&self) -> [String; 2] {
        [&self.user_id, &self.agent_id].map(|name| match name {
            Some(name) => format!("={name}"),
            None => String::new(),
        })
    }
}
