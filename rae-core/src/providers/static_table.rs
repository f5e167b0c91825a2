//! The default embedder: a table with one vector per `WordPiece` token, compiled into the library.
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
        f.debug_struct("StaticTable").field("id", &self.id).finish_non_exhaustive()
    }
}

impl StaticTable {
    /// The table compiled into the library, read on first use. Corrupt when the asset was damaged before it was compiled in.
    pub fn builtin() -> crate::Result<&'static Self> {
        static TABLE: OnceLock<Result<StaticTable, String>> = OnceLock::new();
        TABLE
            .get_or_init(|| Self::parse(BUILTIN))
            .as_ref()
            .map_err(|e| crate::Error::corrupt(format!("the built-in embedding table cannot be read: {e}")))
    }

    /// Reads a table; the rows and the vocabulary stay where they are.
    ///
    /// # Errors
    /// Says what is wrong with `bytes`. Nothing in them makes it panic or allocate more than a
    /// few times their size.
    pub fn parse(bytes: &'static [u8]) -> Result<Self, String> {
        let rest = bytes.strip_prefix(MAGIC).ok_or("not a static table: wrong magic")?;
        let (length, rest) = rest.split_first_chunk::<4>().ok_or("static table ends in its header")?;
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
        for x in &mut sum {
            *x *= factor;
        }
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
        text.parse().map_err(|_| format!("static table header: {key}={text} is no number"))
    }
}

