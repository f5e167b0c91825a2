//! The test embedders, with the same arithmetic in every language.

use crate::{
    Error, Result,
    ports::{EmbedRole, Embedder},
};
use async_trait::async_trait;
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// Counts of single letters or of pairs of bytes.
#[derive(Debug)]
pub(super) struct Counting {
    letters: bool,
    fails: Arc<AtomicBool>,
}

/// The embedder of this name; `None` for null, the built-in one.
pub fn by_name(name: Option<&str>, fails: &Arc<AtomicBool>) -> Option<Arc<dyn Embedder>> {
    let letters = match name? {
        "letters" => true,
        "pairs" => false,
        other => panic!("there is no test embedder {other:?}"),
    };
    Some(Arc::new(Counting { letters, fails: Arc::clone(fails) }))
}

#[async_trait]
impl Embedder for Counting {
    fn id(&self) -> &str {
        if self.letters { "letters@1/26" } else { "pairs@1/8" }
    }

    fn dim(&self) -> usize {
        if self.letters { 26 } else { 8 }
    }

    async fn embed(&self, texts: &[&str], _role: EmbedRole) -> Result<Vec<Option<Vec<f32>>>> {
        if self.fails.load(Ordering::Relaxed) {
            return Err(Error::unavailable("the embedder fails, as the scenario says").with_code("embedder_failed"));
        }
        let count = if self.letters { letters } else { pairs };
        Ok(texts.iter().map(|text| count(text)).collect())
    }
}

fn letters(text: &str) -> Option<Vec<f32>> {
    let mut counts = vec![0.0; 26];
    for b in text.bytes().map(|b| b.to_ascii_lowercase()).filter(u8::is_ascii_lowercase) {
        counts[usize::from(b - b'a')] += 1.0;
    }
    counts.iter().any(|&n| n > 0.0).then_some(counts)
}

fn pairs(text: &str) -> Option<Vec<f32>> {
    let mut counts = vec![0.0; 8];
    for pair in text.as_bytes().windows(2) {
        counts[(usize::from(pair[0]) * 31 + usize::from(pair[1])) % 8] += 1.0;
    }
    (text.len() > 1).then_some(counts)
}
