//! A streamed answer of a model, of an open store or of a server.

use super::chats::RemotePieces;
use crate::{
    error::Result,
    http::OnReactor,
    model::ChatChunk,
    ops::{LlmCost, LlmStream},
};
use futures::Stream;
use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

/// The pieces of an answer as they come; any executor may poll them. After an error nothing more comes. Dropping it gives the call up:
/// what was produced until then is booked.
pub struct Streamed(Source);

enum Source {
    Local(OnReactor<LlmStream>),
    Remote(RemotePieces),
}

impl Streamed {
    pub(super) fn local(stream: LlmStream) -> Result<Self> {
        Ok(Self(Source::Local(OnReactor::new(stream)?)))
    }

    pub(super) fn remote(pieces: RemotePieces) -> Self {
        Self(Source::Remote(pieces))
    }

    /// What it cost; `None` until it has ended well.
    pub fn cost(&self) -> Option<LlmCost> {
        match &self.0 {
            Source::Local(stream) => stream.inner().cost(),
            Source::Remote(pieces) => pieces.cost().cloned(),
        }
    }
}

impl fmt::Debug for Streamed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Source::Local(stream) => stream.inner().fmt(f),
            Source::Remote(pieces) => pieces.fmt(f),
        }
    }
}

impl Stream for Streamed {
    type Item = Result<ChatChunk>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match &mut self.0 {
            Source::Local(stream) => Pin::new(stream).poll_next(cx),
            Source::Remote(pieces) => Pin::new(pieces).poll_next(cx),
        }
        .map(|piece| piece.map(|chunk| chunk.map_err(|e| e.with_operation("llm"))))
    }
}
