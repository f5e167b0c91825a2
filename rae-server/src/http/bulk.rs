//! Export and import. Both go through a file of the server's own; no path comes from a caller.

use super::{
    auth::Caller,
    body::{broken, check_head, no_parameters, too_large, within},
    error::{ApiError, ApiResult},
    json, schema,
};
use crate::{front::Held, places::Place, state::App};
use axum::{
    body::{Body, Bytes, HttpBody},
    extract::{RawQuery, Request, State},
    http::{HeaderValue, Response, StatusCode, header},
};
use http_body_util::BodyExt;
use rae_core::{Error, ErrorKind};
use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};
use tokio::{
    fs::File,
    io::{AsyncRead, AsyncWriteExt, BufWriter, ReadBuf},
};

const CHUNK: usize = 64 << 10;

/// The project as JSON lines, with vectors and history. The format: docs/concepts/export.md.
#[utoipa::path(get, path = "/v1/export", tag = "bulk", operation_id = "export",
    responses((status = 200, body = String, content_type = "application/x-ndjson", description = "A header line, a line a memory, a last line")))]
pub async fn export(
    State(app): State<Arc<App>>,
    caller: Caller,
    RawQuery(query): RawQuery,
) -> ApiResult<Response<Body>> {
    no_parameters(query.as_deref())?;
    let place = app.bulk_place(Some(caller.scope.tenant()))?;
    let temp = app.temp_file();
    let limit = app.settings.bulk_timeout;
    let call = |rae: rae_core::Rae| async move {
        rae.export(temp.path()).await?;
        // Opened before it goes: the name is gone, the bytes stay until they are sent.
        std::fs::File::open(temp.path()).map_err(|e| Error::unavailable("the export cannot be read").with_source(e))
    };
    let result = app.run(caller.scope.clone(), limit, Held::default(), call).await.map_err(without_paths);
    app.metrics.operation(&caller.scope, "export", 1, result.as_ref().err().map(Error::kind));
    let name = HeaderValue::from_static("attachment; filename=\"rae-export.jsonl\"");
    Ok(FileBody::of(result?, limit, place)?.response(HeaderValue::from_static("application/x-ndjson"), name))
}

/// Reads an export into this project. All of it is checked first; sending it twice changes nothing.
#[utoipa::path(post, path = "/v1/import", tag = "bulk", operation_id = "import",
    request_body(content = String, content_type = "application/x-ndjson", description = "What GET /v1/export gave"),
    responses((status = 200, body = schema::Imported, description = "What was read")))]
pub async fn import(State(app): State<Arc<App>>, caller: Caller, request: Request) -> ApiResult<Response<Body>> {
    no_parameters(request.uri().query())?;
    let most = app.settings.max_import_bytes;
    check_head(request.headers(), most)?;
    let _place = app.bulk_place(Some(caller.scope.tenant()))?;
    let temp = app.temp_file();
    within(app.settings.bulk_timeout, save(request.into_body(), temp.path(), most)).await?;
    let call = |rae: rae_core::Rae| async move { rae.import(temp.path()).await };
    let result =
        app.run(caller.scope.clone(), app.settings.bulk_timeout, Held::default(), call).await.map_err(without_paths);
    app.metrics.operation(&caller.scope, "import", 1, result.as_ref().err().map(Error::kind));
    Ok(json(StatusCode::OK, &result.map_err(ApiError::of_body)?))
}

async fn save(mut body: Body, path: &std::path::Path, most: u64) -> ApiResult<()> {
    let failed = |e: io::Error| {
        tracing::error!(error = %e, "a body could not be kept for its import");
        ApiError::from(Error::unavailable("the body cannot be kept; the disk may be full").with_source(e))
    };
    let mut file = BufWriter::new(File::create_new(path).await.map_err(failed)?);
    let mut length = 0;
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(broken)?.into_data() else { continue };
        length += data.len() as u64;
        if length > most {
            return Err(too_large(most));
        }
        file.write_all(&data).await.map_err(failed)?;
    }
    file.flush().await.map_err(failed)
}

/// Where the server keeps its files is not the callers' business.
pub fn without_paths(error: Error) -> Error {
    if std::error::Error::source(&error).is_some_and(|e| e.is::<io::Error>()) {
        tracing::error!(error = %error, "export or import failed");
        return Error::new(ErrorKind::Unavailable, "the server could not use its own files; its log has more")
            .with_code("io");
    }
    error
}

/// A file as a body. It holds its place until it is sent, but not for ever.
#[derive(Debug)]
pub struct FileBody {
    file: File,
    left: u64,
    until: Instant,
    _place: Place,
}

impl FileBody {
    /// The whole of a file, sent within `limit`.
    pub fn of(file: std::fs::File, limit: Duration, place: Place) -> ApiResult<Self> {
        let left = file.metadata().map_err(|e| Error::unavailable("the file cannot be read").with_source(e))?.len();
        Ok(Self { file: File::from_std(file), left, until: Instant::now() + limit, _place: place })
    }

    /// The answer that sends it.
    pub fn response(self, kind: HeaderValue, name: HeaderValue) -> Response<Body> {
        let length = self.left;
        let mut response = Response::new(Body::new(self));
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, kind);
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
        headers.insert(header::CONTENT_DISPOSITION, name);
        response
    }
}

impl HttpBody for FileBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<hyper::body::Frame<Bytes>>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        if Instant::now() > self.until {
            return Poll::Ready(Some(Err(io::ErrorKind::TimedOut.into())));
        }
        let mut buffer = vec![0; CHUNK.min(usize::try_from(self.left).unwrap_or(CHUNK))];
        let mut read = ReadBuf::new(&mut buffer);
        if let Err(error) = ready!(Pin::new(&mut self.file).poll_read(cx, &mut read)) {
            return Poll::Ready(Some(Err(error)));
        }
        let length = read.filled().len();
        if length == 0 {
            return Poll::Ready(Some(Err(io::ErrorKind::UnexpectedEof.into())));
        }
        buffer.truncate(length);
        self.left -= length as u64;
        Poll::Ready(Some(Ok(hyper::body::Frame::data(buffer.into()))))
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        hyper::body::SizeHint::with_exact(self.left)
    }
}
