//! The default embedder: a table with one vector per WordPiece token, compiled into the library.
//!
//! A text's vector is the mean of its tokens' rows, scaled to length 1. No model runs, so writes
//! stay fast and work offline. `assets/README.md` tells where the table comes from and how it was
//! measured; `scripts/build_static_table.py` makes it.

use std::collections::HashMap;
use std::fmt;
use std::sync::OnceLock;

use super::wordpiece::WordPiece;

/// The asset: magic, header length (u32), header lines `key=value`, one f16 scale per row, the
/// i8 rows, and the vocabulary, one token a line. All numbers are little endian.
static BUILTIN: &[u8] = include_bytes!("../../assets/minilm-static.bin");

const MAGIC: &[u8] = b"RAESTAT1";
/// Wider tables than any model has are a damaged header.
const DIM_MAX: usize = 4096;
/// The only text rules this reader knows.
const VOCABULARY_RULES: &str = "bert-uncased";
/// A shorter sum has no direction worth keeping: tokens that cancel out, or none at all.
const NORM_MIN: f32 = 1e-9;

/// A static embedding model: vocabulary, rows and their scales.
pub struct StaticTable {
    id: String,
    dim: usize,
    /// One factor per row; 0 marks a token that never counts, such as `[UNK]`.
    scales: Vec<f32>,
    /// `dim` bytes per row, each an i8.
    rows: &'static [u8],
    words: WordPiece,
}

impl fmt::Debug for StaticTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StaticTable")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl StaticTable {
    /// The table compiled into the library, read on first use.
    ///
    /// An asset that was damaged before it was compiled in gives a table without words, named
    /// `unreadable`: every text is then "no vector", and recall works from the words alone. A
    /// test reads the asset, so no build that passed its tests comes to that.
    #[must_use]
    pub fn builtin() -> &'static Self {
        static TABLE: OnceLock<StaticTable> = OnceLock::new();
        TABLE.get_or_init(|| Self::parse(BUILTIN).unwrap_or_else(|_| Self::unreadable()))
    }

    fn unreadable() -> Self {
        Self {
            id: "unreadable@0/0".to_owned(),
            dim: 0,
            scales: Vec::new(),
            rows: &[],
            words: WordPiece::default(),
        }
    }

    /// Reads a table; the rows and the vocabulary stay where they are.
    ///
    /// # Errors
    /// Says what is wrong with `bytes`. Nothing in them makes it panic or allocate more than a
    /// few times their size.
    pub fn parse(bytes: &'static [u8]) -> Result<Self, String> {
        let rest = bytes
            .strip_prefix(MAGIC)
            .ok_or("not a static table: wrong magic")?;
        let (length, rest) = rest
            .split_first_chunk::<4>()
            .ok_or("static table ends in its header")?;
        let length = usize::try_from(u32::from_le_bytes(*length)).map_err(|e| e.to_string())?;
        let (header, rest) = split(rest, length, "header")?;
        let header = Header::parse(header)?;
        let (dim, rows) = (header.number("dim")?, header.number("rows")?);
        if dim == 0 || dim > DIM_MAX || rows == 0 {
            return Err(format!("static table of {rows} rows by {dim} makes no sense"));
        }
        if header.text("vocab")? != VOCABULARY_RULES {
            return Err(format!("static table needs a vocabulary of {VOCABULARY_RULES}"));
        }
        let too_big = || "static table has too many rows".to_owned();
        let (scales, rest) = split(rest, rows.checked_mul(2).ok_or_else(too_big)?, "scales")?;
        let (table, rest) = split(rest, rows.checked_mul(dim).ok_or_else(too_big)?, "rows")?;
        let (words, rest) = split(rest, header.number("vocab_bytes")?, "vocabulary")?;
        if !rest.is_empty() {
            return Err(format!("static table has {} bytes too many", rest.len()));
        }
        let words = std::str::from_utf8(words).map_err(|e| format!("vocabulary: {e}"))?;
        let tokens = words.split('\n').count();
        if tokens != rows {
            return Err(format!("static table has {rows} rows for {tokens} tokens"));
        }
        Ok(Self {
            id: format!("{}@{}/{dim}", header.text("name")?, header.text("revision")?),
            dim,
            scales: read_scales(scales)?,
            rows: table,
            words: WordPiece::from_vocabulary(words)?,
        })
    }

    /// Numbers per vector.
    #[must_use]
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// `name@revision/dim`; vectors of different ids must never be compared.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The vector of the first `max_tokens` tokens of `text`, of length 1; `None` when none of
    /// them is known, so that nobody stores a vector without a direction.
    ///
    /// Unknown words count against `max_tokens` but not in the mean. The model this table stands
    /// in for reads 254 tokens.
    #[must_use]
    pub fn embed(&self, text: &str, max_tokens: usize) -> Option<Vec<f32>> {
        // Most texts are short: four bytes a token is a usual length of English.
        let mut ids = Vec::with_capacity(max_tokens.min(text.len() / 3 + 4));
        self.words.encode_into(text, max_tokens, &mut ids);
        let mut sum = vec![0.0_f32; self.dim];
        for id in ids {
            self.add_row(id, &mut sum);
        }
        // The mean and the sum have one direction, and only the direction is kept.
        let norm = sum.iter().map(|x| x * x).sum::<f32>().sqrt();
        if !norm.is_finite() || norm < NORM_MIN {
            return None;
        }
        let factor = 1.0 / norm;
        sum.iter_mut().for_each(|x| *x *= factor);
        Some(sum)
    }

    fn add_row(&self, id: u32, sum: &mut [f32]) {
        let Ok(row) = usize::try_from(id) else { return };
        let scale = self.scales.get(row).copied().unwrap_or(0.0);
        if scale == 0.0 {
            return;
        }
        let start = row * self.dim; // cannot overflow: `parse` holds rows * dim bytes
        if let Some(bytes) = self.rows.get(start..start + self.dim) {
            for (total, &byte) in sum.iter_mut().zip(bytes) {
                *total += scale * f32::from(i8::from_ne_bytes([byte]));
            }
        }
    }
}

