//! Texts that somebody knows were erased: where the project, the given exports and the files of the store still have them. They are
//! compared without regard to case, as lessons keep errors in small letters, and are neither kept nor named in what is answered, logged
//! or refused.

use super::{ErasureReport, RUN_PAGE};
use crate::{
    ctx::Ctx,
    deps::Deps,
    error::{Error, Result},
    limits::{AUDIT_PAGE, ERASED_TEXT_BYTES, ERASED_TEXTS_MAX, PAGE_MAX},
    model::{Cursor, MemoryVersion, RecordKind, Scan, Scope},
    ops::import::Lines,
};
use serde::Serialize;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// What is looked for: as it was given, and in small letters.
pub(super) struct Texts<'a>(&'a [String], Vec<String>);

/// A text in small letters, each by itself: what a letter becomes does not hang on what stands beside it.
fn small(text: &str) -> String {
    text.chars().flat_map(char::to_lowercase).collect()
}

impl<'a> Texts<'a> {
    /// `None` where none are given.
    pub fn of(texts: &'a [String]) -> Result<Option<Self>> {
        let fits = |text: &String| ERASED_TEXT_BYTES.contains(&text.len());
        if texts.len() > ERASED_TEXTS_MAX || !texts.iter().all(fits) {
            let (least, most) = (ERASED_TEXT_BYTES.start(), ERASED_TEXT_BYTES.end());
            let text = format!("texts must be at most {ERASED_TEXTS_MAX}, each of {least} to {most} bytes");
            return Err(Error::invalid(text).with_code("invalid_texts"));
        }
        Ok((!texts.is_empty()).then(|| Self(texts, texts.iter().map(|text| small(text)).collect())))
    }

    fn is_in(&self, said: &str) -> bool {
        let said = small(said);
        self.1.iter().any(|text| said.contains(text.as_str()))
    }

    /// Whether any string of JSON has one, names of members included.
    fn is_in_json(&self, json: &Value) -> bool {
        match json {
            Value::String(said) => self.is_in(said),
            Value::Array(list) => list.iter().any(|item| self.is_in_json(item)),
            Value::Object(map) => map.iter().any(|(name, item)| self.is_in(name) || self.is_in_json(item)),
            _ => false,
        }
    }

    fn is_in_all(&self, what: &impl Serialize) -> Result<bool> {
        let json =
            serde_json::to_value(what).map_err(|e| Error::internal("what is kept is not JSON").with_source(e))?;
        Ok(self.is_in_json(&json))
    }

    /// As they lie in files: as they are, in small and in capital letters, and each as it is written inside of JSON where that differs.
    /// Bytes are compared without regard to the case of ASCII, so that what differs by that alone is one.
    fn needles(&self) -> Vec<Vec<u8>> {
        let mut all: Vec<Vec<u8>> = Vec::new();
        for (text, lower) in self.0.iter().zip(&self.1) {
            let upper: String = text.chars().flat_map(char::to_uppercase).collect();
            for form in [text, lower, &upper] {
                let json = Value::from(form.as_str()).to_string();
                let inside = json.get(1..json.len().saturating_sub(1)).unwrap_or_default();
                for bytes in [form.as_bytes(), inside.as_bytes()] {
                    if all.iter().all(|known| !known.eq_ignore_ascii_case(bytes)) {
                        all.push(bytes.to_vec());
                    }
                }
            }
        }
        all
    }
}

/// Looks everywhere. Files of the store itself only with `file`: they hold other tenants' memories as well.
pub(super) async fn check(
    deps: &Deps,
    scope: &Scope,
    (texts, exports, file): (&Texts<'_>, &[PathBuf], bool),
    report: &mut ErasureReport,
) -> Result<()> {
    let (live, old) = memories(deps, scope, texts).await?;
    report.add("text in memories", live, "memories that have one of the texts; forget them");
    report.add("text in history", old, "older versions that have one of the texts; forget the memories");
    let ctx = deps.ctx(scope)?;
    let jobs = deps.relational.jobs(&ctx, PAGE_MAX).await?;
    let jobs = jobs.iter().filter(|job| texts.is_in_json(&job.payload)).count() as u64;
    report.add("text in jobs", jobs, "jobs that wait; run maintain");
    let records = records(deps, &ctx, texts).await?;
    report.add("text in records", records, "stored sets of questions and their runs; write them anew or remove them");
    for path in exports {
        let found = lines(path, texts)?;
        report.add(&format!("text in export {}", path.display()), found, "remove the file, or export anew");
    }
    if file {
        for (name, found) in deps.relational.find_bytes(&ctx, &texts.needles()).await? {
            let note = "bytes of the file, of another project or of a page that is free; see the other places, \
                        close the store everywhere, and look again";
            report.add(&format!("text in file {name}"), found, note);
        }
    }
    Ok(())
}

/// Memories and older versions.
async fn memories(deps: &Deps, scope: &Scope, texts: &Texts<'_>) -> Result<(u64, u64)> {
    let (mut live, mut old) = (0, 0);
    let mut scan = Scan { filter: None, after: None, limit: AUDIT_PAGE };
    loop {
        let ctx = deps.ctx(scope)?;
        let page = deps.relational.scan(&ctx, &scan).await?;
        let Some(last) = page.last() else { return Ok((live, old)) };
        scan.after = Some(Cursor(last.id));
        for memory in &page {
            live += u64::from(texts.is_in_all(memory)?);
            if memory.version > 1 {
                let history = deps.relational.history(&ctx, memory.id).await?;
                for MemoryVersion { memory: version, .. } in history.iter().filter(|v| v.replaced_at.is_some()) {
                    old += u64::from(texts.is_in_all(version)?);
                }
            }
        }
    }
}

async fn records(deps: &Deps, ctx: &Ctx, texts: &Texts<'_>) -> Result<u64> {
    let mut found = 0;
    for kind in RecordKind::ALL {
        let mut after: Option<String> = None;
        loop {
            let page = deps.relational.records(ctx, kind, after.as_deref(), RUN_PAGE).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.name.clone());
            found += page.iter().filter(|r| texts.is_in(&r.name) || texts.is_in_json(&r.body)).count() as u64;
        }
    }
    Ok(found)
}

/// Lines of an export. That it is a whole one was checked before.
fn lines(path: &Path, texts: &Texts<'_>) -> Result<u64> {
    let (mut lines, mut found) = (Lines::open(path)?, 0);
    while let Some(line) = lines.next_line()? {
        let json = serde_json::from_str::<Value>(&line);
        found += u64::from(json.map_or_else(|_| texts.is_in(&line), |json| texts.is_in_json(&json)));
    }
    Ok(found)
}
