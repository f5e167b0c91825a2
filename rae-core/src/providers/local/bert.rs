//! The encoder: weights and forward pass.
//!
//! The tokens of all texts of a batch stand one after the other in one matrix, without padding: only
//! attention looks at each text by itself. So no work is lost, and no text's numbers depend on the
//! others: candle's products (the gemm crate) sum each row in the same order however many rows there
//! are, except in results of at most 256 numbers, which no layer of a real model gives.

use super::{
    folder::{Config, WEIGHTS},
    math::Gelu,
};
use crate::error::{Error, Result};
use candle_core::{D, DType, Device, Tensor};
use candle_nn::ops::{layer_norm, softmax_last_dim};
use safetensors::{Dtype, SafeTensors};

/// How a Git checkout without its large files starts such a file.
const LFS_POINTER: &[u8] = b"version https://git-lfs";

/// A BERT encoder. All tensors are `f32` on the CPU.
#[derive(Debug)]
pub(super) struct Bert {
    words: Tensor,
    /// Positions with the first token type added to each, then those with the second, and so on.
    positions: Tensor,
    /// Positions of one token type.
    places: usize,
    norm: Norm,
    layers: Vec<Layer>,
    heads: usize,
    hidden: usize,
}

#[derive(Debug)]
struct Layer {
    /// Query, key and value side by side: one product instead of three.
    qkv: Linear,
    attended: Linear,
    norm_attended: Norm,
    up: Linear,
    down: Linear,
    norm: Norm,
}

/// What makes one number of a text's first token.
#[derive(Debug)]
pub(super) struct Head {
    pooler: Linear,
    weight: Vec<f32>,
    bias: f32,
}

/// A text, or two that are read together.
#[derive(Debug, Clone)]
pub(super) struct Input {
    /// Tokens.
    pub(super) ids: Vec<u32>,
    /// Tokens of the first token type; those behind have the second.
    pub(super) first: usize,
}

#[derive(Debug)]
struct Linear {
    /// (inputs, outputs), a transposed view of the stored matrix.
    weight: Tensor,
    bias: Tensor,
}

#[derive(Debug)]
struct Norm {
    weight: Tensor,
    bias: Tensor,
    epsilon: f32,
}

impl Linear {
    fn run(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        x.matmul(&self.weight)?.broadcast_add(&self.bias)
    }
}

impl Norm {
    fn run(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        layer_norm(x, &self.weight, &self.bias, self.epsilon)
    }
}

impl Bert {
    /// Takes the weights out of the bytes of a safetensors file, with the first `types` token types.
    ///
    /// # Errors
    /// `Corrupt` when the bytes are damaged, a tensor is missing, has another shape than `config` says
    /// or holds what is not a number; `Unsupported` for quantised weights.
    pub(super) fn from_safetensors(bytes: &[u8], config: &Config, types: usize) -> Result<Self> {
        let file = parse(bytes)?;
        let weights = Weights::new(&file);
        let hidden = config.hidden;
        let embedding = |name: &str, rows| weights.tensor(&format!("embeddings.{name}.weight"), &[rows, hidden]);
        let kinds = embedding("token_type_embeddings", config.types)?;
        let positions = embedding("position_embeddings", config.positions)?;
        let typed = |i| kinds.narrow(0, i, 1).and_then(|kind| positions.broadcast_add(&kind));
        let typed = (0..types).map(typed).collect::<candle_core::Result<Vec<_>>>().map_err(failed)?;
        Ok(Self {
            words: embedding("word_embeddings", config.vocabulary)?,
            positions: Tensor::cat(&typed, 0).map_err(failed)?,
            places: config.positions,
            norm: weights.norm("embeddings.LayerNorm", config)?,
            layers: (0..config.layers).map(|i| weights.layer(i, config)).collect::<Result<_>>()?,
            heads: config.heads,
            hidden,
        })
    }

    /// The mean of the last layer over each text's tokens, in the order given; texts of one length are
    /// best given side by side. No text may be empty, longer than the positions, or have ids past the
    /// vocabulary.
    pub(super) fn encode(&self, texts: &[&Input]) -> Result<Vec<Vec<f32>>> {
        let means = || {
            let runs = runs(texts);
            let x = self.forward(texts, &runs)?;
            let mut vectors = Vec::with_capacity(texts.len());
            let mut from = 0;
            for (count, length) in runs {
                let run = x.narrow(0, from, count * length)?.reshape((count, length, self.hidden))?;
                vectors.extend(run.mean(1)?.to_vec2::<f32>()?);
                from += count * length;
            }
            Ok(vectors)
        };
        means().map_err(failed)
    }