/// The `key=value` lines of a table's header. Unknown keys are provenance, for people to read.
struct Header(HashMap<&'static str, &'static str>);

impl Header {
    fn parse(bytes: &'static [u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(bytes).map_err(|e| format!("static table header: {e}"))?;
        Ok(Self(text.lines().filter_map(|l| l.split_once('=')).collect()))
    }

    fn text(&self, key: &str) -> Result<&'static str, String> {
        let value = self.0.get(key).copied();
        value.ok_or_else(|| format!("static table header has no {key}"))
    }

    fn number(&self, key: &str) -> Result<usize, String> {
        let text = self.text(key)?;
        text.parse()
            .map_err(|_| format!("static table header: {key}={text} is no number"))
    }
}

fn split(bytes: &'static [u8], at: usize, part: &str) -> Result<(&'static [u8], &'static [u8]), String> {
    bytes
        .split_at_checked(at)
        .ok_or_else(|| format!("static table ends inside its {part}"))
}

/// Little-endian halves; a factor that is negative or not finite would poison every mean.
fn read_scales(bytes: &[u8]) -> Result<Vec<f32>, String> {
    let halves = bytes.chunks_exact(2).map(|pair| match *pair {
        [low, high] => half_to_f32(u16::from_le_bytes([low, high])),
        _ => f32::NAN, // chunks_exact gives pairs only
    });
    halves
        .map(|scale| {
            let sound = scale.is_finite() && scale >= 0.0;
            sound.then_some(scale).ok_or_else(|| format!("static table has a scale of {scale}"))
        })
        .collect()
}

/// IEEE 754 half precision: 1 sign bit, 5 exponent bits (bias 15), 10 fraction bits.
fn half_to_f32(half: u16) -> f32 {
    let fraction = f32::from(half & 0x3FF);
    let exponent = i32::from((half >> 10) & 0x1F);
    let size = match exponent {
        0 => fraction * 2.0_f32.powi(-24),
        31 if fraction == 0.0 => f32::INFINITY,
        31 => f32::NAN,
        _ => (fraction + 1024.0) * 2.0_f32.powi(exponent - 25),
    };
    if half & 0x8000 == 0 { size } else { -size }
}

#[cfg(test)]
mod tests {
}
