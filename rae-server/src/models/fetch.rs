//! Fetching a model once: whole, checked, resumed where it broke off, by one process at a time.

use super::off_the_runtime;
use rae_core::{
    Error, ErrorKind, Result,
    limits::{MODEL_BYTES_MAX, MODEL_SIDE_FILE_BYTES_MAX},
};
use reqwest::{
    Client, Response, StatusCode, Url,
    header::{CONTENT_RANGE, ETAG, HeaderValue, IF_RANGE, LOCATION, RANGE},
};
use sha2::{Digest, Sha256};
use std::{
    fs::{self, File, TryLockError},
    io::{self, Read},
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::{
    io::AsyncWriteExt,
    time::{Instant, sleep, timeout},
};

/// The file that may be large.
const WEIGHTS: &str = "model.safetensors";
/// What is fetched of a model that nobody gave checksums for.
const NEEDED: [&str; 2] = ["config.json", WEIGHTS];
/// What is fetched beside it where it is there.
const USEFUL: [&str; 7] = [
    "tokenizer.json",
    "vocab.txt",
    "tokenizer_config.json",
    "modules.json",
    "1_Pooling/config.json",
    "sentence_bert_config.json",
    "config_sentence_transformers.json",
];
/// Attempts in a row that brought nothing.
const FAILURES_MAX: u32 = 5;
/// First pause after one; doubled each time.
const PAUSE: Duration = Duration::from_millis(200);
/// Time in which nothing arrives.
const STALL: Duration = Duration::from_secs(30);
/// Hubs send from their own address to that of a store of files.
const REDIRECTS_MAX: usize = 5;
/// Bytes between two lines in the log.
const PROGRESS: u64 = 32 << 20;
/// Pause between two looks for another process's lock.
const LOOK: Duration = Duration::from_millis(200);

/// A model somewhere.
#[derive(Debug, Clone)]
pub struct Source {
    url: Url,
    files: Vec<Wanted>,
}

#[derive(Debug, Clone)]
struct Wanted {
    name: String,
    sha256: Option<String>,
    needed: bool,
}

impl Source {
    /// The files under `url`. With checksums they are those that have one; without, which must be allowed, those of a model folder.
    pub fn new(url: Url, checksums: &[(String, String)], unverified: bool) -> Result<Self> {
        if checksums.is_empty() && !unverified {
            let message = "RAE_MODEL_URL needs RAE_MODEL_SHA256, the files of the model with their SHA-256, so that nobody can put \
                           another model in its place; or RAE_MODEL_UNVERIFIED=true, to trust whoever answers";
            return Err(Error::invalid(message).with_code("model_unverified"));
        }
        let wanted = |name: &str, sha256, needed| Wanted { name: name.to_owned(), sha256, needed };
        let files = if checksums.is_empty() {
            tracing::warn!(%url, "the model is fetched without checksums, as RAE_MODEL_UNVERIFIED says");
            let needed = NEEDED.iter().map(|name| wanted(name, None, true));
            needed.chain(USEFUL.iter().map(|name| wanted(name, None, false))).collect()
        } else {
            checksums.iter().map(|(name, sum)| wanted(name, Some(sum.clone()), true)).collect()
        };
        Ok(Self { url, files })
    }

    /// The folder's name in the cache: another address, file or checksum is another folder.
    fn key(&self) -> String {
        let mut hash = blake3::Hasher::new();
        hash.update(self.url.as_str().as_bytes());
        for file in &self.files {
            hash.update(format!("\n{}={}", file.name, file.sha256.as_deref().unwrap_or_default()).as_bytes());
        }
        hash.finalize().to_hex().chars().take(16).collect()
    }

    fn address(&self, file: &str) -> Url {
        let mut url = self.url.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(file.split('/'));
        }
        url
    }
}

/// The folder with the model under `cache`; nothing is asked of the network where it is there. What was fetched before a crash or a
/// broken line is kept beside it and taken up again, but for files without a checksum: they may have changed since.
///
/// # Errors
/// `Corrupt` when a file does not have its checksum, `InvalidInput` when the address has no such file, `Unavailable` when it does not
/// answer, `Timeout` after `limit`.
pub async fn fetch(source: &Source, cache: &Path, limit: Duration) -> Result<PathBuf> {
    let key = source.key();
    let whole = cache.join(&key);
    if whole.is_dir() {
        return Ok(whole);
    }
    let due = Instant::now() + limit;
    let _lock = lock(&cache.join(format!("{key}.lock")), due).await?;
    // Another process may have done it meanwhile.
    if whole.is_dir() {
        return Ok(whole);
    }
    let part = cache.join(format!("{key}.part"));
    if part.is_dir() && source.files.iter().any(|file| file.sha256.is_none()) {
        fs::remove_dir_all(&part).map_err(|e| cannot_write(&part, e))?;
    }
    fs::create_dir_all(&part).map_err(|e| cannot_write(&part, e))?;
    let client = rae_core::http::client(limit)?;
    tracing::info!(from = %source.url, "fetching the model");
    for file in &source.files {
        let fetched =
            timeout(due.saturating_duration_since(Instant::now()), whole_file(&client, source, file, &part)).await;
        fetched.unwrap_or_else(|_| Err(too_long(limit)))?;
    }
    fs::rename(&part, &whole).map_err(|e| cannot_write(&whole, e))?;
    // The name must last as the files do.
    File::open(cache).and_then(|folder| folder.sync_all()).map_err(|e| cannot_write(cache, e))?;
    tracing::info!(folder = %whole.display(), "the model is here");
    Ok(whole)
}

