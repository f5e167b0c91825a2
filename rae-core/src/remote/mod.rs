//! A RAE server with the methods of an open store: the same verbs, answers and errors, over HTTP.
//!
//! What is different is what a network makes different. Nothing is asked of the server when a [`Remote`] is made; a call finds out
//! whether one answers. Every call has a time limit. A call whose connection breaks is made again where that cannot do a thing
//! twice: what only reads, and `remember`, which gets an idempotency key of its own where the caller gives none. Of any other
//! write the error says that it may have been done. A call that was certainly not begun, since nothing took the connection or the
//! server said that it is full, is made again too.
//!
//! Futures run on any executor: sockets belong to a thread of this module's own, which ends with the last handle.

mod answer;
mod chats;
mod entities;
mod evals;
mod files;
mod handle;
mod money;
mod pieces;
mod sessions;
mod transport;
mod verbs;

use crate::{
    error::{Error, Result},
    model::Scope,
};
pub use chats::RemotePieces;
pub use handle::Handle;
pub use pieces::Streamed;
use reqwest::{Url, header::HeaderValue};
use std::{fmt, path::PathBuf, sync::Arc, time::Duration};
use transport::Transport;

/// Longest time of a call where nothing else is said. Chats say it themselves.
const CALL: Duration = Duration::from_secs(60);
/// The same for what takes a time in proportion to a project; the server's own limit is an hour.
const BULK: Duration = Duration::from_secs(3_660);

/// How to reach a server. Made by [`Remote::connect`].
#[derive(Clone)]
pub struct Connect {
    url: String,
    api_key: Option<String>,
    tenant: Option<String>,
    project: Option<String>,
    timeout: Option<Duration>,
    authorities: Option<PathBuf>,
}

impl fmt::Debug for Connect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Neither the key nor the address, in which somebody may have put a password.
        f.debug_struct("Connect").field("tenant", &self.tenant).field("project", &self.project).finish_non_exhaustive()
    }
}

impl Connect {
    /// The key that the server wants, sent as `Authorization: Bearer`.
    pub fn api_key(mut self, key: impl Into<String>) -> Self {
        self.api_key = Some(key.into());
        self
    }

    /// The tenant. Without one: `default` where there is no key; else the key says whose memories are meant.
    pub fn tenant(mut self, tenant: impl Into<String>) -> Self {
        self.tenant = Some(tenant.into());
        self
    }

    /// The project. Without one: `default` where there is no key; else the server's default, or the key's.
    pub fn project(mut self, project: impl Into<String>) -> Self {
        self.project = Some(project.into());
        self
    }

    /// Longest time of any one call; default a minute, an hour for exports, imports, audits and the like, and ten minutes for chats.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// A PEM file of certificates to trust beside the public ones, for a server behind an authority of one's own.
    pub fn authorities(mut self, file: impl Into<PathBuf>) -> Self {
        self.authorities = Some(file.into());
        self
    }

    /// The handle. Does not touch the network. InvalidInput for an address that is none, a key or a name that no header can carry,
    /// a file without certificates.
    pub fn open(self) -> Result<Remote> {
        let base = base(&self.url)?;
        let key = self.api_key.as_deref().map(bearer).transpose()?;
        let tenant = self.tenant.or_else(|| key.is_none().then(|| "default".to_owned()));
        let project = self.project.or_else(|| key.is_none().then(|| "default".to_owned()));
        let who = Who::new(tenant, project)?;
        let timeout = self.timeout;
        if timeout.is_some_and(|t| t.is_zero()) {
            return Err(Error::invalid("timeout must be above 0"));
        }
        let is_key_in_clear = key.is_some() && base.scheme() == "http" && !is_loopback(&base);
        if is_key_in_clear {
            tracing::warn!("the API key is sent without encryption; use https:// outside of a network that you trust");
        }
        let transport = Arc::new(Transport::start(base, key, self.authorities.as_deref())?);
        Ok(Remote { transport, who, timeout, is_key_in_clear })
    }
}

/// The memories of one tenant and project on a server. Cheap to clone; clones share the connections. See the [module](self).
#[derive(Debug, Clone)]
pub struct Remote {
    transport: Arc<Transport>,
    who: Who,
    timeout: Option<Duration>,
    is_key_in_clear: bool,
}

