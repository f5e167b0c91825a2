//! Traces for a collector, by OTLP over HTTP with protobuf. Off unless an endpoint is set.
//!
//! Ended spans go into a bounded queue; a thread of its own sends them. Where the queue is full, or the collector does not answer,
//! spans are lost and counted: a request never waits for a collector. Attributes are those of a list: no content, no
//! question, no key and no name of a tenant can be among them.

use crate::settings::Settings;
use opentelemetry::{
    Context, KeyValue, TraceId,
    propagation::{Extractor, TextMapPropagator},
    trace::{Status, TraceContextExt, TracerProvider},
};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    propagation::TraceContextPropagator,
    trace::{SdkTracerProvider, Span, SpanData, SpanExporter as _, SpanProcessor},
};
use rae_core::{Error, Result};
use std::{
    collections::HashMap,
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
        mpsc::{SyncSender, sync_channel},
    },
    time::Duration,
};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// Spans that wait to be sent.
const QUEUE_MAX: usize = 8_192;
/// Spans of one message to the collector.
const BATCH_MAX: usize = 512;
/// How long a span waits for others.
const DELAY: Duration = Duration::from_secs(1);
/// How long the collector may take.
const TIMEOUT: Duration = Duration::from_secs(5);
/// How long the end of the process waits for the last spans.
const FLUSH: Duration = Duration::from_secs(6);
/// Span of a request.
pub const REQUEST: &str = "request";
/// Attributes that leave the process.
const ATTRIBUTES: &[&str] = &[
    "error.type",
    "http.request.method",
    "http.response.status_code",
    "http.route",
    "kind",
    "operation",
    "outcome",
    "port",
    "rae.request_id",
    "verb",
];

static COUNTS: LazyLock<Counts> = LazyLock::new(Counts::default);

#[derive(Debug, Default)]
struct Counts {
    sent: AtomicU64,
    failed: AtomicU64,
    dropped: AtomicU64,
}

/// Spans so far: `sent`, `failed` where the collector refused or did not answer, `dropped` where the queue was full.
pub fn counts() -> [(&'static str, u64); 3] {
    let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
    [("sent", read(&COUNTS.sent)), ("failed", read(&COUNTS.failed)), ("dropped", read(&COUNTS.dropped))]
}

fn count(counter: &AtomicU64, spans: usize) {
    counter.fetch_add(spans as u64, Ordering::Relaxed);
}

enum Message {
    Span(Box<SpanData>),
    Flush(SyncSender<()>),
}

/// Traces of this process while it is kept; dropping it sends what waits, for a short while.
#[derive(Debug)]
pub struct Traces {
    provider: SdkTracerProvider,
    queue: Sender<Message>,
}

impl Traces {
    /// Starts the thread that sends, where the settings name a collector.
    pub fn start(settings: &Settings) -> Result<Option<Self>> {
        let Some(endpoint) = &settings.otlp_endpoint else { return Ok(None) };
        let resource = Resource::builder_empty()
            .with_attribute(KeyValue::new("service.name", settings.service_name.clone()))
            .with_attribute(KeyValue::new("service.version", rae_core::version()))
            .build();
        let headers = settings.otlp_headers.as_ref().map(|headers| headers.reveal()).unwrap_or_default();
        let mut exporter = exporter(endpoint, headers)?;
        exporter.set_resource(&resource);
        let (queue, receive) = channel(QUEUE_MAX);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|e| Error::unavailable("no thread could be started").with_source(e))?;
        let started = std::thread::Builder::new()
            .name("rae-traces".into())
            .spawn(move || runtime.block_on(send_spans(receive, exporter)));
        started.map_err(|e| Error::unavailable("no thread could be started").with_source(e))?;
        let provider =
            SdkTracerProvider::builder().with_span_processor(Queue(queue.clone())).with_resource(resource).build();
        Ok(Some(Self { provider, queue }))
    }

    /// What makes the spans.
    pub fn tracer(&self) -> opentelemetry_sdk::trace::SdkTracer {
        self.provider.tracer("rae-server")
    }
}

impl Drop for Traces {
    fn drop(&mut self) {
        let (done, wait) = sync_channel(1);
        if self.queue.try_send(Message::Flush(done)).is_ok() {
            // A collector that is stuck must not keep the process from ending.
            let _ = wait.recv_timeout(FLUSH);
        }
    }
}

/// The client is the engine's: rustls with ring, no proxies, no redirects.
fn exporter(endpoint: &str, headers: &str) -> Result<SpanExporter> {
    let headers: HashMap<String, String> = headers
        .split(',')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (name.trim().to_owned(), decoded(value.trim())))
        .collect();
    SpanExporter::builder()
        .with_http()
        .with_protocol(Protocol::HttpBinary)
        .with_http_client(rae_core::http::client(TIMEOUT)?)
        .with_endpoint(format!("{}/v1/traces", endpoint.trim_end_matches('/')))
        .with_headers(headers)
        .with_timeout(TIMEOUT)
        .build()
        .map_err(|_| Error::invalid("OTEL_EXPORTER_OTLP_ENDPOINT must be an address such as http://localhost:4318"))
}