fn too_long(limit: Duration) -> Error {
    let seconds = limit.as_secs_f64();
    let message = format!(
        "the model was not fetched within {seconds} seconds (RAE_MODEL_TIMEOUT); the next start goes on from here"
    );
    Error::new(ErrorKind::Timeout, message)
}

fn cannot_write(path: &Path, error: io::Error) -> Error {
    Error::unavailable(format!("{} cannot be written: {error}", path.display())).with_source(error)
}

/// The lock of the system, which goes with its process.
async fn lock(path: &Path, due: Instant) -> Result<File> {
    let file = File::options().create(true).append(true).open(path).map_err(|e| cannot_write(path, e))?;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::Error(e)) => return Err(cannot_write(path, e)),
            Err(TryLockError::WouldBlock) if Instant::now() >= due => {
                return Err(Error::new(ErrorKind::Timeout, "another process is still fetching the model"));
            }
            Err(TryLockError::WouldBlock) => sleep(LOOK).await,
        }
    }
}

/// How an attempt ended.
enum Fault {
    /// Trying again may help.
    Passing(Error),
    /// It would not.
    Final(Error),
}

/// One file, whole and checked.
async fn whole_file(client: &Client, source: &Source, file: &Wanted, part: &Path) -> Result<()> {
    let path = part.join(&file.name);
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(|e| cannot_write(parent, e))?;
    }
    // Left whole by an earlier run.
    if path.is_file() && file.sha256.is_some() && check(file, &path).await.is_ok() {
        return Ok(());
    }
    let (mut failures, mut again, mut version) = (0, true, None);
    loop {
        let before = length(&path);
        let error = match attempt(client, source, file, &path, &mut version).await {
            Ok(false) => return Ok(()),
            Ok(true) => match check(file, &path).await {
                Ok(()) => return Ok(()),
                Err(error) => {
                    fs::remove_file(&path).map_err(|e| cannot_write(&path, e))?;
                    // What was put together of two answers may be of two versions; what came in one piece is what there is.
                    if before == 0 || !std::mem::take(&mut again) {
                        return Err(error);
                    }
                    continue;
                }
            },
            Err(Fault::Final(error)) => return Err(error),
            Err(Fault::Passing(error)) => error,
        };
        failures = if length(&path) > before { 0 } else { failures + 1 };
        if failures >= FAILURES_MAX {
            return Err(error);
        }
        tracing::info!(file = file.name, have = length(&path), %error, "fetching goes on");
        sleep(PAUSE * (1 << failures)).await;
    }
}

fn length(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |m| m.len())
}

/// Appends what is missing; false where the address has no such file and none is needed. `version` is the entity tag of what is there:
/// without one, and without a checksum, nothing could tell two versions apart, and the file is read from the start.
async fn attempt(
    client: &Client,
    source: &Source,
    file: &Wanted,
    path: &Path,
    version: &mut Option<HeaderValue>,
) -> Result<bool, Fault> {
    let have = if file.sha256.is_none() && version.is_none() { 0 } else { length(path) };
    let most = if file.name == WEIGHTS { MODEL_BYTES_MAX } else { MODEL_SIDE_FILE_BYTES_MAX };
    let mut response = follow(client, source.address(&file.name), have, version.as_ref()).await?;
    let status = response.status();
    let name = &file.name;
    let from = match status {
        StatusCode::OK => 0,
        StatusCode::PARTIAL_CONTENT if range_start(&response) == Some(have) => have,
        StatusCode::RANGE_NOT_SATISFIABLE if range_total(&response) == Some(have) => return Ok(true),
        StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE => {
            start_over(path)?;
            return Err(passing(format!("the hub sent another part of {name} than the one asked for")));
        }
        StatusCode::NOT_FOUND if !file.needed => return Ok(false),
        StatusCode::NOT_FOUND => {
            return Err(Fault::Final(Error::invalid(format!("{} has no {name}", source.url)).with_code("no_model")));
        }
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => {
            return Err(passing(format!("the hub answered {status} to {name}")));
        }
        status if status.is_server_error() => return Err(passing(format!("the hub answered {status} to {name}"))),
        status => return Err(Fault::Final(Error::unavailable(format!("the hub answered {status} to {name}")))),
    };
    let total = response.content_length().map(|left| left + from);
    if total.is_some_and(|total| total > most) {
        return Err(too_large(name, most));
    }
    *version = response.headers().get(ETAG).filter(|tag| tag.as_bytes().starts_with(b"\"")).cloned();
    write(&mut response, file, path, from, total, most).await?;
    Ok(true)
}

