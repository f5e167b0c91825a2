//! What is kept out of enrichment, and why.

use super::words::FILLERS;

/// Why nothing was read from a memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Skipped {
    /// "ok", "thanks!": says nothing.
    Acknowledgement,
    /// Instructions for an agent, loaded at its start.
    BootFile,
    /// Memories that this engine itself put into a prompt.
    Recalled,
    /// Said by a program: an assistant, a tool, the system.
    Machine,
    /// Code, a document, an image, a reflection: no statement of a person.
    Kind,
    /// Derived from other memories, or a fact already.
    Derived,
    /// Longer than what a person says at once.
    TooLong,
    /// Nothing but quotations, code, or a text to work on: no words of its speaker.
    Quoted,
    /// Over, or gone since it was queued.
    Gone,
}

impl Skipped {
    /// The name in audit rows.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Acknowledgement => "acknowledgement",
            Self::BootFile => "boot_file",
            Self::Recalled => "recalled",
            Self::Machine => "machine",
            Self::Kind => "kind",
            Self::Derived => "derived",
            Self::TooLong => "too_long",
            Self::Quoted => "quoted",
            Self::Gone => "gone",
        }
    }
}

/// Words that acknowledge, greet or thank.
const NODS: &[&str] = &[
    "ok",
    "okay",
    "k",
    "kk",
    "yes",
    "yep",
    "yeah",
    "yup",
    "no",
    "nope",
    "sure",
    "thanks",
    "thank",
    "thx",
    "ty",
    "you",
    "u",
    "great",
    "cool",
    "nice",
    "perfect",
    "good",
    "fine",
    "alright",
    "right",
    "got",
    "it",
    "understood",
    "will",
    "do",
    "done",
    "noted",
    "awesome",
    "lol",
    "haha",
    "hi",
    "hello",
    "hey",
    "bye",
    "goodbye",
    "welcome",
    "please",
    "continue",
    "go",
    "on",
    "ahead",
    "so",
    "much",
    "very",
    "a",
    "lot",
    "sounds",
    "works",
    "for",
    "me",
    "agreed",
    "exactly",
    "wow",
    "hmm",
    "hm",
    "ah",
    "oh",
    "i",
    "see",
    "all",
    "that",
    "is",
    "that's",
];
/// Words of a message that may be empty.
const NOD_WORDS_MAX: usize = 6;

/// Files that agents load at their start, as they name themselves in their first line or are named as a source.
const BOOT_FILES: &[&str] = &[
    "agents.md",
    "claude.md",
    "gemini.md",
    "soul.md",
    "identity.md",
    "tools.md",
    "heartbeat.md",
    "bootstrap.md",
    "boot.md",
    "user.md",
    "memory.md",
    ".cursorrules",
    "copilot-instructions.md",
    "system prompt",
];
/// How instructions for an agent begin.
const BOOT_STARTS: &[&str] = &[
    "you are a helpful",
    "you are an ai",
    "you are a coding",
    "you are an expert",
    "you are an assistant",
    "you are a personal",
    "your role is",
    "system:",
    "<system",
    "[system",
];

/// Whether a text only acknowledges.
pub(super) fn acknowledges(text: &str) -> bool {
    let low = text.to_lowercase().replace('’', "'");
    let words: Vec<&str> = low.split(|c: char| !c.is_alphanumeric() && c != '\'').filter(|w| !w.is_empty()).collect();
    words.len() <= NOD_WORDS_MAX && words.iter().all(|w| NODS.contains(w) || FILLERS.contains(w))
}

/// Whether a text, or a name of its source, is that of a file that an agent starts with.
pub(super) fn boots(text: &str, sources: &[String]) -> bool {
    let named = |source: &String| {
        let low = source.to_lowercase();
        let file = low.rsplit(['/', '\\']).next().unwrap_or(&low);
        BOOT_FILES.contains(&file)
    };
    let first = text.trim_start().lines().next().unwrap_or_default().to_lowercase();
    let heading = first.trim_start_matches('#').trim();
    let is_heading = first.starts_with('#')
        && BOOT_FILES.iter().any(|file| heading.split_whitespace().next() == Some(*file) || heading == *file);
    sources.iter().any(named) || is_heading || BOOT_STARTS.iter().any(|start| first.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acknowledgements_say_nothing() {
        for text in ["ok", "Thanks!", "OK, thank you so much", "👍", "...", "Got it.", "yes please"] {
            assert!(acknowledges(text), "{text}");
        }
        for text in ["I like tea", "yes, in Oslo", "ok I live in Rome"] {
            assert!(!acknowledges(text), "{text}");
        }
    }

    #[test]
    fn files_that_agents_start_with_are_known_by_name_or_by_how_they_begin() {
        assert!(boots("# AGENTS.md\n\nI live in Oslo.", &[]));
        assert!(boots("anything", &["/srv/agent/CLAUDE.md".to_owned()]));
        assert!(boots("You are a helpful assistant. My name is Ada.", &[]));
        assert!(!boots("I live in Oslo.", &["notes.md".to_owned()]));
    }
}
