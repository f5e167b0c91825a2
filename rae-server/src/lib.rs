//! The hosted service around `rae-core`: the same verbs over HTTP, for many tenants. See docs/api.md and docs/operations.md.

pub mod adapters;
pub mod cli;
mod health;
pub mod http;
mod jwt;
mod keys;
pub mod log;
pub mod metrics;
mod rate;
pub mod settings;
pub mod shutdown;
pub mod state;
mod stores;

use cli::Role;
use rae_core::{Error, ErrorKind};
use settings::{AuthMode, Settings};
use state::App;
use std::{ffi::OsString, io::Write, net::SocketAddr, process::ExitCode, sync::Arc, time::Instant};
use tokio::{net::TcpListener, runtime};

/// Exit code for wrong flags or settings.
const USAGE: u8 = 2;
/// A key shorter than this can be guessed.
const KEY_BYTES_MIN: usize = 16;

/// Version of the engine this server was built with, for example `0.1.0`.
pub fn version() -> &'static str {
    rae_core::version()
}

/// The whole program. Exit codes: 0 when it did what was asked, 1 when it failed, 2 for wrong flags or settings.
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let matches = match cli::command().try_get_matches_from(args) {
        Ok(matches) => matches,
        // --help and --version come this way too, with exit code 0.
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(USAGE) } else { ExitCode::SUCCESS };
        }
    };
    let (role, flags) = cli::role(&matches);
    let settings = match Settings::load(flags, variable) {
        Ok(settings) => settings,
        Err(message) => return fail(USAGE, &message),
    };
    let done = match role {
        Role::OpenApi => print_openapi(),
        Role::Healthcheck => health::check(&settings),
        Role::Migrate => with_log(&settings, || migrate(&settings)),
        Role::All | Role::Api => with_log(&settings, || serve(settings.clone(), role)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(1, error.message()),
    }
}

fn fail(code: u8, message: &str) -> ExitCode {
    // Where standard error is closed, the exit code has to do.
    let _ = writeln!(std::io::stderr(), "rae-server: {message}");
    ExitCode::from(code)
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn print_openapi() -> rae_core::Result<()> {
    let text = http::openapi_text()?;
    let written = std::io::stdout().write_all(text.as_bytes());
    written.map_err(|e| Error::unavailable(format!("standard output cannot be written: {e}")).with_source(e))
}

fn with_log(settings: &Settings, work: impl FnOnce() -> rae_core::Result<()>) -> rae_core::Result<()> {
    let guard =
        log::start(settings).map_err(|e| Error::internal(format!("the log cannot start: {e}")).with_source(e))?;
    let done = work();
    drop(guard);
    done
}

fn migrate(settings: &Settings) -> rae_core::Result<()> {
    runtime("rae-migrate", 2)?.block_on(async {
        let rae = state::open(settings, Role::Migrate, variable).await?;
        let version = rae.stats().await?.schema_version;
        rae.close().await?;
        tracing::info!(schema_version = version, "the store is up to date");
        Ok(())
    })
}

fn runtime(name: &str, threads: usize) -> rae_core::Result<runtime::Runtime> {
    let built = runtime::Builder::new_multi_thread().worker_threads(threads).thread_name(name).enable_all().build();
    built.map_err(|e| Error::unavailable(format!("no threads could be started: {e}")).with_source(e))
}

fn serve(settings: Settings, role: Role) -> rae_core::Result<()> {
    let started = Instant::now();
    let cpus = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    // Verbs compute; probes and connections must not wait for them, so they have threads of their own.
    let engine = runtime("rae-engine", cpus.max(2))?;
    let front = runtime("rae-http", cpus.clamp(1, 4))?;
    let ended = front.block_on(async {
        let signals = shutdown::Signals::listen()?;
        // The port first: where it is taken, no store is made.
        let listener = listen(&settings).await?;
        let address = listener.local_addr().map_err(|e| Error::internal("the socket has no address").with_source(e))?;
        let rae = state::open(&settings, role, variable).await?;
        let app = Arc::new(App::new(rae, settings, engine.handle().clone())?);
        announce(&app, address, started).await;
        shutdown::serve(listener, app, signals).await
    })?;
    if !ended {
        tracing::warn!("stopped at once, as asked");
    }
    // What still runs has had its time.
    front.shutdown_background();
    engine.shutdown_background();
    Ok(())
}

async fn listen(settings: &Settings) -> rae_core::Result<TcpListener> {
    let (host, port) = (settings.host.as_str(), settings.port);
    TcpListener::bind((host, port)).await.map_err(|e| {
        let hint = if e.kind() == std::io::ErrorKind::AddrInUse {
            "; another program has it: choose another --port"
        } else {
            ""
        };
        Error::new(ErrorKind::Unavailable, format!("cannot listen on {host}:{port}: {e}{hint}")).with_source(e)
    })
}

/// Says where the server is, and what an operator should know.
async fn announce(app: &App, address: SocketAddr, started: Instant) {
    let settings = &app.settings;
    // A store that does not answer now is asked again by the first request.
    if app.keys.trusts_header(&app.rae).await.unwrap_or(true) {
        tracing::warn!(
            "THE TENANT HEADER IS TRUSTED: whoever can reach {address} can read and erase every tenant by naming it in \
             X-Tenant-ID. Set RAE_API_MASTER_KEY to ask for keys."
        );
    }
    if settings.auth == AuthMode::Keys
        && settings.jwt_issuer.is_none()
        && !app.keys.has_master()
        && !app.rae.has_had_keys().await.unwrap_or(true)
    {
        tracing::warn!(
            "RAE_AUTH=keys, but there is neither RAE_API_MASTER_KEY nor a stored key: nobody can be let in. Set the master \
             key, and make keys with POST /v1/api-keys."
        );
    }
    if settings.api_master_key.as_ref().is_some_and(|key| key.reveal().len() < KEY_BYTES_MIN) {
        tracing::warn!("RAE_API_MASTER_KEY is shorter than {KEY_BYTES_MIN} bytes and can be guessed");
    }
    let data = settings.data_dir.display();
    let millis = started.elapsed().as_millis() as u64;
    tracing::info!(version = version(), %data, millis, "listening on http://{address}");
}
