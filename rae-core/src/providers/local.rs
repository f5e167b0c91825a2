//! all-MiniLM-L6-v2, or another BERT sentence encoder with mean pooling, from a local folder; and a BERT
//! cross-encoder that scores a text for a question ([`LocalReranker`]).
//!
//! The folder is the one its publisher gives: `config.json`, `model.safetensors` and `tokenizer.json`
//! or `vocab.txt`. Nothing is downloaded. What a file says that this code would compute otherwise is
//! refused on loading: a vector that is slightly wrong is found by nobody.

mod bert;
mod folder;
mod math;
mod rerank;
mod vocabulary;

pub use self::rerank::LocalReranker;
use self::{
    bert::{Bert, Input},
    folder::Config,
};
use super::wordpiece::WordPiece;
use crate::{
    error::{Error, Result},
    limits::{EMBED_BATCH_MAX, MODEL_BATCH_TOKENS, MODEL_BYTES_MAX, MODEL_THREADS},
    ports::{EmbedRole, Embedder},
};
use async_trait::async_trait;
use rayon::{
    ThreadPool, ThreadPoolBuilder,
    iter::{IntoParallelRefIterator, ParallelIterator},
};
use std::{fmt, fs, path::Path, thread};

/// BLAKE3 of the weights that are published as all-MiniLM-L6-v2.
const MINILM_BLAKE3: &str = "8087e9bf97c265f8435ed268733ecf3791825ad24850fd5d84d89e32ee3a589a";
const MINILM_NAME: &str = "all-MiniLM-L6-v2";
/// Hexadecimal digits of the BLAKE3 of the weights that stand in the id.
const REVISION_DIGITS: usize = 8;

/// A BERT sentence encoder as an [`Embedder`]; both sides of a search are embedded alike.
///
/// Reads the first `limits::MODEL_TOKENS_MAX` tokens of a text, fewer where the folder says so. The
/// vectors are unit vectors and depend on the text alone, to the last bit: not on the other texts of
/// the call. A call computes on at most `limits::MODEL_THREADS` threads of its own and blocks its
/// caller meanwhile.
pub struct LocalEmbedder {
    id: String,
    words: WordPiece,
    start: u32,
    end: u32,
    config: Config,
    model: Bert,
    threads: ThreadPool,
}

impl fmt::Debug for LocalEmbedder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalEmbedder").field("id", &self.id).finish_non_exhaustive()
    }
}

impl LocalEmbedder {
    /// Loads the model in `folder`. Its memory afterwards is that of the weights as `f32`, while
    /// loading twice that.
    ///
    /// The id is `name@revision/dim`, a function of the weights alone, so that a store opens wherever
    /// the folder lies: the revision is the start of the weights' BLAKE3, the name that of the
    /// published model with these weights or else the model's shape, as in `bert-l12-h768`.
    ///
    /// # Errors
    /// - `InvalidInput`: the folder or one of its files is missing or too large; the message names it.
    /// - `Unsupported`: another architecture, pooling or tokenizer, or one that wants a prompt.
    /// - `Corrupt`: a file is damaged, or the weights do not fit the configuration.
    /// - `Unavailable`: a file cannot be read, or no thread can be started.
    pub fn load(folder: &Path) -> Result<Self> {
        let in_folder = |e: Error| e.with_operation("load_model").with_context("folder", folder.display().to_string());
        Self::load_folder(folder).map_err(in_folder)
    }

    fn load_folder(folder: &Path) -> Result<Self> {
        if !fs::metadata(folder).is_ok_and(|m| m.is_dir()) {
            return Err(Error::invalid(format!("there is no model folder {}", folder.display())));
        }
        let config = Config::read(folder)?;
        let words = vocabulary::read(folder, &config)?;
        let (start, end) = (special(&words, "[CLS]")?, special(&words, "[SEP]")?);
        let weights = folder::read_required(folder, folder::WEIGHTS, MODEL_BYTES_MAX)?;
        let model = Bert::from_safetensors(&weights, &config, 1)?;
        let id = id_of(&blake3::hash(&weights).to_hex(), &config);
        Ok(Self { id, words, start, end, config, model, threads: threads()? })
    }

    /// `text` between `[CLS]` and `[SEP]`, or `None` where the model knows none of its tokens.
    fn tokens(&self, text: &str) -> Option<Input> {
        let mut ids = Vec::new();
        self.words.encode_into(text, self.config.tokens_max.saturating_sub(2), &mut ids);
        if ids.iter().all(|id| *id == self.words.unknown()) {
            return None;
        }
        ids.insert(0, self.start);
        ids.push(self.end);
        Some(Input { first: ids.len(), ids })
    }

    fn embed_all(&self, texts: &[&str]) -> Result<Vec<Option<Vec<f32>>>> {
        if texts.len() > EMBED_BATCH_MAX {
            return Err(Error::invalid(format!("{} texts at once, at most {EMBED_BATCH_MAX}", texts.len())));
        }
        let known = texts.iter().enumerate().filter_map(|(i, text)| Some((i, self.tokens(text)?))).collect();
        let vectors = in_batches(&self.threads, known, |inputs| self.model.encode(inputs))?;
        let mut out = vec![None; texts.len()];
        for (place, vector) in vectors {
            if let Some(slot) = out.get_mut(place) {
                *slot = unit(vector)?;
            }
        }
        Ok(out)
    }
}

