//! The model's vocabulary and the check that its text rules are the ones of [`WordPiece`].

use super::{
    super::wordpiece::WordPiece,
    folder::{Config, expect, read_json, read_optional},
};
use crate::{
    error::{Error, Result},
    limits::MODEL_SIDE_FILE_BYTES_MAX,
};
use serde_json::Value;
use std::{borrow::Cow, path::Path};

const TOKENIZER: &str = "tokenizer.json";
const TOKENIZER_CONFIG: &str = "tokenizer_config.json";
const VOCABULARY: &str = "vocab.txt";
/// Literal texts that [`WordPiece`] takes for special tokens.
const SPECIALS: [&str; 5] = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];

/// Reads `tokenizer.json`, else `vocab.txt`. The truncation and padding of the former are those of
/// whoever saved it last and are not followed.
pub(super) fn read(folder: &Path, config: &Config) -> Result<WordPiece> {
    let tokens = match read_json(folder, TOKENIZER)? {
        Some(tokenizer) => {
            check_tokenizer(&tokenizer)?;
            from_tokenizer(&tokenizer["model"]["vocab"])?
        }
        None => from_lines(folder)?,
    };
    if tokens.len() > config.vocabulary {
        return Err(Error::corrupt(format!(
            "the model's vocabulary has {} tokens, its weights have {}",
            tokens.len(),
            config.vocabulary
        )));
    }
    WordPiece::from_tokens(tokens.into_iter().map(Cow::Owned)).map_err(|e| Error::corrupt(format!("the model's {e}")))
}

fn check_tokenizer(tokenizer: &Value) -> Result<()> {
    let (model, normalizer) = (&tokenizer["model"], &tokenizer["normalizer"]);
    let rules = [
        ("kind of tokens", &model["type"], Value::from("WordPiece")),
        ("unknown token", &model["unk_token"], "[UNK]".into()),
        ("mark of a continued word", &model["continuing_subword_prefix"], "##".into()),
        ("longest word", &model["max_input_chars_per_word"], 100.into()),
        ("kind of text rules", &normalizer["type"], "BertNormalizer".into()),
        ("cleaning of text", &normalizer["clean_text"], true.into()),
        ("splitting of ideographs", &normalizer["handle_chinese_chars"], true.into()),
        ("stripping of accents", &normalizer["strip_accents"], true.into()),
        ("lowering of letters", &normalizer["lowercase"], true.into()),
        ("splitting of words", &tokenizer["pre_tokenizer"]["type"], "BertPreTokenizer".into()),
    ];
    for (what, found, wanted) in &rules {
        expect(what, found, wanted)?;
    }
    if normalizer.is_null() || tokenizer["pre_tokenizer"].is_null() {
        return Err(Error::unsupported(format!("{TOKENIZER} of the model has no BERT text rules")));
    }
    for added in tokenizer["added_tokens"].as_array().into_iter().flatten() {
        let content = added["content"].as_str().unwrap_or_default();
        if !SPECIALS.contains(&content) {
            return Err(Error::unsupported(format!("{TOKENIZER} of the model adds the token {content:?}")));
        }
    }
    Ok(())
}

/// The tokens of an object of token and id, by id.
fn from_tokenizer(vocabulary: &Value) -> Result<Vec<String>> {
    let damaged = || Error::corrupt(format!("the ids in {TOKENIZER} of the model are not 0, 1, 2 and so on"));
    let vocabulary = vocabulary.as_object().ok_or_else(damaged)?;
    let mut by_id: Vec<Option<&String>> = vec![None; vocabulary.len()];
    for (token, id) in vocabulary {
        let id = id.as_u64().and_then(|id| usize::try_from(id).ok()).ok_or_else(damaged)?;
        *by_id.get_mut(id).ok_or_else(damaged)? = Some(token);
    }
    by_id.into_iter().map(|token| token.cloned().ok_or_else(damaged)).collect()
}

fn from_lines(folder: &Path) -> Result<Vec<String>> {
    let Some(bytes) = read_optional(folder, VOCABULARY, MODEL_SIDE_FILE_BYTES_MAX)? else {
        let folder = folder.display();
        return Err(Error::invalid(format!("the model folder {folder} has neither {TOKENIZER} nor {VOCABULARY}")));
    };
    if let Some(rules) = read_json(folder, TOKENIZER_CONFIG)? {
        expect("lowering of letters", &rules["do_lower_case"], &true.into())?;
        expect("splitting of ideographs", &rules["tokenize_chinese_chars"], &true.into())?;
        expect("stripping of accents", &rules["strip_accents"], &true.into())?;
    }
    let text = String::from_utf8(bytes)
        .map_err(|e| Error::corrupt(format!("{VOCABULARY} of the model is not UTF-8")).with_source(e))?;
    let text = text.strip_suffix('\n').unwrap_or(&text);
    Ok(text.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line).to_owned()).collect())
}