    /// What `head` makes of each text, on the terms of [`Bert::encode`].
    pub(super) fn score(&self, head: &Head, texts: &[&Input]) -> Result<Vec<f32>> {
        let pooled = || {
            let x = self.forward(texts, &runs(texts))?;
            let mut starts = Vec::with_capacity(texts.len());
            let mut at = 0_u32;
            for text in texts {
                starts.push(at);
                at = at.saturating_add(u32::try_from(text.ids.len()).unwrap_or(u32::MAX));
            }
            let starts = Tensor::from_vec(starts, texts.len(), &Device::Cpu)?;
            head.pooler.run(&x.index_select(&starts, 0)?)?.tanh()?.to_vec2::<f32>()
        };
        let one = |row: Vec<f32>| {
            let sum: f64 = row.iter().zip(&head.weight).map(|(x, w)| f64::from(*x) * f64::from(*w)).sum();
            #[expect(clippy::cast_possible_truncation, reason = "rounding to the score's own precision")]
            let score = (sum + f64::from(head.bias)) as f32;
            score
        };
        Ok(pooled().map_err(failed)?.into_iter().map(one).collect())
    }

    /// The last layer: a row a token.
    fn forward(&self, texts: &[&Input], runs: &[(usize, usize)]) -> candle_core::Result<Tensor> {
        let ids: Vec<u32> = texts.iter().flat_map(|t| t.ids.iter().copied()).collect();
        let count = ids.len();
        let ids = Tensor::from_vec(ids, count, &Device::Cpu)?;
        let second = u32::try_from(self.places).unwrap_or(u32::MAX);
        let place =
            |(place, at): (u32, usize), first: usize| if at < first { place } else { second.saturating_add(place) };
        let places: Vec<u32> =
            texts.iter().flat_map(|t| (0_u32..).zip(0..t.ids.len()).map(|p| place(p, t.first))).collect();
        let places = Tensor::from_vec(places, count, &Device::Cpu)?;
        let embedded = (self.words.index_select(&ids, 0)? + self.positions.index_select(&places, 0)?)?;
        let mut x = self.norm.run(&embedded)?;
        for layer in &self.layers {
            let attended = layer.attended.run(&self.attention(&layer.qkv.run(&x)?, runs)?)?;
            x = layer.norm_attended.run(&(x + attended)?)?;
            let up = layer.up.run(&x)?;
            up.inplace_op1(&Gelu)?;
            x = layer.norm.run(&(&x + layer.down.run(&up)?)?)?;
        }
        Ok(x)
    }

    /// Each token's mixture of the values of its own text: (tokens, 3 * hidden) to (tokens, hidden).
    fn attention(&self, qkv: &Tensor, runs: &[(usize, usize)]) -> candle_core::Result<Tensor> {
        let size = self.hidden / self.heads;
        #[expect(clippy::cast_precision_loss, reason = "at most DIM_MAX")]
        let scale = 1.0 / (size as f64).sqrt();
        let mut parts = Vec::with_capacity(runs.len());
        let mut from = 0;
        for &(count, length) in runs {
            let run = qkv.narrow(0, from, count * length)?.reshape((count, length, 3, self.heads, size))?;
            let run = run.permute((2, 0, 3, 1, 4))?.contiguous()?;
            let (query, key, value) = (run.get(0)?, run.get(1)?, run.get(2)?);
            let scores = softmax_last_dim(&(query.matmul(&key.transpose(D::Minus2, D::Minus1)?)? * scale)?)?;
            let mixed = scores.matmul(&value)?.transpose(1, 2)?;
            parts.push(mixed.reshape((count * length, self.hidden))?);
            from += count * length;
        }
        Tensor::cat(&parts, 0)
    }
}

/// Runs of texts of one length: how many, and how long.
fn runs(texts: &[&Input]) -> Vec<(usize, usize)> {
    let same = texts.chunk_by(|a, b| a.ids.len() == b.ids.len());
    same.map(|run| (run.len(), run.first().map_or(0, |t| t.ids.len()))).collect()
}

impl Head {
    /// Takes the pooler and the classifier out of the bytes of a safetensors file.
    ///
    /// # Errors
    /// As [`Bert::from_safetensors`].
    pub(super) fn from_safetensors(bytes: &[u8], config: &Config) -> Result<Self> {
        let file = parse(bytes)?;
        let weights = Weights::new(&file);
        let pooler = weights.linear(&["pooler.dense".to_owned()], config.hidden, config.hidden)?;
        // The classifier stands beside the encoder, not in it.
        let outside = Weights { file: &file, prefix: "" };
        let numbers = |name: &str, shape: &[usize]| {
            outside.tensor(name, shape).and_then(|t| t.flatten_all().and_then(|t| t.to_vec1::<f32>()).map_err(failed))
        };
        let bias = numbers("classifier.bias", &[1])?;
        let weight = numbers("classifier.weight", &[1, config.hidden])?;
        Ok(Self { pooler, weight, bias: bias.first().copied().unwrap_or_default() })
    }
}