#[async_trait]
impl Embedder for LocalEmbedder {
    fn id(&self) -> &str {
        &self.id
    }

    fn dim(&self) -> usize {
        self.config.hidden
    }

    async fn embed(&self, texts: &[&str], _role: EmbedRole) -> Result<Vec<Option<Vec<f32>>>> {
        self.embed_all(texts)
    }
}

/// The folder's name and the configuration's `_name_or_path` stay out: the one is the user's, the other
/// names the model that was trained further, or a folder of whoever trained it.
fn id_of(hash: &str, config: &Config) -> String {
    let revision = hash.get(..REVISION_DIGITS).unwrap_or(hash);
    let dim = config.hidden;
    if hash == MINILM_BLAKE3 {
        format!("{MINILM_NAME}@{revision}/{dim}")
    } else {
        format!("bert-l{}-h{dim}@{revision}/{dim}", config.layers)
    }
}

fn special(words: &WordPiece, token: &str) -> Result<u32> {
    words.special(token).ok_or_else(|| Error::corrupt(format!("the model's vocabulary has no {token}")))
}

fn threads() -> Result<ThreadPool> {
    ThreadPoolBuilder::new()
        .num_threads(MODEL_THREADS.min(thread::available_parallelism().map_or(1, usize::from)))
        .thread_name(|n| format!("rae-model-{n}"))
        .build()
        .map_err(|e| Error::unavailable("cannot start the threads of the local model").with_source(e))
}

/// Runs `model` over texts in batches on the model's threads; each answer with the place of its text.
fn in_batches<T: Send>(
    threads: &ThreadPool,
    mut texts: Vec<(usize, Input)>,
    model: impl Fn(&[&Input]) -> Result<Vec<T>> + Sync,
) -> Result<Vec<(usize, T)>> {
    // Texts of one length share the operations of attention.
    texts.sort_by_key(|(_, input)| input.ids.len());
    let run = |batch: &&[(usize, Input)]| {
        let inputs: Vec<&Input> = batch.iter().map(|(_, input)| input).collect();
        model(&inputs)
    };
    let answers: Vec<Vec<T>> = threads.install(|| batches(&texts).par_iter().map(run).collect::<Result<_>>())?;
    Ok(texts.iter().map(|(place, _)| *place).zip(answers.into_iter().flatten()).collect())
}

/// Cuts into runs of at most `MODEL_BATCH_TOKENS` tokens, or one text.
fn batches(texts: &[(usize, Input)]) -> Vec<&[(usize, Input)]> {
    let (mut out, mut from, mut tokens) = (Vec::new(), 0, 0);
    for (i, (_, input)) in texts.iter().enumerate() {
        if tokens + input.ids.len() > MODEL_BATCH_TOKENS && i > from {
            out.push(&texts[from..i]);
            (from, tokens) = (i, 0);
        }
        tokens += input.ids.len();
    }
    out.push(&texts[from..]);
    out.retain(|batch| !batch.is_empty());
    out
}

/// The vector at length one; `None` for a zero vector, which has no direction.
fn unit(mut vector: Vec<f32>) -> Result<Option<Vec<f32>>> {
    let norm = vector.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
    if !norm.is_finite() {
        return Err(Error::corrupt("the local model gives vectors that are not finite; its weights are damaged"));
    }
    if norm == 0.0 {
        return Ok(None);
    }
    #[expect(clippy::cast_possible_truncation, reason = "rounding to the vector's own precision")]
    vector.iter_mut().for_each(|x| *x = (f64::from(*x) / norm) as f32);
    Ok(Some(vector))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lengths(texts: &[usize]) -> Vec<Vec<usize>> {
        let texts: Vec<_> = texts.iter().map(|n| (0, Input { ids: vec![0; *n], first: *n })).collect();
        batches(&texts).iter().map(|b| b.iter().map(|(_, input)| input.ids.len()).collect()).collect()
    }

    #[test]
    fn batches_hold_all_texts_in_order_and_never_too_many_tokens() {
        assert!(lengths(&[]).is_empty());
        assert_eq!(lengths(&[3]), [[3]]);
        assert_eq!(lengths(&[256; 9]), [vec![256; 4], vec![256; 4], vec![256]]);
        assert_eq!(lengths(&[2, MODEL_BATCH_TOKENS + 1, 1]), [[2], [MODEL_BATCH_TOKENS + 1], [1]]);
    }

    #[test]
    fn a_vector_without_direction_is_none_and_one_that_is_not_finite_an_error() {
        assert_eq!(unit(vec![3.0, 4.0]).unwrap(), Some(vec![0.6, 0.8]));
        assert_eq!(unit(vec![0.0, 0.0]).unwrap(), None);
        assert!(unit(vec![f32::NAN, 1.0]).is_err() && unit(vec![f32::INFINITY]).is_err());
        assert_eq!(unit(vec![f32::MAX, 0.0]).unwrap(), Some(vec![1.0, 0.0]));
    }
}
