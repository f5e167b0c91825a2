//! The embedder from a local folder: its refusals and rules on tiny made-up models, its vectors on the real one.
//!
//! The real model is tried when `RAE_TEST_MINILM` names a folder with all-MiniLM-L6-v2.
#![cfg(feature = "local")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, clippy::print_stderr)] // a test reports by panicking

#[allow(dead_code)]
mod bert_support;

use bert_support::{Model, Shapes, TOKENS, config, noise, safetensors, shapes, tokenizer};
use rae_core::{
    Error, ErrorKind, block_on, limits,
    ports::{EmbedRole, Embedder},
    providers::LocalEmbedder,
};
use serde_json::{Value, json};
use std::{
    fs,
    io::{self, Write},
    path::PathBuf,
};

trait Loads {
    fn load(&self) -> Result<LocalEmbedder, Error>;
    fn refused(&self, kind: ErrorKind, word: &str);
}

impl Loads for Model {
    fn load(&self) -> Result<LocalEmbedder, Error> {
        LocalEmbedder::load(self.folder.path())
    }

    /// Loads what must be refused as `kind`, with `word` in the message.
    fn refused(&self, kind: ErrorKind, word: &str) {
        let error = self.load().expect_err(word);
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.message().contains(word), "{error} does not say {word}");
    }
}

fn changed(mut value: Value, pointer: &str, to: Value) -> String {
    *value.pointer_mut(pointer).unwrap() = to;
    value.to_string()
}

fn embed(model: &LocalEmbedder, texts: &[&str]) -> Vec<Option<Vec<f32>>> {
    block_on(model.embed(texts, EmbedRole::Document)).unwrap()
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
}

#[test]
fn a_missing_folder_or_file_is_named() {
    let error = LocalEmbedder::load("/nowhere/minilm".as_ref()).unwrap_err();
    assert!(error.kind() == ErrorKind::InvalidInput && error.message().contains("/nowhere/minilm"));
    Model::without("config.json").refused(ErrorKind::InvalidInput, "config.json");
    Model::without("model.safetensors").refused(ErrorKind::InvalidInput, "model.safetensors");
    Model::without("tokenizer.json").refused(ErrorKind::InvalidInput, "vocab.txt");
    let file = Model::new().folder.path().join("config.json");
    assert_eq!(LocalEmbedder::load(&file).unwrap_err().kind(), ErrorKind::InvalidInput);
}

#[test]
fn a_file_past_its_bound_is_refused_unread() {
    let model = Model::new();
    let grow = |name: &str, bytes: u64| {
        let file = fs::File::options().write(true).open(model.folder.path().join(name)).unwrap();
        file.set_len(bytes).unwrap();
    };
    grow("model.safetensors", limits::MODEL_BYTES_MAX + 1);
    model.refused(ErrorKind::InvalidInput, "model.safetensors");
    grow("config.json", limits::MODEL_SIDE_FILE_BYTES_MAX + 1);
    model.refused(ErrorKind::InvalidInput, "config.json");
}

#[test]
fn another_architecture_is_unsupported() {
    let config = |pointer: &str, to: Value| Model::with("config.json", changed(config(), pointer, to));
    config("/model_type", "roberta".into()).refused(ErrorKind::Unsupported, "roberta");
    config("/model_type", Value::Null).refused(ErrorKind::Unsupported, "BERT");
    config("/hidden_act", "relu".into()).refused(ErrorKind::Unsupported, "relu");
    let modules =
        json!([{"type": "sentence_transformers.models.Transformer"}, {"type": "sentence_transformers.models.Dense"}]);
    Model::with("modules.json", modules.to_string()).refused(ErrorKind::Unsupported, "Dense");
    let pooling = json!({"pooling_mode_cls_token": true, "pooling_mode_mean_tokens": false});
    Model::with("1_Pooling/config.json", pooling.to_string()).refused(ErrorKind::Unsupported, "pooling_mode");
    let prompts = json!({"prompts": {"query": "query: "}});
    Model::with("config_sentence_transformers.json", prompts.to_string()).refused(ErrorKind::Unsupported, "prompt");
}