async fn write(
    response: &mut Response,
    file: &Wanted,
    path: &Path,
    from: u64,
    total: Option<u64>,
    most: u64,
) -> Result<(), Fault> {
    let failed = |e: io::Error| Fault::Final(cannot_write(path, e));
    let mut out = tokio::fs::File::options().create(true).append(true).open(path).await.map_err(failed)?;
    out.set_len(from).await.map_err(failed)?;
    let (mut have, mut told) = (from, from);
    let ended = loop {
        let next = timeout(STALL, response.chunk()).await;
        let chunk = match next {
            Ok(Ok(Some(chunk))) => chunk,
            Ok(Ok(None)) => break Ok(()),
            Ok(Err(error)) => break Err(passing(format!("{} broke off: {}", file.name, error.without_url()))),
            Err(_) => break Err(passing(format!("nothing more of {} arrived in time", file.name))),
        };
        have += chunk.len() as u64;
        if have > most {
            break Err(too_large(&file.name, most));
        }
        out.write_all(&chunk).await.map_err(failed)?;
        if have - told >= PROGRESS {
            told = have;
            tracing::info!(file = file.name, bytes = have, of = total, "fetching the model");
        }
    };
    // What has arrived counts, whatever came after it.
    out.flush().await.map_err(failed)?;
    out.sync_all().await.map_err(failed)?;
    ended?;
    match total {
        Some(total) if have < total => Err(passing(format!("{} is shorter than the hub said", file.name))),
        _ => Ok(()),
    }
}

fn passing(message: String) -> Fault {
    Fault::Passing(Error::unavailable(message).temporary())
}

fn too_large(name: &str, most: u64) -> Fault {
    Fault::Final(
        Error::invalid(format!("{name} of the model is larger than {most} bytes")).with_code("model_too_large"),
    )
}

fn start_over(path: &Path) -> Result<(), Fault> {
    fs::remove_file(path).map_err(|e| Fault::Final(cannot_write(path, e)))
}

/// Asks for the bytes from `have` on, of `version` where it is known; of another the hub sends the whole. Redirects are followed here, a few, and never from https to http.
async fn follow(client: &Client, mut url: Url, have: u64, version: Option<&HeaderValue>) -> Result<Response, Fault> {
    for _ in 0..=REDIRECTS_MAX {
        let mut request = client.get(url.clone());
        if have > 0 {
            request = request.header(RANGE, format!("bytes={have}-"));
            if let Some(version) = version {
                request = request.header(IF_RANGE, version);
            }
        }
        let response = timeout(STALL, request.send()).await;
        let response = response.map_err(|_| passing("the hub does not answer".to_owned()))?;
        let response = response.map_err(|e| passing(format!("the hub cannot be reached: {}", e.without_url())))?;
        if !response.status().is_redirection() {
            return Ok(response);
        }
        let to = response.headers().get(LOCATION).and_then(|to| to.to_str().ok()).and_then(|to| url.join(to).ok());
        let to = to.filter(|to| to.scheme() == "https" || (to.scheme() == "http" && url.scheme() == "http"));
        url = to.ok_or_else(|| Fault::Final(Error::unavailable("the hub redirects to where one must not follow")))?;
    }
    Err(Fault::Final(Error::unavailable(format!("the hub redirects more than {REDIRECTS_MAX} times"))))
}

/// The first byte of "bytes 5-9/10".
fn range_start(response: &Response) -> Option<u64> {
    content_range(response)?.split_once('-')?.0.parse().ok()
}

/// The last number of "bytes */10".
fn range_total(response: &Response) -> Option<u64> {
    content_range(response)?.rsplit_once('/')?.1.parse().ok()
}

fn content_range(response: &Response) -> Option<&str> {
    response.headers().get(CONTENT_RANGE)?.to_str().ok()?.strip_prefix("bytes ")
}

/// Whether the file has its checksum; one without a checksum is taken as it is.
async fn check(file: &Wanted, path: &Path) -> Result<()> {
    let Some(wanted) = file.sha256.clone() else { return Ok(()) };
    let shown = path.to_owned();
    let path = path.to_owned();
    let found = off_the_runtime(move || {
        sha256(&path).map_err(|e| Error::unavailable(format!("{} cannot be read: {e}", shown.display())))
    })
    .await?;
    if found == wanted {
        return Ok(());
    }
    let name = &file.name;
    let message =
        format!("{name} of the model has the SHA-256 {found}, not {wanted} as RAE_MODEL_SHA256 says; it is not used");
    Err(Error::corrupt(message).with_code("model_checksum"))
}

fn sha256(path: &Path) -> io::Result<String> {
    let (mut file, mut hash, mut buffer) = (File::open(path)?, Sha256::new(), vec![0; 1 << 20]);
    loop {
        let read = file.read(&mut buffer)?;
        match buffer.get(..read) {
            Some(bytes) if read > 0 => hash.update(bytes),
            _ => break,
        }
    }
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}