/// Values are written as in a URL, but `+` is itself.
fn decoded(value: &str) -> String {
    let plain = value.replace('+', "%2B").replace('=', "%3D").replace('&', "%26");
    form_urlencoded::parse(plain.as_bytes()).next().map_or_else(String::new, |(text, _)| text.into_owned())
}

/// Takes ended spans without waiting.
#[derive(Debug)]
struct Queue(Sender<Message>);

impl SpanProcessor for Queue {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        if self.0.try_send(Message::Span(Box::new(span))).is_err() {
            count(&COUNTS.dropped, 1);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

async fn send_spans(mut receive: Receiver<Message>, exporter: SpanExporter) {
    let mut answers = true;
    loop {
        let (mut batch, mut flushed) = (Vec::with_capacity(BATCH_MAX), Vec::new());
        let Some(first) = receive.recv().await else { return };
        take(first, &mut batch, &mut flushed);
        let until = tokio::time::Instant::now() + DELAY;
        while batch.len() < BATCH_MAX && flushed.is_empty() {
            match tokio::time::timeout_at(until, receive.recv()).await {
                Ok(Some(message)) => take(message, &mut batch, &mut flushed),
                Ok(None) | Err(_) => break,
            }
        }
        let spans = batch.len();
        if spans > 0 {
            let sent = exporter.export(batch).await.is_ok();
            count(if sent { &COUNTS.sent } else { &COUNTS.failed }, spans);
            if answers && !sent {
                tracing::warn!("the collector of traces does not take spans; they are lost and counted until it does");
            }
            answers = sent;
        }
        for done in flushed {
            // Whoever waited may have given up.
            let _ = done.try_send(());
        }
    }
}

fn take(message: Message, batch: &mut Vec<SpanData>, flushed: &mut Vec<SyncSender<()>>) {
    match message {
        Message::Span(span) => batch.push(presentable(*span)),
        Message::Flush(done) => flushed.push(done),
    }
}

/// The span as it leaves: attributes of the list alone, and a name that says what it was.
fn presentable(mut span: SpanData) -> SpanData {
    span.attributes.retain(|attribute| ATTRIBUTES.contains(&attribute.key.as_str()));
    span.events.events.clear();
    let value = |key: &str| span.attributes.iter().find(|a| a.key.as_str() == key).map(|a| a.value.to_string());
    let name = match span.name.as_ref() {
        REQUEST => value("http.request.method").zip(value("http.route")),
        "port" => value("port").zip(value("operation")),
        "verb" => value("verb").map(|verb| ("verb".to_owned(), verb)),
        _ => None,
    };
    if let Some((what, which)) = name {
        span.name = format!("{what} {which}").into();
    }
    if value("outcome").is_some_and(|outcome| outcome != "ok") {
        span.status = Status::error("");
    }
    span
}

/// The span of a request, and the id of its trace: the caller's, where the header `traceparent` names one.
pub fn request_span(headers: &axum::http::HeaderMap, id: &str, method: &str, route: &str) -> (tracing::Span, String) {
    let span = tracing::error_span!(REQUEST, request_id = id, trace_id = tracing::field::Empty);
    let parent = TraceContextPropagator::new().extract_with_context(&Context::new(), &Headers(headers));
    let given = parent.span().span_context().trace_id();
    if given != TraceId::INVALID {
        // Fails where no traces are kept.
        let _ = span.set_parent(parent);
    }
    for (key, value) in [("http.request.method", method), ("http.route", route), ("rae.request_id", id)] {
        span.set_attribute(key, value.to_owned());
    }
    let own = span.context().span().span_context().trace_id();
    let trace = [own, given].into_iter().find(|id| *id != TraceId::INVALID).map_or_else(new_trace, |id| id.to_string());
    span.record("trace_id", trace.as_str());
    (span, trace)
}

/// Where no traces are kept, the lines of a request still share an id.
fn new_trace() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}

/// Says how a request ended.
pub fn ended(span: &tracing::Span, status: u16, kind: Option<&'static str>) {
    span.set_attribute("http.response.status_code", i64::from(status));
    if let Some(kind) = kind {
        span.set_attribute("error.type", kind);
    }
    if status >= 500 {
        span.set_status(Status::error(""));
    }
}

struct Headers<'a>(&'a axum::http::HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).and_then(|value| value.to_str().ok())
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(axum::http::HeaderName::as_str).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_headers_are_decoded_once_and_base64_stays() {
        for (given, wanted) in [("Bearer%20key", "Bearer key"), ("a+b/c==", "a+b/c=="), ("x&y", "x&y"), ("", "")] {
            assert_eq!(decoded(given), wanted);
        }
    }
}