fn parse(bytes: &[u8]) -> Result<SafeTensors<'_>> {
    if bytes.starts_with(LFS_POINTER) {
        return Err(Error::corrupt(format!("{WEIGHTS} is a Git LFS pointer, not the weights (git lfs pull)")));
    }
    SafeTensors::deserialize(bytes)
        .map_err(|e| Error::corrupt(format!("{WEIGHTS} of the model is damaged: {e}")).with_source(e))
}

/// A failure inside candle that the checks on loading should have made impossible.
fn failed(e: candle_core::Error) -> Error {
    Error::internal("the local model failed to compute").with_source(e)
}

/// Tensors by name, checked.
struct Weights<'a> {
    file: &'a SafeTensors<'a>,
    /// Some folders store the encoder as part of a larger model.
    prefix: &'static str,
}

impl<'a> Weights<'a> {
    fn new(file: &'a SafeTensors<'a>) -> Self {
        let inside = file.tensor("bert.embeddings.word_embeddings.weight").is_ok();
        Self { file, prefix: if inside { "bert." } else { "" } }
    }

    fn tensor(&self, name: &str, shape: &[usize]) -> Result<Tensor> {
        let name = format!("{}{name}", self.prefix);
        let view = self
            .file
            .tensor(&name)
            .map_err(|e| Error::corrupt(format!("{WEIGHTS} of the model has no tensor {name}")).with_source(e))?;
        if view.shape() != shape {
            let found = view.shape();
            return Err(Error::corrupt(format!(
                "tensor {name} in {WEIGHTS} has shape {found:?}; the configuration says {shape:?}"
            )));
        }
        let dtype = match view.dtype() {
            Dtype::F32 => DType::F32,
            Dtype::F16 => DType::F16,
            Dtype::BF16 => DType::BF16,
            other => return Err(Error::unsupported(format!("tensor {name} in {WEIGHTS} holds {other:?} numbers"))),
        };
        let tensor = Tensor::from_raw_buffer(view.data(), dtype, shape, &Device::Cpu)
            .and_then(|t| t.to_dtype(DType::F32))
            .map_err(failed)?;
        // One bad number would spread into every vector.
        let numbers = tensor.flatten_all().and_then(|t| t.to_vec1::<f32>()).map_err(failed)?;
        if !numbers.iter().all(|x| x.is_finite()) {
            return Err(Error::corrupt(format!("tensor {name} in {WEIGHTS} holds numbers that are not finite")));
        }
        Ok(tensor)
    }

    fn norm(&self, name: &str, config: &Config) -> Result<Norm> {
        let part = |part: &str| self.tensor(&format!("{name}.{part}"), &[config.hidden]);
        Ok(Norm { weight: part("weight")?, bias: part("bias")?, epsilon: config.epsilon })
    }

    /// The linear maps `names`, side by side.
    fn linear(&self, names: &[String], inputs: usize, outputs: usize) -> Result<Linear> {
        let all = |part: &str, shape: &[usize]| -> Result<Tensor> {
            let parts = names.iter().map(|n| self.tensor(&format!("{n}.{part}"), shape)).collect::<Result<Vec<_>>>()?;
            Tensor::cat(&parts, 0).map_err(failed)
        };
        let weight = all("weight", &[outputs, inputs])?.t().map_err(failed)?;
        Ok(Linear { weight, bias: all("bias", &[outputs])? })
    }

    fn layer(&self, index: usize, config: &Config) -> Result<Layer> {
        let name = |part: &str| format!("encoder.layer.{index}.{part}");
        let (hidden, inner) = (config.hidden, config.intermediate);
        let qkv = ["query", "key", "value"].map(|part| name(&format!("attention.self.{part}")));
        Ok(Layer {
            qkv: self.linear(&qkv, hidden, hidden)?,
            attended: self.linear(&[name("attention.output.dense")], hidden, hidden)?,
            norm_attended: self.norm(&name("attention.output.LayerNorm"), config)?,
            up: self.linear(&[name("intermediate.dense")], hidden, inner)?,
            down: self.linear(&[name("output.dense")], inner, hidden)?,
            norm: self.norm(&name("output.LayerNorm"), config)?,
        })
    }
}
