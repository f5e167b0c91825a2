//! A block of memories for a prompt, under a token budget.

use crate::{
    error::Result,
    lexical::mark,
    model::{Kind, Layer, Memory, MemoryId},
    ports::TokenCounter,
};
use std::fmt::Write;

/// First and last line of a block. They say where the text is from, so that it is not taken for news when it is fed back.
const OPEN: &str = "<memory source=\"rae\">\n";
const CLOSE: &str = "</memory>\n";
/// A memory shortened to less than this says nothing any more; it is left out.
const CUT_TOKENS_MIN: usize = 24;

/// Under which heading a memory stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Section {
    /// What holds of the person that the block is for.
    Profile,
    /// Lessons, strategies, and what lessons say together.
    Lessons,
    /// What was recalled.
    Memories,
    /// Summaries of sessions, days and weeks.
    Summaries,
    /// The last turns of the session.
    Recent,
}

impl Section {
    fn heading(self) -> &'static str {
        match self {
            Self::Profile => "Profile:\n",
            Self::Lessons => "Lessons:\n",
            Self::Memories => "Relevant memories:\n",
            Self::Summaries => "Earlier sessions:\n",
            Self::Recent => "Recent turns:\n",
        }
    }
}

/// A memory that was put in, with its place in the text in code points.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Packed {
    pub id: MemoryId,
    pub kind: Kind,
    pub layer: Layer,
    pub start: usize,
    pub end: usize,
    pub score: f64,
}

/// Fills a block entry by entry. The whole text is counted, not the sum of its parts: a tokenizer joins across borders.
pub(crate) struct Packer<'a> {
    tokens: &'a dyn TokenCounter,
    tokens_max: usize,
    body: String,
    section: Option<Section>,
    packed: Vec<Packed>,
}

impl<'a> Packer<'a> {
    pub fn new(tokens: &'a dyn TokenCounter, tokens_max: usize) -> Self {
        Self { tokens, tokens_max, body: String::new(), section: None, packed: Vec::new() }
    }

    /// Puts a memory in, shortened around `focus` (a byte range of its content) where it is too long; `false` when there is no
    /// room for anything useful of it.
    pub fn push(&mut self, section: Section, memory: &Memory, focus: (usize, usize), score: f64) -> Result<bool> {
        self.push_within(section, memory, focus, score, 0)
    }

    /// The same, leaving `reserve` tokens of the budget free.
    pub fn push_within(
        &mut self,
        section: Section,
        memory: &Memory,
        focus: (usize, usize),
        score: f64,
        reserve: usize,
    ) -> Result<bool> {
        let tokens_max = self.tokens_max.saturating_sub(reserve);
        let heading = if self.section == Some(section) { "" } else { section.heading() };
        // What an earlier prompt was given of memories is not said once more.
        let said = mark::without_blocks(&memory.content);
        if said.is_empty() {
            return Ok(false);
        }
        let entry = entry(memory, &said);
        let free = tokens_max.saturating_sub(self.count(heading)?);
        let text = if self.tokens.count(&entry)? <= free {
            entry
        } else {
            match self.shortened(memory, focus, free)? {
                Some(text) => text,
                None => return Ok(false),
            }
        };
        let mut next = self.body.clone();
        next.push_str(heading);
        let start = OPEN.chars().count() + next.chars().count();
        next.push_str(&text);
        if self.tokens.count(&wrap(&next))? > tokens_max {
            return Ok(false);
        }
        let end = OPEN.chars().count() + next.trim_end_matches('\n').chars().count();
        self.body = next;
        self.section = Some(section);
        self.packed.push(Packed { id: memory.id, kind: memory.kind, layer: memory.layer, start, end, score });
        Ok(true)
    }

    /// Memories that are in.
    pub fn len(&self) -> usize {
        self.packed.len()
    }

    /// Tokens used so far; 0 while nothing is in.
    pub fn len_tokens(&self) -> Result<usize> {
        if self.packed.is_empty() { Ok(0) } else { self.tokens.count(&self.body) }
    }

    /// The text, its exact token count and what is in it; empty when nothing was put in.
    pub fn finish(self) -> Result<(String, usize, Vec<Packed>)> {
        if self.packed.is_empty() {
            return Ok((String::new(), 0, Vec::new()));
        }
        let text = wrap(&self.body);
        let count = self.tokens.count(&text)?;
        Ok((text, count, self.packed))
    }

    /// Tokens of the block with `heading` begun.
    fn count(&self, heading: &str) -> Result<usize> {
        self.tokens.count(&wrap(&format!("{}{heading}", self.body)))
    }

    fn shortened(&self, memory: &Memory, focus: (usize, usize), free: usize) -> Result<Option<String>> {
        let frame = self.tokens.count(&entry(memory, "… …"))?;
        let room = free.saturating_sub(frame + 2);
        if room < CUT_TOKENS_MIN {
            return Ok(None);
        }
        let from = if focus.1 <= memory.content.len() { focus.0 } else { 0 };
        // A piece begins in no block.
        let tail = mark::without_blocks(memory.content.get(from..).unwrap_or(&memory.content));
        let kept = self.tokens.truncate(&tail, room)?;
        let before = if from > 0 { "… " } else { "" };
        let after = if kept.len() < tail.len() { " …" } else { "" };
        Ok(Some(entry(memory, &format!("{before}{}{after}", kept.trim()))))
    }
}

fn wrap(body: &str) -> String {
    format!("{OPEN}{body}{CLOSE}")
}

/// `- [8 May, 2023] Caroline: text` on one line per memory; line breaks inside it are indented.
fn entry(memory: &Memory, content: &str) -> String {
    let mut out = String::from("- ");
    if let Some(at) = memory.occurred_at {
        // Writing to a String cannot fail.
        let _ = write!(out, "[{}] ", at.in_words());
    }
    if let Some(who) = memory.speaker.as_deref().or(memory.role.as_deref()) {
        let _ = write!(out, "{}: ", harmless(who));
    }
    out.push_str(&harmless(content.trim()).replace('\n', "\n  "));
    out.push('\n');
    out
}

/// The text without anything that opens or closes a block: a memory must not be able to leave the one it stands in.
fn harmless(text: &str) -> String {
    const TAG: &[u8] = b"memory";
    let mut out = String::with_capacity(text.len());
    for (i, c) in text.char_indices() {
        out.push(c);
        let rest = text.as_bytes().get(i + 1..).unwrap_or_default();
        let rest = rest.strip_prefix(b"/").unwrap_or(rest).trim_ascii_start();
        if c == '<' && rest.get(..TAG.len()).is_some_and(|tag| tag.eq_ignore_ascii_case(TAG)) {
            out.push('\u{200b}');
        }
    }
    out
}
