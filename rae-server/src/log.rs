//! Logs: one line an event on standard error, written by a thread of their own. A reader that stops reading loses lines; it
//! does not stop the server. Every line that is written while a request is answered has the request's id and its trace's.

mod json;

use crate::{
    settings::{LogFormat, Settings},
    trace::Traces,
};
use rae_core::Error;
use std::{
    io::{self, Write},
    sync::{
        Arc, LazyLock,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    time::Duration,
};
use tracing_subscriber::{
    Layer, Registry,
    filter::{LevelFilter, filter_fn},
    fmt::MakeWriter,
    layer::SubscriberExt,
    util::SubscriberInitExt,
};

/// Lines that wait to be written.
const LINES_MAX: usize = 8_192;

static DROPPED: LazyLock<Arc<AtomicU64>> = LazyLock::new(Arc::default);

/// Lines that were lost because nobody read them.
pub fn dropped_lines() -> u64 {
    DROPPED.load(Ordering::Relaxed)
}

enum Message {
    Line(Vec<u8>),
    Flush(SyncSender<()>),
}

/// Ends the log and the traces: what waits is written first, for a short while.
#[derive(Debug)]
pub struct LogGuard {
    lines: SyncSender<Message>,
    /// Dropped after the lines: what it says last is lost, not waited for.
    _traces: Option<Traces>,
}

impl Drop for LogGuard {
    fn drop(&mut self) {
        let (done, wait) = sync_channel(1);
        if self.lines.try_send(Message::Flush(done)).is_ok() {
            // A reader that is stuck must not keep the process from ending.
            let _ = wait.recv_timeout(Duration::from_secs(1));
        }
    }
}

/// Starts the log of this process. The guard belongs into `main`.
pub fn start(settings: &Settings) -> rae_core::Result<LogGuard> {
    let failed = |e: io::Error| Error::internal(format!("the log cannot start: {e}")).with_source(e);
    let traces = Traces::start(settings)?;
    let (send, receive) = sync_channel(LINES_MAX);
    std::thread::Builder::new().name("rae-log".into()).spawn(move || write_lines(&receive)).map_err(failed)?;
    let lines = tracing_subscriber::fmt::layer().with_ansi(false).with_target(false).with_writer(Lines(send.clone()));
    let lines: Box<dyn Layer<Registry> + Send + Sync> = match settings.log_format {
        LogFormat::Text => lines.with_filter(settings.log_level).boxed(),
        LogFormat::Json => {
            json::RequestIds.and_then(lines.event_format(json::Json)).with_filter(settings.log_level).boxed()
        }
    };
    // Spans of our own alone; what the log says stays in the log.
    let spans = traces.as_ref().map(|traces| {
        let ours = filter_fn(|about| about.is_span() && about.target().starts_with("rae"));
        tracing_opentelemetry::layer()
            .with_tracer(traces.tracer())
            .with_location(false)
            .with_threads(false)
            .with_tracked_inactivity(false)
            .with_filter(ours.with_max_level_hint(LevelFilter::DEBUG))
            .boxed()
    });
    let layers: Vec<_> = std::iter::once(lines).chain(spans).collect();
    tracing_subscriber::registry().with(layers).try_init().map_err(|e| failed(io::Error::other(e)))?;
    Ok(LogGuard { lines: send, _traces: traces })
}

fn write_lines(receive: &Receiver<Message>) {
    let mut out = io::stderr();
    loop {
        match receive.recv_timeout(Duration::from_secs(3_600)) {
            // A closed standard error is no reason to end.
            Ok(Message::Line(line)) => drop(out.write_all(&line)),
            Ok(Message::Flush(done)) => drop(done.try_send(())),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

struct Lines(SyncSender<Message>);

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Line;

    fn make_writer(&'a self) -> Line {
        Line { send: self.0.clone(), bytes: Vec::with_capacity(256) }
    }
}

/// One line; sent when it is dropped.
struct Line {
    send: SyncSender<Message>,
    bytes: Vec<u8>,
}

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let line = std::mem::take(&mut self.bytes);
        if !line.is_empty() && self.send.try_send(Message::Line(line)).is_err() {
            DROPPED.fetch_add(1, Ordering::Relaxed);
        }
    }
}
