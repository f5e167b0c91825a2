//! Cases for [`Embedder`].
//!
//! `conformance_embed!(module, make)` wants an expression that gives `(Arc<dyn Embedder>, guard)`: the embedder, and whatever must
//! outlive it.

use crate::{
    conformance::block_on,
    limits::{DIM_MAX, EMBED_BATCH_MAX},
    ports::{EmbedRole, Embedder},
};
use std::thread;

const ROLES: [EmbedRole; 2] = [EmbedRole::Document, EmbedRole::Query];
const TEXTS: [&str; 6] = [
    "The cat sat on the mat.",
    "a",
    "When did Caroline go to the support group?",
    "Zürich, 8 May 2023: déjà vu in the café",
    "fn main() { println!(\"{}\", 1 + 2); }",
    "the the the the the the the the",
];

/// How far one number of a vector may be from another run's: models sum in another order when texts are batched.
const TOLERANCE: f32 = 1e-3;

async fn embed(embedder: &dyn Embedder, texts: &[&str], role: EmbedRole) -> Vec<Option<Vec<f32>>> {
    let vectors = embedder.embed(texts, role).await.unwrap();
    assert_eq!(vectors.len(), texts.len(), "one result per text");
    for vector in vectors.iter().flatten() {
        assert_eq!(vector.len(), embedder.dim(), "every vector has the dimension");
        assert!(vector.iter().all(|x| x.is_finite()), "every number is finite");
        assert!(vector.iter().any(|x| *x != 0.0), "a text without a vector is None, not zeros");
    }
    vectors
}

fn unit(vector: &[f32]) -> Vec<f32> {
    let norm = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
    vector.iter().map(|x| x / norm).collect()
}

fn same(a: &Option<Vec<f32>>, b: &Option<Vec<f32>>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => unit(a).iter().zip(unit(b)).all(|(x, y)| (x - y).abs() <= TOLERANCE),
        (a, b) => a.is_none() && b.is_none(),
    }
}

/// `name@revision/dim`, with a dimension in range.
pub async fn the_id_names_the_dimension(embedder: &dyn Embedder) {
    assert!((1..=DIM_MAX).contains(&embedder.dim()));
    let (name, rest) = embedder.id().split_once('@').expect("an id is name@revision/dim");
    let (revision, dim) = rest.rsplit_once('/').expect("an id is name@revision/dim");
    assert!(!name.is_empty() && !revision.is_empty());
    assert_eq!(dim, embedder.dim().to_string());
    embed(embedder, &["x"], EmbedRole::Query).await;
    assert_eq!(dim, embedder.dim().to_string(), "it does not change with use");
}

/// Ordinary texts have vectors, on both sides.
pub async fn ordinary_texts_have_vectors(embedder: &dyn Embedder) {
    for role in ROLES {
        let vectors = embed(embedder, &TEXTS[..1], role).await;
        assert!(vectors[0].is_some());
    }
}

/// No texts, no vectors.
pub async fn no_texts_give_no_vectors(embedder: &dyn Embedder) {
    for role in ROLES {
        assert!(embed(embedder, &[], role).await.is_empty());
    }
}

/// The same text gives the same vector, again and again.
pub async fn the_same_text_gives_the_same_vector(embedder: &dyn Embedder) {
    for role in ROLES {
        let first = embed(embedder, &TEXTS, role).await;
        for _ in 0..3 {
            assert_eq!(embed(embedder, &TEXTS, role).await, first);
        }
    }
}

/// A batch gives what the texts give alone, in their order.
pub async fn a_batch_gives_what_its_texts_give(embedder: &dyn Embedder) {
    for role in ROLES {
        let mut alone = Vec::new();
        for text in TEXTS {
            alone.extend(embed(embedder, &[text], role).await);
        }
        let batch = embed(embedder, &TEXTS, role).await;
        assert!(batch.iter().zip(&alone).all(|(a, b)| same(a, b)), "{role:?}");
        let reversed: Vec<_> = TEXTS.iter().rev().copied().collect();
        let batch = embed(embedder, &reversed, role).await;
        assert!(batch.iter().zip(alone.iter().rev()).all(|(a, b)| same(a, b)), "the order is kept");
    }
}

