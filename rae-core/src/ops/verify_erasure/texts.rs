//! Texts that somebody knows were erased: where the project, the given exports and the files of the store still have them. They are
//! compared without regard to case, as lessons keep errors in small letters, and to how a letter is written, and are neither kept nor
//! named in what is answered, logged or refused.

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
use unicode_normalization::UnicodeNormalization;

/// What is looked for: as it was given, and folded.
pub(super) struct Texts<'a>(&'a [String], Vec<String>);

/// What no two spellings of a text differ in: compatible forms as one (a ligature is its letters), small letters, each by itself, as
/// what a letter becomes must not hang on what stands beside it; one sigma, `ss` for a sharp s, one `i` with and without its dot.
fn folded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.nfkc().flat_map(char::to_lowercase).nfkc() {
        match c {
            'ς' => out.push('σ'),
            'ß' => out.push_str("ss"),
            'ı' => out.push('i'),
            '\u{307}' if out.ends_with('i') => {}
            _ => out.push(c),
        }
    }
    out
}

fn each(text: &str, into: impl Fn(char) -> Option<char>, or: fn(char) -> String) -> String {
    text.chars().map(|c| into(c).map_or_else(|| or(c), String::from)).collect()
}

/// How a text may be written in a file, where nothing can be folded: as it is, small, capital, folded, and the ways in which languages
/// write these: a sigma at the end of a word, a sharp s, and the two letters i of Turkish where another letter shows that it is meant.
fn written(text: &str) -> Vec<String> {
    let small = |c: char| c.to_lowercase().to_string();
    let capital = |c: char| c.to_uppercase().to_string();
    let lower = each(text, |_| None, small);
    let mut all = vec![text.to_owned(), each(text, |_| None, capital), text.to_lowercase(), folded(text)];
    if lower.contains("ss") {
        all.push(lower.replace("ss", "ß"));
    }
    if text.contains(['ı', 'İ', 'ş', 'Ş', 'ğ', 'Ğ', 'ç', 'Ç', 'ö', 'Ö', 'ü', 'Ü']) {
        let to_small = |c| match c {
            'I' => Some('ı'),
            'İ' => Some('i'),
            _ => None,
        };
        let to_capital = |c| match c {
            'ı' => Some('I'),
            'i' => Some('İ'),
            _ => None,
        };
        all.extend([each(text, to_small, small), each(text, to_capital, capital)]);
    }
    all.push(lower);
    all
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
        Ok((!texts.is_empty()).then(|| Self(texts, texts.iter().map(|text| folded(text)).collect())))
    }

    fn is_in(&self, said: &str) -> bool {
        let said = folded(said);
        self.1.iter().any(|text| said.contains(text.as_str()))
    }

    /// Whether any value of JSON has one, or a name that a caller gave: those are below `metadata`. Other names are the engine's own, and
    /// in every memory.
    fn is_in_json(&self, json: &Value) -> bool {
        self.is_in_value(json, false)
    }

    fn is_in_value(&self, json: &Value, is_callers: bool) -> bool {
        match json {
            Value::String(said) => self.is_in(said),
            Value::Array(list) => list.iter().any(|item| self.is_in_value(item, is_callers)),
            Value::Object(map) => map.iter().any(|(name, item)| {
                let is_said = is_callers && self.is_in(name);
                is_said || self.is_in_value(item, is_callers || name == "metadata")
            }),
            _ => false,
        }
    }

    fn is_in_all(&self, what: &impl Serialize) -> Result<bool> {
        let json =
            serde_json::to_value(what).map_err(|e| Error::internal("what is kept is not JSON").with_source(e))?;
        Ok(self.is_in_json(&json))
    }

    /// As they may lie in files, and each as it is written inside of JSON where that differs. Bytes are compared without regard to the
    /// case of ASCII, so that what differs by that alone is one.
    fn needles(&self) -> Vec<Vec<u8>> {
        let mut all: Vec<Vec<u8>> = Vec::new();
        for form in self.0.iter().flat_map(|text| written(text)) {
            let json = Value::from(form.as_str()).to_string();
            let inside = json.get(1..json.len().saturating_sub(1)).unwrap_or_default();
            for bytes in [form.as_bytes(), inside.as_bytes()] {
                if all.iter().all(|known| !known.eq_ignore_ascii_case(bytes)) {
                    all.push(bytes.to_vec());
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a test reports by panicking

    use super::Texts;
    use serde_json::json;

    #[test]
    fn a_text_is_found_however_its_letters_are_written() {
        for (kept, asked) in [
            ("νικος", "ΝΙΚΟΣ"),
            ("ΝΙΚΟΣ", "νικος"),
            ("νικοσ", "νικος"),
            ("Hauptstraße", "HAUPTSTRASSE"),
            ("HAUPTSTRASSE", "hauptstraße"),
            ("STRAẞE", "strasse"),
            ("İstanbul", "istanbul"),
            ("istanbul", "İSTANBUL"),
            ("ılık su", "ILIK SU"),
            ("ILIK SU", "ılık su"),
            ("ﬁshing boat", "FISHING"),
            ("fishing boat", "ﬁshing"),
            ("cafe\u{301} noir", "CAFÉ noir"),
            ("Vault", "vault"),
        ] {
            let asked = [asked.to_owned()];
            let texts = Texts::of(&asked).unwrap().unwrap();
            assert!(texts.is_in(kept), "{kept}: {asked:?}");
        }
        let asked = ["vault".to_owned()];
        assert!(!Texts::of(&asked).unwrap().unwrap().is_in("fault"));
    }

    #[test]
    fn the_raw_bytes_are_searched_for_every_writing_of_the_letters() {
        for (asked, forms) in [
            ("ΝΙΚΟΣ", &["νικος", "νικοσ", "ΝΙΚΟΣ"][..]),
            ("νικος", &["νικος", "ΝΙΚΟΣ"]),
            ("HAUPTSTRASSE", &["hauptstraße", "hauptstrasse"]),
            ("hauptstraße", &["hauptstraße", "hauptstrasse"]),
            ("İSTANBUL", &["istanbul", "İSTANBUL"]),
            ("ışık", &["ışık", "IŞIK"]),
            ("ﬁshing", &["ﬁshing", "fishing"]),
        ] {
            let asked = [asked.to_owned()];
            let needles = Texts::of(&asked).unwrap().unwrap().needles();
            for form in forms {
                let is_there = needles.iter().any(|needle| needle.eq_ignore_ascii_case(form.as_bytes()));
                assert!(is_there, "{asked:?}: {form}");
            }
        }
        // What ASCII can say is looked for once.
        let asked = ["the vault".to_owned()];
        assert_eq!(Texts::of(&asked).unwrap().unwrap().needles().len(), 1);
    }

    #[test]
    fn names_of_fields_are_found_where_a_caller_gave_them_and_not_where_the_engine_does() {
        let memory = json!({"content": "x", "metadata": {"vault_code": {"inner_name": 1}, "list": [{"deep_name": 2}]}});
        for (asked, is_found) in
            [("content", false), ("metadata", false), ("vault_code", true), ("inner_name", true), ("deep_name", true)]
        {
            let asked = [asked.to_owned()];
            let texts = Texts::of(&asked).unwrap().unwrap();
            assert_eq!(texts.is_in_json(&memory), is_found, "{asked:?}");
            assert_eq!(texts.is_in_json(&json!({ "memory": memory })), is_found, "{asked:?}");
        }
    }
}
