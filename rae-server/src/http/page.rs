//! The description of the API, for machines and for people. The page loads nothing from elsewhere.

use super::{describe, error::ApiResult};
use axum::{
    body::{Body, Bytes},
    http::{HeaderValue, Response, header},
};
use rae_core::Error;
use serde_json::Value;
use std::fmt::Write;

/// The OpenAPI 3.1 description of this API.
#[utoipa::path(get, path = "/openapi.json", tag = "operations", operation_id = "openapi",
    responses((status = 200, body = Object, description = "The description")))]
pub async fn openapi() -> ApiResult<Response<Body>> {
    let text = describe::openapi_text()?;
    Ok(std::future::ready(typed(text.into(), "application/json")).await)
}

/// This reference as a page.
#[utoipa::path(get, path = "/docs", tag = "operations", operation_id = "docs",
    responses((status = 200, body = String, content_type = "text/html; charset=utf-8", description = "The page")))]
pub async fn docs() -> ApiResult<Response<Body>> {
    let api = serde_json::to_value(describe::openapi())
        .map_err(|e| Error::internal("the description could not be written").with_source(e))?;
    let page = render(&api).map_err(|e| Error::internal("the page could not be written").with_source(e))?;
    let mut response = typed(page.into(), "text/html; charset=utf-8");
    let policy = HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'");
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    Ok(std::future::ready(response).await)
}

