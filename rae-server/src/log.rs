//! Logs: one line an event on standard error, written by a thread of their own. A reader that stops reading loses lines; it
//! does not stop the server.

use crate::settings::{LogFormat, Settings};
use std::{
    io::{self, Write},
    sync::{
        Arc, LazyLock,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    time::Duration,
};
use tracing_subscriber::fmt::MakeWriter;

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

/// Ends the log: what waits is written first, for a short while.
#[derive(Debug)]
pub struct LogGuard(SyncSender<Message>);

impl Drop for LogGuard {
    fn drop(&mut self) {
        let (done, wait) = sync_channel(1);
        if self.0.try_send(Message::Flush(done)).is_ok() {
            // A reader that is stuck must not keep the process from ending.
            let _ = wait.recv_timeout(Duration::from_secs(1));
        }
    }
}

/// Starts the log of this process. The guard belongs into `main`.
pub fn start(settings: &Settings) -> io::Result<LogGuard> {
    let (send, receive) = sync_channel(LINES_MAX);
    std::thread::Builder::new().name("rae-log".into()).spawn(move || write_lines(&receive))?;
    let builder = tracing_subscriber::fmt()
        .with_max_level(settings.log_level)
        .with_ansi(false)
        .with_target(false)
        .with_writer(Lines(send.clone()));
    let started = match settings.log_format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().flatten_event(true).with_current_span(false).with_span_list(false).try_init(),
    };
    started.map_err(io::Error::other)?;
    Ok(LogGuard(send))
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
