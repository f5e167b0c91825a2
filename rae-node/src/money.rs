//! Answers of models in pieces, and providers and prices as the options of `open` name them.

use crate::{
    errors::boundary,
    store::{Cancel, cancellable},
};
use futures::StreamExt;
use napi::{Env, bindgen_prelude::PromiseRaw};
use napi_derive::napi;
use rae_core::{Builder, CostOptions, Error, Result, providers::Providers, remote::Streamed, wire};
use serde_json::{Map, Value};
use std::sync::{Arc, Mutex, PoisonError};

/// A streamed answer of a model.
#[napi]
pub struct ChatPieces(Arc<Mutex<State>>);

enum State {
    Open(Box<Streamed>),
    /// A call waits for the next piece.
    Read,
    /// What it cost, where it ended well.
    Ended(Option<Value>),
}

fn swap(state: &Mutex<State>, new: State) -> State {
    std::mem::replace(&mut *state.lock().unwrap_or_else(PoisonError::into_inner), new)
}

fn take(state: &Mutex<State>) -> Result<Option<Box<Streamed>>> {
    match swap(state, State::Read) {
        State::Open(stream) => Ok(Some(stream)),
        State::Read => Err(Error::invalid("another call waits for the next piece of this stream")),
        State::Ended(end) => {
            swap(state, State::Ended(end));
            Ok(None)
        }
    }
}

impl ChatPieces {
    pub(crate) fn new(stream: Streamed) -> Self {
        Self(Arc::new(Mutex::new(State::Open(Box::new(stream)))))
    }
}

/// Ends the stream when the call that reads it is given up.
struct Reading {
    state: Arc<Mutex<State>>,
    stream: Option<Box<Streamed>>,
}

impl Drop for Reading {
    fn drop(&mut self) {
        if self.stream.take().is_some() {
            swap(&self.state, State::Ended(None));
        }
    }
}

#[napi]
impl ChatPieces {
    /// The next piece as JSON; null at the end. An error, an abort too, ends the stream: what was produced is booked.
    #[napi(ts_return_type = "Promise<string | null>")]
    pub fn next<'env>(
        &self,
        env: &'env Env,
        cancel: Option<&mut Cancel>,
    ) -> napi::Result<PromiseRaw<'env, Option<String>>> {
        let state = Arc::clone(&self.0);
        let read = async move {
            let Some(stream) = take(&state)? else { return Ok(None) };
            let mut reading = Reading { state, stream: Some(stream) };
            while let Some(stream) = &mut reading.stream {
                match stream.next().await.transpose()? {
                    Some(chunk) => {
                        let Some(piece) = wire::llm_chunk(&chunk) else { continue };
                        if let Some(stream) = reading.stream.take() {
                            swap(&reading.state, State::Open(stream));
                        }
                        return Ok(Some(crate::answer::written(&piece)));
                    }
                    None => {
                        let end = stream.cost().as_ref().map(wire::llm_end);
                        reading.stream = None;
                        swap(&reading.state, State::Ended(end));
                    }
                }
            }
            Ok(None)
        };
        env.spawn_future(boundary(cancellable(read, cancel)))
    }

    /// What it cost, as JSON; null until it has ended well.
    #[napi]
    pub fn end(&self) -> Option<String> {
        match &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            State::Ended(Some(end)) => Some(crate::answer::written(end)),
            _ => None,
        }
    }

    /// Gives the rest of the answer up: what was produced is booked.
    #[napi]
    pub fn close(&self) {
        if let Ok(Some(stream)) = take(&self.0) {
            swap(&self.0, State::Ended(None));
            drop(stream);
        }
    }
}

/// The builder with providers (those of the environment where none are named) and prices.
pub(crate) fn priced(
    builder: Builder,
    providers: Option<Map<String, Value>>,
    prices: Option<Value>,
    unknown_model: Option<Value>,
) -> Result<Builder> {
    let providers = match providers {
        Some(given) => wire::providers(given)?,
        None => Providers::from_env(|name| std::env::var(name).ok())?,
    };
    let prices = wire::prices(prices, unknown_model)?;
    Ok(builder.providers(Arc::new(providers)).costs(CostOptions { prices, ..CostOptions::default() }))
}