fn split(bytes: &'static [u8], at: usize, part: &str) -> Result<(&'static [u8], &'static [u8]), String> {
    bytes.split_at_checked(at).ok_or_else(|| format!("static table ends inside its {part}"))
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
    use super::*;

    /// Two-dimensional table over six tokens; row 1 is `[UNK]` and has no scale.
    fn toy_bytes(header: &str, halves: &[u16]) -> &'static [u8] {
        let vocabulary = "[PAD]\n[UNK]\neast\nnorth\nwest\n##ward";
        let header = format!("{header}vocab=bert-uncased\nvocab_bytes={}\n", vocabulary.len());
        let rows: [i8; 12] = [0, 0, 0, 0, 127, 0, 0, 127, -127, 0, 0, 64];
        let mut bytes = MAGIC.to_vec();
        bytes.extend(u32::try_from(header.len()).unwrap().to_le_bytes());
        bytes.extend(header.as_bytes());
        bytes.extend(halves.iter().flat_map(|h| h.to_le_bytes()));
        bytes.extend(rows.iter().flat_map(|r| r.to_le_bytes()));
        bytes.extend(vocabulary.as_bytes());
        bytes.leak()
    }

    const HEADER: &str = "name=toy\nrevision=3\ndim=2\nrows=6\n";
    const ONE: u16 = 0x3C00;
    const SCALES: [u16; 6] = [0, 0, ONE, ONE, ONE, ONE];

    fn toy() -> StaticTable {
        StaticTable::parse(toy_bytes(HEADER, &SCALES)).unwrap()
    }

    #[test]
    fn id_names_table_revision_and_dimension() {
        assert_eq!(toy().id(), "toy@3/2");
        assert_eq!(toy().dim(), 2);
    }

    #[test]
    fn a_text_is_the_unit_mean_of_its_known_tokens() {
        let half = std::f32::consts::FRAC_1_SQRT_2;
        assert_eq!(toy().embed("East", 9), Some(vec![1.0, 0.0]));
        let both = toy().embed("north zebra east", 9).unwrap();
        assert!(both.iter().all(|x| (x - half).abs() < 1e-6), "{both:?}");
        let v = toy().embed("east eastward", 9).unwrap();
        assert!((v[0] / v[1] - 254.0 / 64.0).abs() < 1e-5);
    }

    #[test]
    fn tokens_past_the_limit_do_not_count() {
        assert_eq!(toy().embed("east north", 1), Some(vec![1.0, 0.0]));
        assert_eq!(toy().embed("zebra north", 1), None);
        assert_eq!(toy().embed("east", 0), None);
    }

    #[test]
    fn no_known_token_means_no_vector() {
        for text in ["", " ", "\0", "zebra", "[UNK] [PAD]", "\u{1f600}"] {
            assert_eq!(toy().embed(text, 9), None, "{text:?}");
        }
    }

    #[test]
    fn rows_that_cancel_out_mean_no_vector() {
        assert_eq!(toy().embed("east west", 9), None);
    }

    #[test]
    fn damaged_tables_are_refused_with_a_reason() {
        let whole = toy_bytes(HEADER, &SCALES);
        for end in 0..whole.len() {
            assert!(StaticTable::parse(&whole[..end]).is_err(), "cut at {end}");
        }
        let mut longer = whole.to_vec();
        longer.push(b'x');
        assert!(StaticTable::parse(longer.leak()).is_err());
        for header in [
            "name=toy\nrevision=3\ndim=0\nrows=6\n",
            "name=toy\nrevision=3\ndim=2\nrows=-6\n",
            "name=toy\nrevision=3\ndim=2\nrows=18446744073709551615\n",
            "name=toy\nrevision=3\ndim=3\nrows=4\n",
            "revision=3\ndim=2\nrows=6\n",
        ] {
            assert!(StaticTable::parse(toy_bytes(header, &SCALES)).is_err(), "{header:?}");
        }
        for scale in [0x7C00, 0x7E00, 0xBC00] {
            let scales = [0, 0, ONE, ONE, ONE, scale];
            assert!(StaticTable::parse(toy_bytes(HEADER, &scales)).is_err(), "{scale:x}");
        }
    }

    #[test]
    fn half_precision_is_read_exactly() {
        let known = [
            (0x0001, 5.960_464_5e-8),
            (0x03FF, 6.097_555e-5),
            (0x0400, 6.103_515_6e-5),
            (0x1555, 1365.0 / 1_048_576.0),
            (ONE, 1.0),
            (0xC000, -2.0),
            (0x7BFF, 65504.0),
        ];
        for (half, value) in known {
            assert_eq!(half_to_f32(half), value, "{half:x}");
        }
        assert!(half_to_f32(0x7C00).is_infinite() && half_to_f32(0x7C01).is_nan());
    }

    #[test]
    fn the_built_in_table_is_sound() {
        let table = StaticTable::parse(BUILTIN).unwrap();
        assert_eq!(StaticTable::builtin().unwrap().id(), table.id());
        assert_eq!(table.id(), format!("minilm-static@1/{}", table.dim()));
        let words = &table.words;
        assert_eq!(table.scales[usize::try_from(words.unknown()).unwrap()], 0.0);
        assert_eq!(table.embed("[CLS] [SEP] [PAD] [MASK] [UNK]", 254), None);
    }

    #[test]
    fn every_text_gives_a_finite_unit_vector_or_none() {
        let table = StaticTable::builtin().unwrap();
        let long = "a".repeat(1 << 20);
        let many = "memory ".repeat(1 << 17);
        let texts = [
            "Where did Anna move in May?",
            "café",
            "cafe\u{301}",
            "漢字かな",
            "שלום עולם",
            "مرحبا",
            "\u{1f600}\u{1f389}",
            "naïve\0",
            "...",
            "[CLS]",
            &long,
            &many,
            "\u{301}\u{301}",
        ];
        for text in texts {
            if let Some(v) = table.embed(text, 254) {
                let norm = v.iter().map(|x| x * x).sum::<f32>();
                assert!((norm - 1.0).abs() < 1e-5, "{text:.20?} has length {norm}");
            }
        }
        assert_eq!(table.embed(&long, 254), None);
        assert_eq!(table.embed("café", 254), table.embed("CAFE\u{301}", 254));
    }

    #[test]
    fn near_meanings_are_nearer_than_far_ones() {
        let table = StaticTable::builtin().unwrap();
        let cosine = |a: &str, b: &str| -> f32 {
            let (a, b) = (table.embed(a, 254).unwrap(), table.embed(b, 254).unwrap());
            a.iter().zip(&b).map(|(x, y)| x * y).sum()
        };
        assert!(cosine("a small dog", "the puppy") > cosine("a small dog", "tax return") + 0.2);
        assert!(cosine("she plays the violin", "music lessons") > cosine("she plays the violin", "car repair") + 0.1);
    }

    /// Made by numpy from the same asset, in double precision: the first four numbers.
    #[test]
    fn vectors_equal_those_of_the_reference() {
        let golden: [(&str, [f32; 4]); 3] = [
            ("Anna moved to Lisbon in May.", [0.050472, -0.020490, -0.063690, 0.198810]),
            ("the unaffable café owner's cat", [-0.161682, 0.049620, -0.060758, 0.182288]),
            ("漢字 and emoji \u{1f600} mixed 42", [0.046539, -0.105440, 0.036204, 0.010214]),
        ];
        for (text, expected) in golden {
            let v = StaticTable::builtin().unwrap().embed(text, 254).unwrap();
            for (x, e) in v.iter().zip(expected) {
                assert!((x - e).abs() < 1e-5, "{text:?}: {x} is not {e}");
            }
        }
    }
}
