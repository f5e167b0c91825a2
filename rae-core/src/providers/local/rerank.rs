//! A cross-encoder: question and text are read together, and one number says how well they fit.

use super::{
    super::wordpiece::WordPiece,
    bert::{Bert, Head, Input},
    folder::{self, Config},
    in_batches, special, threads, vocabulary,
};
use crate::{
    error::{Error, Result},
    limits::{MODEL_BYTES_MAX, RERANK_TEXTS_MAX},
    ports::Reranker,
};
use async_trait::async_trait;
use rayon::ThreadPool;
use std::{fmt, fs, future::poll_fn, path::Path, task::Poll};

/// Hexadecimal digits of the BLAKE3 of the weights that stand in the id.
const REVISION_DIGITS: usize = 8;
/// Texts scored at once: between two pieces a caller's timeout, or its leaving, ends the call.
const PIECE: usize = 16;

/// A BERT cross-encoder with one label, such as ms-marco-MiniLM-L6-v2, as a [`Reranker`].
///
/// A score is the classifier's number as it is, without a sigmoid: any finite number, and only the order counts. Reads
/// `limits::RERANK_TOKENS_MAX` tokens of question and text together; where there are more, the longer of the two is cut first.
/// A call computes on at most `limits::MODEL_THREADS` threads of its own. It blocks its caller for 16 texts at a time and gives way
/// between them: a future that is dropped there computes no more.
pub struct LocalReranker {
    id: String,
    words: WordPiece,
    start: u32,
    end: u32,
    tokens_max: usize,
    model: Bert,
    head: Head,
    threads: ThreadPool,
}

impl fmt::Debug for LocalReranker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalReranker").field("id", &self.id).finish_non_exhaustive()
    }
}

impl LocalReranker {
    /// Loads the model in `folder`: `config.json`, `model.safetensors` and `tokenizer.json` or `vocab.txt`. The id is
    /// `cross-encoder-l6-h384@revision`: the model's shape and the start of its weights' BLAKE3.
    ///
    /// # Errors
    /// - `InvalidInput`: the folder or one of its files is missing or too large; the message names it.
    /// - `Unsupported`: another architecture or tokenizer, or another number of labels than one.
    /// - `Corrupt`: a file is damaged, or the weights do not fit the configuration; an encoder without a classifier is of these.
    /// - `Unavailable`: a file cannot be read, or no thread can be started.
    pub fn load(folder: &Path) -> Result<Self> {
        let in_folder = |e: Error| e.with_operation("load_model").with_context("folder", folder.display().to_string());
        Self::load_folder(folder).map_err(in_folder)
    }

    fn load_folder(folder: &Path) -> Result<Self> {
        if !fs::metadata(folder).is_ok_and(|m| m.is_dir()) {
            return Err(Error::invalid(format!("there is no model folder {}", folder.display())));
        }
        let config = Config::read_classifier(folder)?;
        let words = vocabulary::read(folder, &config)?;
        let (start, end) = (special(&words, "[CLS]")?, special(&words, "[SEP]")?);
        let weights = folder::read_required(folder, folder::WEIGHTS, MODEL_BYTES_MAX)?;
        let model = Bert::from_safetensors(&weights, &config, 2)?;
        let head = Head::from_safetensors(&weights, &config)?;
        let hash = blake3::hash(&weights).to_hex();
        let revision = hash.get(..REVISION_DIGITS).unwrap_or(&hash);
        let id = format!("cross-encoder-l{}-h{}@{revision}", config.layers, config.hidden);
        Ok(Self { id, words, start, end, tokens_max: config.tokens_max, model, head, threads: threads()? })
    }

    /// `[CLS] query [SEP] text [SEP]`.
    fn pair(&self, query: &[u32], text: &str) -> Input {
        let room = self.tokens_max.saturating_sub(3);
        let mut tokens = Vec::new();
        self.words.encode_into(text, room, &mut tokens);
        let (left, right) = shares(query.len(), tokens.len(), room);
        let mut ids = vec![self.start];
        ids.extend(query.iter().take(left));
        ids.push(self.end);
        let first = ids.len();
        ids.extend(tokens.iter().take(right));
        ids.push(self.end);
        Input { ids, first }
    }

    fn score_piece(&self, query: &[u32], texts: &[&str]) -> Result<Vec<f32>> {
        let pairs = texts.iter().map(|text| self.pair(query, text)).enumerate().collect();
        let mut scores = in_batches(&self.threads, pairs, |inputs| self.model.score(&self.head, inputs))?;
        scores.sort_by_key(|(place, _)| *place);
        if !scores.iter().all(|(_, score)| score.is_finite()) {
            return Err(Error::corrupt("the local model gives scores that are not finite; its weights are damaged"));
        }
        Ok(scores.into_iter().map(|(_, score)| score).collect())
    }
}

#[async_trait]
impl Reranker for LocalReranker {
    fn id(&self) -> &str {
        &self.id
    }

    async fn score(&self, query: &str, texts: &[&str]) -> Result<Vec<f32>> {
        if texts.len() > RERANK_TEXTS_MAX {
            return Err(Error::invalid(format!("{} texts at once, at most {RERANK_TEXTS_MAX}", texts.len())));
        }
        let mut asked = Vec::new();
        self.words.encode_into(query, self.tokens_max.saturating_sub(3), &mut asked);
        let mut scores = Vec::with_capacity(texts.len());
        for piece in texts.chunks(PIECE) {
            if !scores.is_empty() {
                give_way().await;
            }
            scores.extend(self.score_piece(&asked, piece)?);
        }
        Ok(scores)
    }
}

/// Pending once, on any executor.
async fn give_way() {
    let mut gave = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut gave, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// How many tokens of each stay in `room`: the longer gives first, as "longest first" of the tokenizers library does.
fn shares(left: usize, right: usize, room: usize) -> (usize, usize) {
    if left + right <= room {
        return (left, right);
    }
    let (short, long) = (left.min(right), left.max(right));
    let (short, long) = if short * 2 <= room { (short, long.min(room - short)) } else { (room / 2, room - room / 2) };
    if left <= right { (short, long) } else { (long, short) }
}

#[cfg(test)]
mod tests {
    use super::shares;

    #[test]
    fn the_longer_of_the_two_is_cut_first() {
        for (left, right, expected) in [
            (3, 4, (3, 4)),
            (3, 40, (3, 7)),
            (40, 3, (7, 3)),
            (5, 40, (5, 5)),
            (40, 40, (5, 5)),
            (6, 40, (5, 5)),
            (0, 40, (0, 10)),
        ] {
            assert_eq!(shares(left, right, 10), expected, "{left} {right}");
        }
        assert_eq!(shares(9, 8, 11), (6, 5));
    }
}
