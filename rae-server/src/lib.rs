//! The hosted service around `rae-core`: the same verbs over HTTP, for many tenants. See docs/api.md and docs/operations.md.

pub mod adapters;
pub mod cli;
mod costs;
pub mod front;
mod health;
pub mod http;
mod jwt;
mod keys;
pub mod log;
pub mod metrics;
pub mod models;
pub mod places;
mod prices;
mod rate;
pub mod services;
pub mod settings;
pub mod shutdown;
pub mod state;
mod stores;
pub mod trace;
mod worker;

use cli::Role;
use front::Front;
use http::conn::Closed;
use rae_core::{Error, ErrorKind};
use services::{Ml, Rerank};
use settings::{AuthMode, Settings};
use state::App;
use std::{ffi::OsString, io::Write, net::SocketAddr, process::ExitCode, sync::Arc, time::Instant};
use tokio::{
    net::TcpListener,
    runtime::{self, Handle},
};

/// Exit code for wrong flags or settings.
const USAGE: u8 = 2;
/// Where the roles `ml` and `reranker` listen by default.
const ML_PORT: u16 = 8001;
const RERANKER_PORT: u16 = 8002;
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
        Role::OpenApi => http::openapi_text().and_then(|text| print(&text)),
        Role::Prices => prices::listed(flags).and_then(|text| print(&text)),
        Role::Healthcheck => health::check(&settings),
        Role::Migrate => with_log(&settings, || migrate(&settings)),
        Role::Ml | Role::Reranker => {
            let port = if role == Role::Ml { ML_PORT } else { RERANKER_PORT };
            with_log(&settings, || serve_models(settings.clone().with_default_port(port), role))
        }
        Role::All | Role::Api => with_log(&settings, || serve(settings.clone(), role)),
        Role::Worker => with_log(&settings, || work(settings.clone(), cli::child_arguments(flags))),
        Role::WorkerChild => with_log(&settings, || runtime("rae-worker", 2)?.block_on(worker::run_child(&settings))),
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
    // What is no text is not left out: a key of the operator with a wrong byte in it must not open the door.
    std::env::var_os(name).map(|value| value.to_string_lossy().into_owned())
}

fn print(text: &str) -> rae_core::Result<()> {
    let written = std::io::stdout().write_all(text.as_bytes());
    written.map_err(|e| Error::unavailable(format!("standard output cannot be written: {e}")).with_source(e))
}

fn with_log(settings: &Settings, work: impl FnOnce() -> rae_core::Result<()>) -> rae_core::Result<()> {
    let guard = log::start(settings)?;
    let done = work();
    drop(guard);
    done
}

