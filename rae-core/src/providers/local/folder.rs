//! The files of a model folder, and what its configuration says.

use crate::{
    error::{Error, Result},
    limits::{DIM_MAX, MODEL_LAYERS_MAX, MODEL_SIDE_FILE_BYTES_MAX, MODEL_TOKENS_MAX, RERANK_TOKENS_MAX},
};
use serde_json::Value;
use std::{
    fs::File,
    io::{ErrorKind, Read},
    path::Path,
};

/// The weights.
pub(super) const WEIGHTS: &str = "model.safetensors";
const CONFIG: &str = "config.json";
const MODULES: &str = "modules.json";
const POOLING: &str = "1_Pooling/config.json";
const SENTENCE: &str = "sentence_bert_config.json";
const PROMPTS: &str = "config_sentence_transformers.json";

/// Reads `name` in `folder`; `None` where there is no such file.
pub(super) fn read_optional(folder: &Path, name: &str, bytes_max: u64) -> Result<Option<Vec<u8>>> {
    let unreadable =
        |e: std::io::Error| Error::unavailable(format!("cannot read {name} of the model: {e}")).with_source(e);
    let file = match File::open(folder.join(name)) {
        Ok(file) => file,
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(None),
        Err(e) => return Err(unreadable(e)),
    };
    let facts = file.metadata().map_err(unreadable)?;
    if !facts.is_file() {
        return Err(Error::invalid(format!("{name} of the model is not a file")));
    }
    let too_large = || Error::invalid(format!("{name} of the model is larger than {bytes_max} bytes"));
    if facts.len() > bytes_max {
        return Err(too_large());
    }
    let mut bytes = Vec::with_capacity(usize::try_from(facts.len()).map_err(|_| too_large())?);
    // The file may have grown since.
    file.take(bytes_max + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if u64::try_from(bytes.len()).map_or(true, |n| n > bytes_max) {
        return Err(too_large());
    }
    Ok(Some(bytes))
}

/// Reads `name` in `folder`.
pub(super) fn read_required(folder: &Path, name: &str, bytes_max: u64) -> Result<Vec<u8>> {
    read_optional(folder, name, bytes_max)?
        .ok_or_else(|| Error::invalid(format!("the model folder {} has no {name}", folder.display())))
}

/// Reads `name` in `folder` as JSON; `None` where there is no such file.
pub(super) fn read_json(folder: &Path, name: &str) -> Result<Option<Value>> {
    let Some(bytes) = read_optional(folder, name, MODEL_SIDE_FILE_BYTES_MAX)? else { return Ok(None) };
    match serde_json::from_slice(&bytes) {
        Ok(value) => Ok(Some(value)),
        Err(e) => Err(Error::corrupt(format!("{name} of the model is not JSON: {e}")).with_source(e)),
    }
}

/// Refuses `what` of the model unless it is `wanted` or not said.
pub(super) fn expect(what: &str, found: &Value, wanted: &Value) -> Result<()> {
    if found.is_null() || found == wanted {
        return Ok(());
    }
    Err(Error::unsupported(format!("the model's {what} is {found}; this engine computes {wanted} only")))
}

fn read_config(folder: &Path) -> Result<Value> {
    read_json(folder, CONFIG)?
        .ok_or_else(|| Error::invalid(format!("the model folder {} has no {CONFIG}", folder.display())))
}

/// The shape of the encoder.
#[derive(Debug, Clone)]
pub(super) struct Config {
    pub(super) layers: usize,
    pub(super) heads: usize,
    pub(super) hidden: usize,
    pub(super) intermediate: usize,
    pub(super) vocabulary: usize,
    pub(super) positions: usize,
    pub(super) types: usize,
    pub(super) epsilon: f32,
    /// Tokens read of a text, `[CLS]` and `[SEP]` included.
    pub(super) tokens_max: usize,
}

impl Config {
    /// Reads `config.json` and, where they are there, the files that say how a sentence is made of it.
    pub(super) fn read(folder: &Path) -> Result<Self> {
        let mut config = Self::parse(&read_config(folder)?)?;
        check_sentence(folder)?;
        if let Some(length) = read_json(folder, SENTENCE)?.as_ref().and_then(|s| s.get("max_seq_length")?.as_u64()) {
            config.tokens_max = config.tokens_max.min(usize::try_from(length).unwrap_or(usize::MAX));
        }
        if config.tokens_max < 3 {
            return Err(Error::corrupt("the model's configuration leaves no room for a token"));
        }
        Ok(config)
    }

    /// Reads `config.json` of a cross-encoder, which gives one number for a pair of texts.
    pub(super) fn read_classifier(folder: &Path) -> Result<Self> {
        let config = read_config(folder)?;
        let labels = config["id2label"].as_object().map_or(Value::Null, |labels| labels.len().into());
        expect("number of labels", &labels, &1.into())?;
        let mut config = Self::parse(&config)?;
        config.tokens_max = RERANK_TOKENS_MAX.min(config.positions);
        if config.types < 2 || config.tokens_max < 5 {
            return Err(Error::unsupported("the model in the folder does not read pairs of texts"));
        }
        Ok(config)
    }

    fn parse(config: &Value) -> Result<Self> {
        if config["model_type"] != "bert" {
            let found = &config["model_type"];
            return Err(Error::unsupported(format!("the model in the folder is {found}, not a BERT encoder")));
        }
        expect("activation", &config["hidden_act"], &Value::from("gelu"))?;
        expect("kind of positions", &config["position_embedding_type"], &Value::from("absolute"))?;
        expect("role as a decoder", &config["is_decoder"], &Value::from(false))?;
        let size = |name: &str, max: usize| match config[name].as_u64().map(usize::try_from) {
            Some(Ok(n)) if (1..=max).contains(&n) => Ok(n),
            _ => Err(Error::corrupt(format!("{CONFIG} of the model has no {name} between 1 and {max}"))),
        };
        let (hidden, heads) = (size("hidden_size", DIM_MAX)?, size("num_attention_heads", DIM_MAX)?);
        if !hidden.is_multiple_of(heads) {
            return Err(Error::corrupt(format!("{CONFIG} of the model shares {hidden} numbers among {heads} heads")));
        }
        let positions = size("max_position_embeddings", 1 << 20)?;
        #[expect(clippy::cast_possible_truncation, reason = "the model computes in f32")]
        let epsilon = config["layer_norm_eps"].as_f64().unwrap_or(1e-12) as f32;
        if !(0.0..1.0).contains(&epsilon) {
            return Err(Error::corrupt(format!("{CONFIG} of the model has a layer_norm_eps that is not near zero")));
        }
        Ok(Self {
            layers: size("num_hidden_layers", MODEL_LAYERS_MAX)?,
            heads,
            hidden,
            intermediate: size("intermediate_size", 16 * DIM_MAX)?,
            vocabulary: size("vocab_size", 1 << 24)?,
            positions,
            types: size("type_vocab_size", 1 << 10)?,
            epsilon,
            tokens_max: MODEL_TOKENS_MAX.min(positions),
        })
    }
}

/// What sentence-transformers would do beyond the encoder must be what this code does: the mean over
/// all tokens, nothing before it and no layer after it.
fn check_sentence(folder: &Path) -> Result<()> {
    const KNOWN: [&str; 3] = ["Transformer", "Pooling", "Normalize"];
    for module in read_json(folder, MODULES)?.as_ref().and_then(Value::as_array).into_iter().flatten() {
        let kind = module["type"].as_str().and_then(|t| t.rsplit('.').next()).unwrap_or_default();
        if !KNOWN.contains(&kind) {
            return Err(Error::unsupported(format!("the model has a module {kind:?}; this engine computes {KNOWN:?}")));
        }
    }
    if let Some(pooling) = read_json(folder, POOLING)? {
        for (mode, on) in pooling.as_object().into_iter().flatten().filter(|(k, _)| k.starts_with("pooling_mode_")) {
            expect(mode, on, &Value::from(mode == "pooling_mode_mean_tokens"))?;
        }
    }
    let prompts = read_json(folder, PROMPTS)?;
    let prompts = prompts.as_ref().and_then(|p| p.get("prompts")?.as_object());
    match prompts.into_iter().flatten().find(|(_, text)| text.as_str() != Some("")) {
        Some((name, _)) => Err(Error::unsupported(format!("the model wants a prompt ({name}) before each text"))),
        None => Ok(()),
    }
}