#[test]
fn another_tokenizer_is_unsupported() {
    let tokenizer = |pointer: &str, to: Value| Model::with("tokenizer.json", changed(tokenizer(), pointer, to));
    tokenizer("/model/type", "BPE".into()).refused(ErrorKind::Unsupported, "BPE");
    tokenizer("/normalizer/lowercase", false.into()).refused(ErrorKind::Unsupported, "lowering");
    tokenizer("/normalizer", Value::Null).refused(ErrorKind::Unsupported, "text rules");
    tokenizer("/added_tokens/0/content", "[new]".into()).refused(ErrorKind::Unsupported, "[new]");
    let model = Model::without("tokenizer.json");
    model.write("vocab.txt", TOKENS.join("\n"));
    model.write("tokenizer_config.json", r#"{"do_lower_case": false}"#);
    model.refused(ErrorKind::Unsupported, "lowering");
}

#[test]
fn damaged_files_are_corrupt() {
    for name in ["config.json", "tokenizer.json"] {
        Model::with(name, "{").refused(ErrorKind::Corrupt, name);
    }
    let config = |pointer: &str, to: Value| Model::with("config.json", changed(config(), pointer, to));
    config("/hidden_size", u64::MAX.into()).refused(ErrorKind::Corrupt, "hidden_size");
    config("/num_hidden_layers", 1_000_000.into()).refused(ErrorKind::Corrupt, "num_hidden_layers");
    config("/num_attention_heads", 5.into()).refused(ErrorKind::Corrupt, "heads");
    config("/max_position_embeddings", 2.into()).refused(ErrorKind::Corrupt, "room");
    let tokenizer = |pointer: &str, to: Value| Model::with("tokenizer.json", changed(tokenizer(), pointer, to));
    tokenizer("/model/vocab/red", 6.into()).refused(ErrorKind::Corrupt, "ids");
    tokenizer("/model/vocab/red", 99.into()).refused(ErrorKind::Corrupt, "ids");
    tokenizer("/model/vocab", json!({"[UNK]": 0, "[CLS]": 1})).refused(ErrorKind::Corrupt, "[SEP]");
}

#[test]
fn damaged_weights_are_corrupt() {
    let weights = safetensors(&shapes(), noise());
    let refused = |bytes: &[u8], word| Model::with("model.safetensors", bytes).refused(ErrorKind::Corrupt, word);
    for length in [0, 7, 8, 100, weights.len() - 1] {
        refused(&weights[..length], "model.safetensors");
    }
    let huge_header = [&u64::MAX.to_le_bytes()[..], &weights[8..]].concat();
    refused(&huge_header, "damaged");
    refused(b"version https://git-lfs.github.com/spec/v1\noid sha256:53aa\n", "LFS");
    let mut missing = shapes();
    missing.remove("encoder.layer.1.output.dense.bias");
    refused(&safetensors(&missing, noise()), "encoder.layer.1.output.dense.bias");
    let mut misshapen = shapes();
    misshapen.insert("embeddings.word_embeddings.weight".into(), vec![TOKENS.len() - 1, 96]);
    refused(&safetensors(&misshapen, noise()), "shape");
    refused(&safetensors(&shapes(), || f32::NAN), "finite");
}

#[test]
fn the_id_follows_from_the_weights_and_not_from_the_place() {
    let (one, two) = (Model::new().load().unwrap(), Model::new().load().unwrap());
    assert_eq!(one.id(), two.id());
    assert!(one.id().starts_with("bert-l2-h96@") && one.id().ends_with("/96"), "{}", one.id());
    assert_eq!((one.dim(), one.is_cheap()), (96, false));
    let other = Model::with("model.safetensors", safetensors(&shapes(), || 0.25)).load().unwrap();
    assert_ne!(one.id(), other.id());
}

#[test]
fn both_vocabulary_files_give_the_same_vectors() {
    let model = Model::without("tokenizer.json");
    for end in ["\n", "\r\n"] {
        model.write("vocab.txt", TOKENS.join(end) + end);
        assert_eq!(embed(&model.load().unwrap(), &["Reds."]), embed(&Model::new().load().unwrap(), &["Reds."]));
    }
}

#[test]
fn weights_stored_inside_a_larger_model_are_found() {
    let plain = shapes();
    let inside: Shapes = plain.iter().map(|(name, shape)| (format!("bert.{name}"), shape.clone())).collect();
    let model = Model::with("model.safetensors", safetensors(&inside, noise())).load().unwrap();
    assert_eq!(embed(&model, &["red"]), embed(&Model::new().load().unwrap(), &["red"]));
}

#[test]
fn a_text_without_a_known_token_has_no_vector() {
    let model = Model::new().load().unwrap();
    let vectors = embed(&model, &["", " \n", "green", "green red", "\u{1f389}"]);
    assert_eq!(vectors.iter().map(Option::is_some).collect::<Vec<_>>(), [false, false, false, true, false]);
    assert!(embed(&model, &[]).is_empty());
}

#[test]
fn a_vector_depends_on_its_text_alone_and_results_keep_the_order() {
    let model = Model::new().load().unwrap();
    let texts = ["red blues.", "blue", "green", "red red red red red red red", "blue", "reds"];
    let together = embed(&model, &texts);
    for (text, vector) in texts.iter().zip(&together) {
        assert_eq!(embed(&model, &[text]), std::slice::from_ref(vector), "{text}");
        let norm = vector.as_ref().map_or(1.0, |v| dot(v, v));
        assert!((norm - 1.0).abs() < 1e-6, "{text}: {norm}");
    }
    assert_ne!(together[0], together[1]);
    let query = block_on(model.embed(&texts, EmbedRole::Query)).unwrap();
    assert_eq!(query, together);
}

#[test]
fn a_long_text_counts_by_its_first_tokens_only() {
    let model = Model::new().load().unwrap();
    // Twelve positions, two of them for [CLS] and [SEP].
    let (cut, long) = ("red ".repeat(10), "red ".repeat(10) + &"blue ".repeat(200_000));
    assert_eq!(embed(&model, &[&cut]), embed(&model, &[&long]));
    assert_ne!(embed(&model, &[&cut]), embed(&model, &["red"]));
    let short = Model::with("sentence_bert_config.json", r#"{"max_seq_length": 3}"#).load().unwrap();
    assert_eq!(embed(&short, &["red blue"]), embed(&short, &["red"]));
}

#[test]
fn more_texts_than_the_bound_are_refused() {
    let model = Model::new().load().unwrap();
    let texts = vec!["red"; limits::EMBED_BATCH_MAX + 1];
    let error = block_on(model.embed(&texts, EmbedRole::Document)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert_eq!(embed(&model, &texts[1..]).len(), limits::EMBED_BATCH_MAX);
}

/// The folder of the real model, or a line that says why nothing was tested.
fn minilm(test: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("RAE_TEST_MINILM").map(PathBuf::from);
    if folder.is_none() {
        // Not by a macro: the harness would swallow its output.
        let line = format!("SKIPPED {test}: RAE_TEST_MINILM names no folder with all-MiniLM-L6-v2\n");
        io::stderr().write_all(line.as_bytes()).unwrap();
    }
    folder
}

#[test]
fn minilm_gives_the_vectors_of_the_reference() {
    let Some(folder) = minilm("minilm_gives_the_vectors_of_the_reference") else { return };
    let model = LocalEmbedder::load(&folder).unwrap();
    assert!(model.id().starts_with("all-MiniLM-L6-v2@") && model.dim() == 384, "{}", model.id());
    // Made by the numpy forward pass of scripts/build_static_table.py (with scipy's erf) at 256 tokens.
    let golden: Vec<Value> = serde_json::from_str(include_str!("golden/minilm.json")).unwrap();
    let texts: Vec<&str> = golden.iter().map(|case| case["text"].as_str().unwrap()).collect();
    for (case, vector) in golden.iter().zip(embed(&model, &texts)) {
        let wanted: Vec<f32> = serde_json::from_value(case["vector"].clone()).unwrap();
        let cosine = dot(&wanted, &vector.unwrap());
        assert!(cosine > 0.999_99, "{cosine} for {}", case["text"]);
    }
}

#[test]
fn minilm_gives_the_same_bits_alone_and_among_others() {
    let Some(folder) = minilm("minilm_gives_the_same_bits_alone_and_among_others") else { return };
    let model = LocalEmbedder::load(&folder).unwrap();
    let words = "the spare key lies under a blue flower pot by the garage door and nobody but Anna knows of it";
    let texts: Vec<String> =
        (1..=20).map(|n| words.split(' ').cycle().skip(n).take(n * n % 37 + 1).collect::<Vec<_>>().join(" ")).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let together = embed(&model, &texts);
    for (text, vector) in texts.iter().zip(together) {
        assert_eq!(embed(&model, &[text]), [vector], "{text}");
    }
}