impl Remote {
    /// How to reach the server at this address: `http://` or `https://`, with a path where it lies behind one.
    ///
    /// ```no_run
    /// # rae_core::block_on(async {
    /// use rae_core::{NewMemory, RecallOptions, remote::Remote};
    /// let mem = Remote::connect("http://127.0.0.1:8000").tenant("acme").open()?;
    /// mem.remember(NewMemory::new("The ferry leaves at ten.")).await?;
    /// let hits = mem.recall("When does the ferry leave?", RecallOptions::default()).await?;
    /// assert_eq!(hits.hits[0].content, "The ferry leaves at ten.");
    /// # Ok::<_, rae_core::Error>(()) }).unwrap();
    /// ```
    pub fn connect(url: impl Into<String>) -> Connect {
        Connect { url: url.into(), api_key: None, tenant: None, project: None, timeout: None, authorities: None }
    }

    /// The same server seen by another tenant or project; `None` keeps the present one.
    pub fn with_scope(&self, tenant: Option<String>, project: Option<String>) -> Result<Self> {
        let tenant = tenant.or_else(|| self.who.tenant.clone());
        let who = Who::new(tenant, project.or_else(|| self.who.project.clone()))?;
        Ok(Self { who, ..self.clone() })
    }

    /// The tenant; `None` where the key decides.
    pub fn tenant(&self) -> Option<&str> {
        self.who.tenant.as_deref()
    }

    /// The project; `None` where the server or the key decides.
    pub fn project(&self) -> Option<&str> {
        self.who.project.as_deref()
    }

    /// The address of the server, with a slash at its end.
    pub fn url(&self) -> &str {
        self.transport.base.as_str()
    }

    /// Whether the key goes over the network unencrypted, to another machine.
    pub fn is_key_in_clear(&self) -> bool {
        self.is_key_in_clear
    }

    /// Ends the handle, for all clones: later calls fail as those of a closed store. Calls under way go on. The server goes on too.
    pub fn close(&self) {
        self.transport.close();
    }
}

/// Whose memories are meant, as headers.
#[derive(Debug, Clone)]
struct Who {
    tenant: Option<String>,
    project: Option<String>,
    headers: [Option<HeaderValue>; 2],
}

impl Who {
    fn new(tenant: Option<String>, project: Option<String>) -> Result<Self> {
        let or_default = |name: &Option<String>| name.clone().unwrap_or_else(|| "default".to_owned());
        Scope::new(or_default(&tenant), or_default(&project))?;
        let headers = [header("tenant", tenant.as_deref())?, header("project", project.as_deref())?];
        Ok(Self { tenant, project, headers })
    }
}

/// A name as the value of a header. Blanks at its ends would be lost on the way, and it would name somebody else.
fn header(what: &str, name: Option<&str>) -> Result<Option<HeaderValue>> {
    let Some(name) = name else { return Ok(None) };
    let value = Some(name).filter(|n| n.trim_matches([' ', '\t']) == *n).map(|n| HeaderValue::from_bytes(n.as_bytes()));
    let wrong =
        || Error::invalid(format!("over HTTP, {what} must not begin or end with a blank, or hold a control character"));
    value.and_then(|v| v.ok()).map(Some).ok_or_else(wrong)
}

fn bearer(key: &str) -> Result<HeaderValue> {
    let wrong = || {
        Error::invalid("the API key must be letters, digits and signs of ASCII, without blanks")
            .with_code("invalid_key")
    };
    if key.is_empty() || !key.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(wrong());
    }
    let mut value = HeaderValue::try_from(format!("Bearer {key}")).map_err(|_| wrong())?;
    value.set_sensitive(true);
    Ok(value)
}

/// The address that the routes are joined to: its path ends with a slash.
fn base(url: &str) -> Result<Url> {
    // The address itself is not repeated: it may hold a password.
    let wrong = |why: &str| Error::invalid(format!("the server's address {why}")).with_code("invalid_url");
    let mut base = Url::parse(url.trim())
        .map_err(|_| wrong("must be a URL like http://127.0.0.1:8000 or https://memory.example/rae"))?;
    if !matches!(base.scheme(), "http" | "https") || !base.has_host() {
        return Err(wrong("must begin with http:// or https:// and name a host"));
    }
    if !base.username().is_empty() || base.password().is_some() {
        return Err(wrong("must not hold a user or a password; give the key as api_key"));
    }
    if base.query().is_some() || base.fragment().is_some() {
        return Err(wrong("must not hold a ? or a #"));
    }
    if !base.path().ends_with('/') {
        let path = format!("{}/", base.path());
        base.set_path(&path);
    }
    Ok(base)
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests;
