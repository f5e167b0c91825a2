//! `embed` and `vector`: the vectors themselves, for programs that compute with them.

use super::get::get;
use crate::{
    deps::Deps,
    error::{Error, Result},
    jobs::embed_debt::embed_texts,
    limits::{CONTENT_BYTES_MAX, EMBED_TEXTS_MAX},
    model::{MemoryId, Scope},
    ports::EmbedRole,
};

pub(crate) async fn embed(
    deps: &Deps,
    scope: &Scope,
    texts: &[&str],
    role: EmbedRole,
) -> Result<Vec<Option<Vec<f32>>>> {
    let ctx = deps.ctx(scope)?;
    check_texts(texts)?;
    let embedder = deps.embedder();
    let trimmed: Vec<&str> = texts.iter().map(|text| text.trim()).collect();
    // Nothing is known of an empty text, and a provider may refuse it.
    let asked: Vec<&str> = trimmed.iter().copied().filter(|text| !text.is_empty()).collect();
    let mut vectors = embed_texts(deps, &ctx, &*embedder, &asked, role).await?.into_iter();
    Ok(trimmed.iter().map(|text| if text.is_empty() { None } else { vectors.next().flatten() }).collect())
}

/// Whether texts are within the bounds of one call.
pub(crate) fn check_texts(texts: &[&str]) -> Result<()> {
    if texts.len() > EMBED_TEXTS_MAX {
        let message = format!("{} texts were given; one call embeds at most {EMBED_TEXTS_MAX}", texts.len());
        return Err(Error::invalid(message).with_code("too_many_texts"));
    }
    if let Some((i, long)) = texts.iter().enumerate().find(|(_, text)| text.len() > CONTENT_BYTES_MAX) {
        let message = format!("text {i} has {} bytes; one has at most {CONTENT_BYTES_MAX} (1 MiB)", long.len());
        let details = serde_json::json!({ "item": i });
        return Err(Error::invalid(message).with_code("text_too_long").with_details(details));
    }
    Ok(())
}

pub(crate) async fn vector(deps: &Deps, scope: &Scope, id: MemoryId) -> Result<Option<Vec<f32>>> {
    get(deps, scope, id).await?;
    let vectors = deps.relational.vectors_of(&deps.ctx(scope)?, deps.embedder().id(), &[id]).await?;
    Ok(vectors.into_iter().next().flatten())
}