fn typed(bytes: Bytes, kind: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::from(bytes));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222;background:#fff}\
h2{margin-top:2.5rem;border-top:1px solid #ccc;padding-top:1rem}code,pre{font-family:ui-monospace,monospace;font-size:.9em}\
table{border-collapse:collapse;width:100%;margin:.5rem 0}td,th{text-align:left;vertical-align:top;border-bottom:1px solid #ddd;padding:.2rem .6rem .2rem 0}\
th{font-weight:600}td:first-child,th:first-child{min-width:6rem;white-space:nowrap}td,p{overflow-wrap:anywhere}\
.m{display:inline-block;min-width:4rem;font-weight:700}h2 .m{min-width:0;margin-right:.6rem}a{color:#0645ad;text-decoration:none}a:hover{text-decoration:underline}\
nav a{display:flex;flex-wrap:wrap;padding:.15rem 0;border-bottom:1px solid #eee}nav code{flex:0 0 22rem}nav span.s{flex:1 1 20rem;color:#555}\
.GET{color:#1a6e2e}.POST{color:#8a5a00}.PATCH,.PUT{color:#5b3d99}.DELETE{color:#a3201d}h2:target{background:#fff4c2}\
@media(prefers-color-scheme:dark){body{color:#ddd;background:#181818}a{color:#8bf}td,th{border-color:#444}h2{border-color:#555}nav a{border-color:#333}nav span.s{color:#aaa}\
.GET{color:#7c9}.POST{color:#db7}.PATCH,.PUT{color:#b9f}.DELETE{color:#f98}h2:target{background:#443c10}}";

/// The page: a list of the routes, each with its parameters, body and answers, then the shapes.
fn render(api: &Value) -> Result<String, std::fmt::Error> {
    let mut out = String::new();
    let info = &api["info"];
    write!(
        out,
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">"
    )?;
    write!(
        out,
        "<title>RAE API</title><style>{STYLE}</style><h1>RAE API {}</h1><p>{}</p>",
        text(&info["version"]),
        text(&info["description"])
    )?;
    write!(out, "<p>For machines: <a href=\"/openapi.json\">/openapi.json</a>.</p><nav>")?;
    let operations = operations(api);
    for (method, path, operation) in &operations {
        let id = text(&operation["operationId"]);
        write!(
            out,
            "<a href=\"#{id}\"><code><span class=\"m {method}\">{method}</span>{}</code><span class=\"s\">{}</span></a>",
            escape(path),
            first_sentence(&prose(&operation["summary"]))
        )?;
    }
    write!(out, "</nav>")?;
    for (method, path, operation) in &operations {
        let id = text(&operation["operationId"]);
        write!(out, "<h2 id=\"{id}\"><code><span class=\"m {method}\">{method}</span>{}</code></h2>", escape(path))?;
        write!(out, "<p>{} {}</p>", prose(&operation["summary"]), prose(&operation["description"]))?;
        write_parameters(&mut out, operation)?;
        if let Some(content) = operation["requestBody"]["content"].as_object() {
            for (kind, content) in content {
                write!(out, "<p>Body: {} (<code>{}</code>)</p>", type_of(&content["schema"]), escape(kind))?;
            }
        }
        write!(out, "<table><tr><th>status<th>answer")?;
        for (status, response) in operation["responses"].as_object().into_iter().flatten() {
            let shape = response["content"]
                .as_object()
                .and_then(|c| c.values().next())
                .map(|c| type_of(&c["schema"]))
                .unwrap_or_default();
            write!(out, "<tr><td><code>{status}</code><td>{} {shape}", prose(&response["description"]))?;
        }
        write!(out, "</table>")?;
    }
    write_schemas(&mut out, api)?;
    Ok(out)
}

fn operations(api: &Value) -> Vec<(String, &str, &Value)> {
    let mut all = Vec::new();
    for (path, item) in api["paths"].as_object().into_iter().flatten() {
        for (method, operation) in item.as_object().into_iter().flatten() {
            all.push((method.to_uppercase(), path.as_str(), operation));
        }
    }
    all.sort_by_key(|(_, path, _)| (!path.starts_with("/v1/"), *path));
    all
}

fn write_parameters(out: &mut String, operation: &Value) -> std::fmt::Result {
    let Some(parameters) = operation["parameters"].as_array().filter(|p| !p.is_empty()) else { return Ok(()) };
    write!(out, "<table><tr><th>parameter<th>in<th>type<th>meaning")?;
    for p in parameters {
        let needed = if p["required"] == true { " (needed)" } else { "" };
        write!(
            out,
            "<tr><td><code>{}</code>{needed}<td>{}<td>{}<td>{}",
            text(&p["name"]),
            text(&p["in"]),
            type_of(&p["schema"]),
            prose(&p["description"])
        )?;
    }
    write!(out, "</table>")
}

fn write_schemas(out: &mut String, api: &Value) -> std::fmt::Result {
    write!(out, "<h2>Shapes</h2>")?;
    for (name, schema) in api["components"]["schemas"].as_object().into_iter().flatten() {
        write!(out, "<h3 id=\"shape-{0}\">{0}</h3><p>{1}</p>", escape(name), prose(&schema["description"]))?;
        if let Some(values) = schema["enum"].as_array() {
            let values: Vec<String> = values.iter().map(|v| format!("<code>{}</code>", text(v))).collect();
            write!(out, "<p>One of {}.</p>", values.join(", "))?;
        }
        let required = schema["required"].as_array();
        let parts: Vec<&Value> =
            std::iter::once(schema).chain(schema["allOf"].as_array().into_iter().flatten()).collect();
        let fields: Vec<_> = parts.iter().filter_map(|p| p["properties"].as_object()).flatten().collect();
        if fields.is_empty() {
            continue;
        }
        write!(out, "<table><tr><th>field<th>type<th>meaning")?;
        for (field, schema) in fields {
            let needed = if required.is_some_and(|r| r.iter().any(|f| f == field)) { " *" } else { "" };
            write!(
                out,
                "<tr><td><code>{}</code>{needed}<td>{}<td>{}",
                escape(field),
                type_of(schema),
                prose(&schema["description"])
            )?;
        }
        write!(out, "</table>")?;
    }
    Ok(())
}

/// A type in words, with links to shapes.
fn type_of(schema: &Value) -> String {
    if let Some(name) = schema["$ref"].as_str().and_then(|r| r.rsplit('/').next()) {
        return format!("<a href=\"#shape-{0}\">{0}</a>", escape(name));
    }
    for several in ["oneOf", "anyOf", "allOf"] {
        if let Some(list) = schema[several].as_array() {
            return list.iter().map(type_of).filter(|t| !t.is_empty()).collect::<Vec<_>>().join(" or ");
        }
    }
    let names: Vec<String> = match &schema["type"] {
        Value::Array(list) => list.iter().map(text).collect(),
        other => vec![text(other)],
    };
    let of = if schema["items"].is_null() { String::new() } else { format!(" of {}", type_of(&schema["items"])) };
    format!("{}{of}", names.join(" or "))
}

fn text(value: &Value) -> String {
    escape(value.as_str().unwrap_or_default())
}

/// Text where what stands between backticks is code.
fn prose(value: &Value) -> String {
    let text = text(value);
    let parts = text.split('`').enumerate();
    parts.map(|(i, part)| if i % 2 == 0 { part.to_owned() } else { format!("<code>{part}</code>") }).collect()
}

fn first_sentence(text: &str) -> &str {
    text.split_once(". ").map_or(text, |(first, _)| first).trim_end_matches('.')
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