/// Different texts have different vectors.
pub async fn different_texts_differ(embedder: &dyn Embedder) {
    let vectors = embed(embedder, &[TEXTS[0], TEXTS[2]], EmbedRole::Document).await;
    assert!(!same(&vectors[0], &vectors[1]));
}

/// A text is nearer to a paraphrase than to something else.
pub async fn like_texts_are_near(embedder: &dyn Embedder) {
    let texts = ["The cat sat on the mat.", "A cat is sitting on a mat.", "Quarterly interest rates rose sharply."];
    let vectors = embed(embedder, &texts, EmbedRole::Document).await;
    let [a, b, c] = &vectors[..] else { panic!("one result per text") };
    let cosine = |a: &[f32], b: &[f32]| unit(a).iter().zip(unit(b)).map(|(x, y)| x * y).sum::<f32>();
    if let (Some(a), Some(b), Some(c)) = (a, b, c) {
        assert!(cosine(a, b) > cosine(a, c));
    }
}

/// Empty, blank, control, emoji, unassigned, any script: a vector or none, never a panic.
pub async fn odd_texts_are_taken(embedder: &dyn Embedder) {
    let long_word = "x".repeat(100_000);
    let texts = [
        "",
        " \t\r\n",
        "\0",
        "a\0b",
        "👩‍👩‍👧‍👦🏳️‍🌈",
        "\u{10ffff}\u{e000}",
        "\u{301}\u{301}\u{301}",
        "日本語のテキスト ข้อความ العربية עברית",
        "....!!!???---",
        "0123456789",
        "[CLS] [SEP] [PAD] <|endoftext|> </s>",
        &long_word,
    ];
    for role in ROLES {
        embed(embedder, &texts, role).await;
        for text in texts {
            embed(embedder, &[text], role).await;
        }
    }
}

/// The longest text there may be, alone and beside a short one.
pub async fn the_longest_text_is_taken(embedder: &dyn Embedder) {
    let words = "memory of an agent ".repeat((1 << 20) / 19);
    let emoji = "🦀".repeat((1 << 20) / 4);
    let vectors = embed(embedder, &[&words, TEXTS[0], &emoji], EmbedRole::Document).await;
    let alone = embed(embedder, &TEXTS[..1], EmbedRole::Document).await;
    assert!(same(&vectors[1], &alone[0]), "a long neighbour changes nothing");
}

/// As many texts as may come at once.
pub async fn the_largest_batch_is_taken(embedder: &dyn Embedder) {
    let texts: Vec<_> = (0..EMBED_BATCH_MAX).map(|i| TEXTS[i % TEXTS.len()]).collect();
    let vectors = embed(embedder, &texts, EmbedRole::Document).await;
    assert!(vectors.iter().enumerate().all(|(i, v)| same(v, &vectors[i % TEXTS.len()])));
}

/// Calls from many threads give what one gives.
pub async fn many_threads_may_embed(embedder: &dyn Embedder) {
    let expected = embed(embedder, &TEXTS, EmbedRole::Document).await;
    let check = || assert_eq!(block_on(embed(embedder, &TEXTS, EmbedRole::Document)), expected);
    thread::scope(|scope| (0..4).for_each(|_| drop(scope.spawn(check))));
}

/// Runs every embedder case: `conformance_embed!(module, make)`, or with a third argument, a function that runs a future to its end.
#[macro_export]
macro_rules! conformance_embed {
    ($module:ident, $make:expr) => {
        $crate::conformance_embed!($module, $make, $crate::conformance::block_on);
    };
    ($module:ident, $make:expr, $run:path) => {
        $crate::__conformance_cases!(
            $module,
            $make,
            $run,
            embed,
            [
                the_id_names_the_dimension,
                ordinary_texts_have_vectors,
                no_texts_give_no_vectors,
                the_same_text_gives_the_same_vector,
                a_batch_gives_what_its_texts_give,
                different_texts_differ,
                like_texts_are_near,
                odd_texts_are_taken,
                the_longest_text_is_taken,
                the_largest_batch_is_taken,
                many_threads_may_embed,
            ]
        );
    };
}
