//! The cross-encoder from a local folder: its scores against an independent computation, its refusals and rules.
//!
//! The published model is tried when `RAE_TEST_CROSS_ENCODER` names a folder with ms-marco-MiniLM-L6-v2.
#![cfg(feature = "local")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, clippy::print_stderr)] // a test reports by panicking

#[allow(dead_code)]
mod bert_support;

use bert_support::{Model, config, noise, safetensors, shapes};
use rae_core::{
    Embedding, ErrorKind, NewMemory, Rae, RecallOptions, block_on, limits, ports::Reranker, providers::LocalReranker,
};
use serde_json::{Value, json};
use std::{
    io::{self, Write},
    path::Path,
    sync::Arc,
    task::{Context, Poll, Waker},
};

fn load(model: &Model) -> LocalReranker {
    LocalReranker::load(model.folder.path()).unwrap()
}

fn scores(model: &LocalReranker, query: &str, texts: &[&str]) -> Vec<f32> {
    block_on(model.score(query, texts)).unwrap()
}

#[test]
fn the_scores_are_those_of_an_independent_computation() {
    let model = load(&Model::cross_encoder());
    // Made by scripts/golden_cross_encoder.py: the same weights, a forward pass in numpy with 64-bit numbers.
    let golden: Vec<Value> = serde_json::from_str(include_str!("golden/cross_encoder.json")).unwrap();
    assert!(golden.len() >= 8);
    for case in &golden {
        let score = scores(&model, case["query"].as_str().unwrap(), &[case["text"].as_str().unwrap()])[0];
        let wanted = case["score"].as_f64().unwrap();
        assert!((f64::from(score) - wanted).abs() < 2e-4, "{score} for {case}");
    }
    // The pairs differ by far more than that, also where only the sides are swapped.
    let all: Vec<f64> = golden.iter().map(|case| case["score"].as_f64().unwrap()).collect();
    assert!(all.iter().enumerate().all(|(i, a)| all[..i].iter().all(|b| (a - b).abs() > 1e-3)), "{all:?}");
}

#[test]
fn a_score_does_not_depend_on_the_other_texts_and_results_keep_the_order() {
    let model = load(&Model::cross_encoder());
    let texts = ["red blues.", "blue", "", "red red red red red red red", "blue", "green"];
    let together = scores(&model, "red", &texts);
    for (text, score) in texts.iter().zip(&together) {
        let alone = scores(&model, "red", &[text])[0];
        assert!((alone - score).abs() < 1e-4, "{text}: {alone} {score}");
    }
    assert!(scores(&model, "red", &[]).is_empty());
    let many = vec!["red"; limits::RERANK_TEXTS_MAX + 1];
    assert_eq!(block_on(model.score("red", &many)).unwrap_err().kind(), ErrorKind::InvalidInput);
}

#[test]
fn a_call_gives_way_between_pieces_so_that_its_caller_can_end_it() {
    let model = load(&Model::cross_encoder());
    let texts = ["red", "blue", "green red"].repeat(15);
    let mut call = model.score("red", &texts);
    let mut context = Context::from_waker(Waker::noop());
    let mut pending = 0;
    let scores = loop {
        match call.as_mut().poll(&mut context) {
            Poll::Ready(scores) => break scores.unwrap(),
            Poll::Pending => pending += 1,
        }
    };
    assert_eq!((pending, scores.len()), (2, 45), "45 texts are three pieces");
    for (text, score) in texts.iter().zip(&scores) {
        let at = texts.iter().position(|t| t == text).unwrap();
        assert!((score - scores[at]).abs() < 1e-4, "{text} in another piece");
    }
}

#[test]
fn long_texts_are_cut_to_what_the_model_reads() {
    let model = load(&Model::cross_encoder());
    // Twelve positions, three of them for [CLS] and two [SEP].
    assert_eq!(
        scores(&model, "red", &[&"blue ".repeat(8)]),
        scores(&model, "red", &[&("blue ".repeat(8) + &"red ".repeat(100_000))])
    );
    assert_eq!(scores(&model, &"red ".repeat(50_000), &["blue"]), scores(&model, &"red ".repeat(8), &["blue"]));
}

#[test]
fn what_is_no_cross_encoder_is_refused_with_a_reason() {
    let refused = |model: &Model, kind: ErrorKind, word: &str| {
        let error = LocalReranker::load(model.folder.path()).unwrap_err();
        assert!(error.kind() == kind && error.message().contains(word), "{error:?} does not say {word}");
    };
    refused(&Model::new(), ErrorKind::Corrupt, "pooler");
    let labelled = |labels: Value| {
        let (model, mut config) = (Model::cross_encoder(), config());
        config["id2label"] = labels;
        model.write("config.json", config.to_string());
        model
    };
    refused(&labelled(json!({"0": "no", "1": "yes"})), ErrorKind::Unsupported, "number of labels");
    let mut without = shapes();
    without.insert("pooler.dense.weight".to_owned(), vec![96, 96]);
    without.insert("pooler.dense.bias".to_owned(), vec![96]);
    refused(&Model::with("model.safetensors", safetensors(&without, noise())), ErrorKind::Corrupt, "classifier.bias");
    let missing = LocalReranker::load(Path::new("/nowhere/reranker")).unwrap_err();
    assert!(missing.kind() == ErrorKind::InvalidInput && missing.message().contains("/nowhere/reranker"));
}

#[test]
fn recall_orders_its_hits_by_a_reranker_from_a_folder() {
    let reranker = Arc::new(load(&Model::cross_encoder()));
    let texts = ["red red", "blue red.", "blues red red", "red."];
    let wanted = {
        let mut by_score: Vec<_> = texts.iter().zip(scores(&reranker, "red", &texts)).collect();
        by_score.sort_by(|a, b| b.1.total_cmp(&a.1));
        by_score.into_iter().map(|(text, _)| (*text).to_owned()).collect::<Vec<_>>()
    };
    block_on(async {
        let mem = Rae::builder().embedding(Embedding::Builtin).reranker(reranker).open().await.unwrap();
        mem.remember_many(texts.iter().map(|text| NewMemory::new(*text)).collect::<Vec<_>>()).await.unwrap();
        let hits = mem.recall("red", RecallOptions { rerank: true, ..RecallOptions::default() }).await.unwrap();
        assert!(hits.degraded.is_empty(), "{:?}", hits.degraded);
        assert_eq!(hits.hits.iter().map(|h| h.content.clone()).collect::<Vec<_>>(), wanted);
        mem.close().await.unwrap();
    });
}

#[test]
fn the_published_model_prefers_the_answer() {
    let Some(folder) = std::env::var_os("RAE_TEST_CROSS_ENCODER") else {
        let line = "SKIPPED the_published_model_prefers_the_answer: RAE_TEST_CROSS_ENCODER names no folder with ms-marco-MiniLM-L6-v2\n";
        return io::stderr().write_all(line.as_bytes()).unwrap();
    };
    let model = LocalReranker::load(Path::new(&folder)).unwrap();
    assert!(model.id().starts_with("cross-encoder-l6-h384@"), "{}", model.id());
    // The example of the model's page, which gives 8.607 and -4.320.
    let texts = [
        "Berlin has a population of 3,520,031 registered inhabitants in an area of 891.82 square kilometers.",
        "New York City is famous for the Metropolitan Museum of Art.",
    ];
    let found = scores(&model, "How many people live in Berlin?", &texts);
    assert!((found[0] - 8.607).abs() < 0.02 && (found[1] + 4.320).abs() < 0.02, "{found:?}");
}
