//! Which model a process uses, and where it comes from: a folder, a hub it is fetched from once, or a service.

pub mod fetch;

use crate::{
    adapters::ml::{RemoteEmbedder, RemoteReranker},
    settings::Settings,
    state::make_folder,
};
use rae_core::{
    Embedding, Error, Result,
    ports::{Embedder, Reranker},
    providers::LocalReranker,
};
use std::{path::PathBuf, sync::Arc};

/// The embedder of a process that opens a store: a provider's, or that of the ml service, where the settings name one. A provider's
/// is loaded with the store, which has the keys.
pub async fn embedding_of_store(settings: &Settings) -> Result<Embedding> {
    match (&settings.embedder, &settings.ml_url) {
        (Some(_), Some(_)) => Err(Error::invalid("RAE_EMBEDDER and RAE_ML_URL name two embedders; set one of them")),
        (Some(name), None) => Ok(Embedding::Provider(name.parse()?)),
        (None, Some(url)) => {
            let (timeout, patience) = (settings.ml_timeout, settings.ml_start_timeout);
            Ok(Embedding::Custom(Arc::new(RemoteEmbedder::connect(url.clone(), timeout, patience).await?)))
        }
        (None, None) => Ok(Embedding::Custom(embedder(settings).await?)),
    }
}

/// The reranker of a process that opens a store: that of the service, or one in the process.
pub async fn reranker_of_store(settings: &Settings) -> Result<Option<Arc<dyn Reranker>>> {
    match (&settings.reranker_url, &settings.rerank_model_dir) {
        (Some(url), _) => Ok(Some(Arc::new(RemoteReranker::new(url.clone(), settings.ml_timeout)?))),
        (None, Some(folder)) => Ok(Some(load_reranker(folder.clone()).await?)),
        (None, None) => Ok(None),
    }
}

/// The embedder in this process: the model of the folder, or the built-in table.
pub async fn embedder(settings: &Settings) -> Result<Arc<dyn Embedder>> {
    let embedding = folder(settings).await?.map_or(Embedding::Builtin, Embedding::Folder);
    let embedder = off_the_runtime(|| embedding.load()).await?;
    tracing::info!(embedder = embedder.id(), dim = embedder.dim(), "embedding in the process");
    Ok(embedder)
}

/// The cross-encoder in this process, where there is one.
pub async fn reranker(settings: &Settings) -> Result<Option<Arc<dyn Reranker>>> {
    match folder(settings).await? {
        Some(folder) => Ok(Some(load_reranker(folder).await?)),
        None => {
            tracing::warn!(
                "no cross-encoder: set RAE_MODEL_DIR or RAE_MODEL_URL; until then /rerank is answered with 501"
            );
            Ok(None)
        }
    }
}

async fn load_reranker(folder: PathBuf) -> Result<Arc<dyn Reranker>> {
    let reranker = off_the_runtime(move || LocalReranker::load(&folder)).await?;
    tracing::info!(reranker = reranker.id(), "reranking in the process");
    Ok(Arc::new(reranker))
}

/// Reading and checking weights takes a second or more.
async fn off_the_runtime<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|e| Error::internal("the model could not be loaded").with_source(e))?
}

/// The folder with the model: the one that is named, else the one that was fetched.
async fn folder(settings: &Settings) -> Result<Option<PathBuf>> {
    let Some(url) = &settings.model_url else { return Ok(settings.model_dir.clone()) };
    if settings.model_dir.is_some() {
        tracing::info!("RAE_MODEL_DIR is set: nothing is fetched from RAE_MODEL_URL");
        return Ok(settings.model_dir.clone());
    }
    let cache = settings.model_cache.clone().unwrap_or_else(|| settings.data_dir.join("models"));
    make_folder(&cache)?;
    let source = fetch::Source::new(url.clone(), &settings.model_sha256, settings.model_unverified)?;
    fetch::fetch(&source, &cache, settings.model_timeout).await.map(Some)
}
