//! The options of `open` and `connect`.

use crate::{
    embed::PyEmbedder,
    errors::{OrRaise, invalid},
    input::{flag, integer, name, path, text, time, timeout},
    json::{self, type_name},
    money,
};
use pyo3::{
    prelude::*,
    types::{PyDict, PyString},
};
use rae_core::{
    Embedding, LifecyclePolicy, Rae,
    ports::{Clock, Embedder, ManualClock},
    remote::Connect,
};
use std::sync::Arc;

/// What `connect` was given.
pub(crate) fn connection(mut connect: Connect, options: &Bound<'_, PyDict>) -> PyResult<Connect> {
    for (key, value) in options {
        if value.is_none() {
            continue;
        }
        connect = match text("an option", &key)?.as_str() {
            "api_key" => connect.api_key(text("api_key", &value)?),
            "tenant" => connect.tenant(text("tenant", &value)?),
            "project" => connect.project(text("project", &value)?),
            "timeout" => connect.timeout(timeout(&value)?),
            "ca" => connect.authorities(path("ca", &value)?),
            other => return Err(invalid(options.py(), format!("unknown option \"{other}\""))),
        };
    }
    Ok(connect)
}

/// What `open` was given.
pub(crate) struct Options {
    pub builder: rae_core::Builder,
    pub clock: Option<Arc<ManualClock>>,
    pub embedder: Option<Arc<PyEmbedder>>,
}

/// Reads the options of `open`.
pub(crate) fn builder(options: &Bound<'_, PyDict>) -> PyResult<Options> {
    let py = options.py();
    let (mut builder, mut clock, mut embedder) = (Rae::builder(), None, None);
    let (mut prices, mut unknown) = (None, None);
    for (key, value) in options {
        builder = match text("an option", &key)?.as_str() {
            "tenant" => builder.tenant(text("tenant", &value)?),
            "project" => builder.project(text("project", &value)?),
            "embedder" => {
                let (embedding, callable) = embedding(&value)?;
                embedder = callable;
                builder.embedding(embedding)
            }
            "durability" => builder.durability(name("durability", &value)?),
            "reembed" => builder.reembed(flag("reembed", &value)?),
            "timeout" if value.is_none() => builder,
            "timeout" => builder.timeout(timeout(&value)?),
            "providers" => builder.providers(money::providers(&value)?),
            "reflect_after" if value.is_none() => builder,
            "reflect_after" => {
                let changes = u64::try_from(integer("reflect_after", &value)?);
                builder.reflect_after(changes.map_err(|_| invalid(py, "reflect_after must not be negative"))?)
            }
            "enrich" if value.is_none() => builder,
            "enrich" => builder.enrich(name("enrich", &value)?),
            "model" if value.is_none() => builder,
            "model" => builder.model(text("model", &value)?),
            "prices" => {
                prices = Some(value);
                builder
            }
            "unknown_model" => {
                unknown = Some(value);
                builder
            }
            "lifecycle" if value.is_none() => builder,
            "lifecycle" => {
                let policy = LifecyclePolicy::parse(json::object("lifecycle", &value)?.into());
                builder.lifecycle(policy.or_raise(py)?)
            }
            "test_now" if value.is_none() => builder,
            "test_now" => {
                let manual = Arc::new(ManualClock::new(time("_test_now", &value)?));
                clock = Some(Arc::clone(&manual));
                builder.clock(manual as Arc<dyn Clock>)
            }
            "test_seed" if value.is_none() => builder,
            "test_seed" => {
                let seed = u64::try_from(integer("_test_seed", &value)?);
                builder.seed(seed.map_err(|_| invalid(py, "_test_seed must not be negative"))?)
            }
            other => return Err(invalid(py, format!("unknown option \"{other}\""))),
        };
    }
    let builder = builder.costs(money::costs(prices.as_ref(), unknown.as_ref())?);
    Ok(Options { builder, clock, embedder })
}

/// The built-in table, a folder, a model of a provider, or a callable.
pub(crate) fn embedding(value: &Bound<'_, PyAny>) -> PyResult<(Embedding, Option<Arc<PyEmbedder>>)> {
    let py = value.py();
    if value.is_none() {
        return Ok((Embedding::Builtin, None));
    }
    if value.is_callable() {
        let embedder = PyEmbedder::open(value)?;
        return Ok((Embedding::Custom(Arc::clone(&embedder) as Arc<dyn Embedder>), Some(embedder)));
    }
    let is_path = value.is_instance_of::<PyString>() || value.getattr_opt("__fspath__")?.is_some();
    if !is_path {
        let what = type_name(value);
        return Err(invalid(
            py,
            format!("embedder must be None, a folder, or a callable list[str] -> vectors, not {what}"),
        ));
    }
    Ok((Embedding::named(path("embedder", value)?).or_raise(py)?, None))
}