fn migrate(settings: &Settings) -> rae_core::Result<()> {
    runtime("rae-migrate", 2)?.block_on(async {
        if state::migrate_hosted(settings).await? {
            tracing::info!("the store is up to date");
            return Ok(());
        }
        let rae = state::open(settings, Role::Migrate).await?.rae;
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
    let jobs = runtime("rae-jobs", settings.worker_concurrency.clamp(1, cpus()))?;
    let threads = jobs.handle().clone();
    let served = on_two_runtimes(|engine| async move {
        let mut signals = shutdown::Signals::listen()?;
        // The port first: where it is taken, no store is made.
        let listener = listen(&settings.host, settings.port, "--port").await?;
        let address = address_of(&listener)?;
        // It may wait for the ml service, or fetch a model.
        let opened = tokio::select! {
            opened = state::open(&settings, role) => opened?,
            () = signals.next() => return Ok(false),
        };
        let app = Arc::new(App::new(opened, settings, engine)?);
        if role == Role::All {
            worker::start_inside(&app, &threads);
        }
        announce(&app, address, started).await;
        let (router, front) = (http::router(Arc::clone(&app)), Arc::clone(&app.front));
        let close = |left| async move { app.close(left).await };
        shutdown::serve(listener, router, front, Closed::AsksNoMore, signals, close).await
    });
    jobs.shutdown_background();
    served
}

/// The roles that keep nothing. The model is loaded before the port is opened.
fn serve_models(settings: Settings, role: Role) -> rae_core::Result<()> {
    let started = Instant::now();
    on_two_runtimes(|engine| async move {
        let mut signals = shutdown::Signals::listen()?;
        let metrics = metrics::Metrics::new(settings.metrics_tenants)?;
        let front = Arc::new(Front::new(settings, metrics, engine));
        let loading = async {
            Ok::<_, Error>(if role == Role::Ml {
                let ml = Arc::new(Ml::new(Arc::clone(&front), models::embedder(&front.settings).await?)?);
                (Some(Arc::clone(&ml)), services::router(ml, Arc::clone(&front)))
            } else {
                let rerank = Rerank::new(Arc::clone(&front), models::reranker(&front.settings).await?);
                (None, services::router(Arc::new(rerank), Arc::clone(&front)))
            })
        };
        let (ml, router) = tokio::select! {
            loaded = loading => loaded?,
            () = signals.next() => return Ok(false),
        };
        let listener = listen(&front.settings.host, front.settings.port, "--port").await?;
        let address = address_of(&listener)?;
        let millis = started.elapsed().as_millis() as u64;
        tracing::info!(version = version(), millis, "listening on http://{address}");
        let quiet = Arc::clone(&front);
        let close = |left| async move {
            quiet.quiesce(left).await;
            if let Some(ml) = ml {
                ml.close();
            }
            Ok(())
        };
        // Their answers change nothing and are asked for by programs: nothing is computed for who has left.
        shutdown::serve(listener, router, front, Closed::HasLeft, signals, close).await
    })
}

/// Verbs and models compute; probes and connections must not wait for them, so they have threads of their own.
fn on_two_runtimes<F>(serve: impl FnOnce(Handle) -> F) -> rae_core::Result<()>
where
    F: Future<Output = rae_core::Result<bool>>,
{
    let engine = runtime("rae-engine", cpus().max(2))?;
    let front = runtime("rae-http", cpus().clamp(1, 4))?;
    if !front.block_on(serve(engine.handle().clone()))? {
        tracing::warn!("stopped at once, as asked");
    }
    // What still runs has had its time.
    front.shutdown_background();
    engine.shutdown_background();
    Ok(())
}

fn cpus() -> usize {
    std::thread::available_parallelism().map_or(2, std::num::NonZero::get)
}

fn address_of(listener: &TcpListener) -> rae_core::Result<SocketAddr> {
    listener.local_addr().map_err(|e| Error::internal("the socket has no address").with_source(e))
}

/// The role `worker`: children do the work, this process shows how they do.
fn work(settings: Settings, child: Vec<OsString>) -> rae_core::Result<()> {
    let started = Instant::now();
    let runtime = runtime("rae-worker", 2)?;
    let in_time = runtime.block_on(async {
        let signals = shutdown::Signals::listen()?;
        let listener = listen(&settings.host, settings.worker_port, "--worker-port").await?;
        let address = address_of(&listener)?;
        let opened = state::open(&settings, Role::Worker).await?;
        let app = Arc::new(App::new(opened, settings, tokio::runtime::Handle::current())?);
        let (children, millis) = (app.settings.worker_concurrency, started.elapsed().as_millis() as u64);
        tracing::info!(
            version = version(),
            children,
            millis,
            "working; metrics and health, listening on http://{address}"
        );
        worker::serve(listener, app, child, signals).await
    })?;
    if !in_time {
        tracing::warn!("stopped at once, as asked");
    }
    runtime.shutdown_background();
    Ok(())
}

async fn listen(host: &str, port: u16, flag: &str) -> rae_core::Result<TcpListener> {
    TcpListener::bind((host, port)).await.map_err(|e| {
        let hint = if e.kind() == std::io::ErrorKind::AddrInUse {
            format!("; another program has it: choose another {flag}")
        } else {
            String::new()
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
