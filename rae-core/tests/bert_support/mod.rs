//! Folders with tiny made-up BERT models, for tests.

use serde_json::{Value, json};
use std::{collections::BTreeMap, fs};
use tempfile::TempDir;

pub const HIDDEN: usize = 96;
pub const INNER: usize = 128;
pub const TOKENS: [&str; 9] = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "red", "blue", "##s", "."];

/// A folder with a tiny BERT of two layers and numbers that look random.
pub struct Model {
    pub folder: TempDir,
}

pub type Shapes = BTreeMap<String, Vec<usize>>;

pub fn config() -> Value {
    json!({"model_type": "bert", "hidden_act": "gelu", "hidden_size": HIDDEN, "num_attention_heads": 2,
        "num_hidden_layers": 2, "intermediate_size": INNER, "vocab_size": TOKENS.len(), "type_vocab_size": 2,
        "max_position_embeddings": 12, "layer_norm_eps": 1e-12, "_name_or_path": "/home/me/model"})
}

pub fn tokenizer() -> Value {
    let vocabulary: BTreeMap<_, _> = TOKENS.iter().enumerate().map(|(id, token)| (*token, id)).collect();
    json!({"truncation": {"max_length": 4}, "padding": {"strategy": {"Fixed": 4}},
        "added_tokens": [{"id": 2, "content": "[CLS]"}], "pre_tokenizer": {"type": "BertPreTokenizer"},
        "normalizer": {"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true,
            "strip_accents": null, "lowercase": true},
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100, "vocab": vocabulary}})
}

pub fn shapes() -> Shapes {
    let mut shapes = Shapes::new();
    let mut add = |name: String, shape: &[usize]| drop(shapes.insert(name, shape.to_vec()));
    for (name, rows) in [("word", TOKENS.len()), ("position", 12), ("token_type", 2)] {
        add(format!("embeddings.{name}_embeddings.weight"), &[rows, HIDDEN]);
    }
    let mut norms = vec!["embeddings".to_owned()];
    for i in 0..2 {
        let layer = format!("encoder.layer.{i}");
        for part in ["attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"] {
            add(format!("{layer}.{part}.weight"), &[HIDDEN, HIDDEN]);
            add(format!("{layer}.{part}.bias"), &[HIDDEN]);
        }
        add(format!("{layer}.intermediate.dense.weight"), &[INNER, HIDDEN]);
        add(format!("{layer}.intermediate.dense.bias"), &[INNER]);
        add(format!("{layer}.output.dense.weight"), &[HIDDEN, INNER]);
        add(format!("{layer}.output.dense.bias"), &[HIDDEN]);
        norms.extend([format!("{layer}.attention.output"), format!("{layer}.output")]);
    }
    for name in norms {
        add(format!("{name}.LayerNorm.weight"), &[HIDDEN]);
        add(format!("{name}.LayerNorm.bias"), &[HIDDEN]);
    }
    shapes
}

/// The bytes of a safetensors file; `number` gives the numbers in turn.
pub fn safetensors(shapes: &Shapes, mut number: impl FnMut() -> f32) -> Vec<u8> {
    let (mut header, mut data) = (serde_json::Map::new(), Vec::new());
    for (name, shape) in shapes {
        let from = data.len();
        (0..shape.iter().product()).for_each(|_| data.extend(number().to_le_bytes()));
        header.insert(name.clone(), json!({"dtype": "F32", "shape": shape, "data_offsets": [from, data.len()]}));
    }
    let header = serde_json::to_vec(&header).unwrap();
    let length = u64::try_from(header.len()).unwrap().to_le_bytes();
    [&length[..], &header, &data].concat()
}

pub fn noise() -> impl FnMut() -> f32 {
    let mut state = 7_u16;
    move || {
        state = state.wrapping_mul(25_173).wrapping_add(13_849);
        f32::from(state) / 65_536.0 - 0.5
    }
}

impl Model {
    pub fn new() -> Self {
        let model = Self { folder: TempDir::new().unwrap() };
        model.write("config.json", config().to_string());
        model.write("tokenizer.json", tokenizer().to_string());
        model.write("model.safetensors", safetensors(&shapes(), noise()));
        model
    }

    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    pub fn without(name: &str) -> Self {
        let model = Self::new();
        fs::remove_file(model.folder.path().join(name)).unwrap();
        model
    }

    pub fn with(name: &str, content: impl AsRef<[u8]>) -> Self {
        let model = Self::new();
        model.write(name, content);
        model
    }

    /// A cross-encoder: the same encoder inside a model with a pooler and a classifier of one label.
    pub fn cross_encoder() -> Self {
        let mut inside: Shapes = shapes().into_iter().map(|(name, shape)| (format!("bert.{name}"), shape)).collect();
        inside.insert("bert.pooler.dense.weight".to_owned(), vec![HIDDEN, HIDDEN]);
        inside.insert("bert.pooler.dense.bias".to_owned(), vec![HIDDEN]);
        inside.insert("classifier.weight".to_owned(), vec![1, HIDDEN]);
        inside.insert("classifier.bias".to_owned(), vec![1]);
        let model = Self::with("model.safetensors", safetensors(&inside, noise()));
        let mut config = config();
        config["id2label"] = json!({"0": "LABEL_0"});
        model.write("config.json", config.to_string());
        model
    }
}
