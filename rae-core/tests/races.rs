//! What is said again between the look and the write of something that the engine changes by itself is not lost: at every moment at which
//! the engine asks for the time, somebody else writes.

#![allow(clippy::unwrap_used, clippy::panic)] // a test reports by panicking

use rae_core::{
    AuditOptions, ChangesOptions, Forget, Kind, ListOptions, Memory, MemoryId, NewMemory, NewRelation, Rae, Timestamp,
    block_on, ports::Clock,
};
use std::{
    sync::{Arc, Mutex},
    thread::{self, ThreadId},
};

type Act = Box<dyn FnOnce() + Send>;

/// A clock that stands still, and lets something happen when it is looked at for the n-th time by the thread that asked for that.
#[derive(Default)]
struct Racing(Mutex<Option<(ThreadId, usize, Act)>>);

impl std::fmt::Debug for Racing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Racing")
    }
}

impl Racing {
    fn arm(&self, nth: usize, act: impl FnOnce() + Send + 'static) {
        *self.0.lock().unwrap() = Some((thread::current().id(), nth, Box::new(act)));
    }

    /// Whether it came to that.
    fn has_fired(&self) -> bool {
        self.0.lock().unwrap().take().is_none()
    }
}

impl Clock for Racing {
    fn now(&self) -> Timestamp {
        let mut armed = self.0.lock().unwrap();
        let due = match armed.as_mut() {
            Some((thread, left, _)) if *thread == thread::current().id() => {
                *left -= 1;
                *left == 0
            }
            _ => false,
        };
        let act = if due { armed.take() } else { None };
        drop(armed);
        if let Some((_, _, act)) = act {
            thread::spawn(act).join().unwrap();
        }
        Timestamp::parse("2026-01-01").unwrap()
    }
}

async fn all(mem: &Rae) -> Vec<Memory> {
    mem.list(ListOptions { limit: 1_000, ..ListOptions::default() }).await.unwrap().items
}

fn fact(text: &str) -> NewMemory {
    NewMemory { kind: Some(Kind::Fact), ..NewMemory::new(text) }
}

/// What somebody says meanwhile: the same, with a tag and a source.
fn late(text: &str) -> NewMemory {
    NewMemory { tags: vec!["late".into()], source: Some("late".into()), ..fact(text) }
}

fn is_late(memory: &&Memory) -> bool {
    memory.tags.contains(&"late".to_owned()) && memory.provenance.sources.contains(&"late".to_owned())
}

/// Prepares a store, then does something while somebody else does `meanwhile` at each moment in turn; then looks.
fn at_every_moment(meanwhile: fn(&Rae), prepare: impl Fn(&Rae), act: impl Fn(&Rae), look: impl Fn(&Rae, usize)) {
    let mut moments = 0;
    for nth in 1.. {
        let clock = Arc::new(Racing::default());
        let mem = block_on(Rae::builder().clock(Arc::clone(&clock) as Arc<dyn Clock>).seed(42).open()).unwrap();
        prepare(&mem);
        let other = mem.clone();
        clock.arm(nth, move || meanwhile(&other));
        act(&mem);
        if !clock.has_fired() {
            break;
        }
        moments = nth;
        look(&mem, nth);
        block_on(mem.close()).unwrap();
    }
    assert!(moments > 1, "the engine looked at the clock {moments} times");
}

const FIX: AuditOptions = AuditOptions { limit: 100, fix: true };

fn say_the_code(mem: &Rae) {
    block_on(mem.remember(late("The code is 4711."))).unwrap();
}

/// "Ada says" something in a session of its own on a day, which is to be read.
fn tell(mem: &Rae, at: &str, text: &str) -> MemoryId {
    let new = NewMemory {
        infer: true,
        session_id: Some(at.into()),
        speaker: Some("Ada".into()),
        occurred_at: Some(Timestamp::parse(at).unwrap()),
        ..NewMemory::new(text)
    };
    block_on(mem.remember(new)).unwrap().id
}

fn maintain(mem: &Rae) {
    block_on(mem.maintain(None)).unwrap();
}

fn two_of_one(mem: &Rae) {
    block_on(mem.remember(fact("The code is 4711."))).unwrap();
    let (tags, source) = (vec!["other".into()], Some("other".into()));
    block_on(mem.remember(NewMemory { tags, source, ..fact("the code is 4711") })).unwrap();
}

#[test]
fn a_fix_loses_nothing_that_is_said_again_while_it_works() {
    let act = |mem: &Rae| drop(block_on(mem.audit(FIX)).unwrap());
    at_every_moment(say_the_code, two_of_one, act, |mem, nth| {
        let now = block_on(all(mem));
        let kept: Vec<&Memory> = now.iter().filter(|m| m.superseded_by.is_none()).collect();
        assert_eq!((kept.len(), kept[0].witness_count), (1, 3), "{nth}: {now:#?}");
        assert!(is_late(&kept[0]), "{nth}: {now:#?}");
        assert_eq!(block_on(mem.audit(FIX)).unwrap().findings, []);
    });
}

#[test]
fn an_undo_loses_nothing_that_is_said_again_while_it_works() {
    let prepare = |mem: &Rae| {
        two_of_one(mem);
        assert_eq!(block_on(mem.audit(FIX)).unwrap().fixed, 1);
    };
    let undo = |mem: &Rae| {
        let made = block_on(mem.changes(ChangesOptions::default())).unwrap().items;
        // What was said again in time is in the way.
        if let Err(error) = block_on(mem.undo(made[0].id)) {
            assert_eq!(error.code(), "changed_since");
        }
    };
    at_every_moment(say_the_code, prepare, undo, |mem, nth| {
        let now = block_on(all(mem));
        let kept = now.iter().find(is_late).unwrap_or_else(|| panic!("{nth}: {now:#?}"));
        let is_undone = !kept.tags.contains(&"other".to_owned());
        assert_eq!(kept.witness_count, if is_undone { 2 } else { 3 }, "{nth}: {now:#?}");
    });
}

#[test]
fn reading_a_fact_loses_nothing_that_is_said_of_it_meanwhile() {
    let prepare = |mem: &Rae| {
        tell(mem, "2025-01-01", "I live in Oslo.");
        maintain(mem);
        tell(mem, "2025-06-01", "I no longer live in Oslo.");
    };
    let say = |mem: &Rae| {
        let source = block_on(mem.remember(NewMemory::new("Late."))).unwrap().id;
        let relation = NewRelation {
            source_id: Some(source),
            // More would make a version.
            confidence: Some(0.1),
            ..NewRelation::new("Ada", "lives_in", "Oslo")
        };
        block_on(mem.relate(relation)).unwrap();
    };
    at_every_moment(say, prepare, maintain, |mem, nth| {
        let now = block_on(all(mem));
        let facts: Vec<&Memory> = now.iter().filter(|m| m.kind == Kind::Fact).collect();
        let late = now.iter().find(|m| m.content == "Late.").unwrap().id;
        let of_it = facts.iter().filter(|m| m.provenance.derived_from.contains(&late)).count();
        assert_eq!(of_it, 1, "{nth}: {now:#?}");
        let ended = facts.iter().filter(|m| m.valid_to.is_some_and(|to| to.to_string().starts_with("2025-06-01")));
        assert_eq!(ended.count(), 1, "{nth}: {now:#?}");
    });
}

#[test]
fn a_fact_that_holds_again_is_ended_by_what_is_read_meanwhile() {
    let prepare = |mem: &Rae| {
        for (at, text) in [("2025-01-01", "I live in Oslo."), ("2025-06-01", "I moved to Bergen.")] {
            tell(mem, at, text);
            maintain(mem);
        }
    };
    let rome = |mem: &Rae| {
        tell(mem, "2025-09-01", "I moved to Rome.");
        maintain(mem);
    };
    let forget = |mem: &Rae| {
        let said = block_on(all(mem)).into_iter().find(|m| m.content == "I moved to Bergen.").unwrap();
        block_on(mem.forget(Forget::Id(said.id))).unwrap();
    };
    at_every_moment(rome, prepare, forget, |mem, nth| {
        maintain(mem);
        let now = block_on(all(mem));
        let facts: Vec<&Memory> = now.iter().filter(|m| m.claim.is_some()).collect();
        let [oslo, rome] = facts[..] else { panic!("{nth}: {facts:#?}") };
        assert_eq!((oslo.valid_to, oslo.superseded_by), (rome.valid_from, Some(rome.id)), "{nth}: {facts:#?}");
        assert_eq!((rome.valid_to, rome.superseded_by), (None, None), "{nth}: {facts:#?}");
    });
}

#[test]
fn forgetting_one_source_loses_none_that_is_added_meanwhile() {
    let prepare = |mem: &Rae| {
        for text in ["First.", "Second."] {
            let source = block_on(mem.remember(NewMemory::new(text))).unwrap().id;
            block_on(mem.relate(ada_at_acme(source))).unwrap();
        }
    };
    let say = |mem: &Rae| {
        let source = block_on(mem.remember(NewMemory::new("Late."))).unwrap().id;
        block_on(mem.relate(ada_at_acme(source))).unwrap();
    };
    let of = |all: &[Memory], text: &str| all.iter().find(|m| m.content == text).unwrap().id;
    let forget = |mem: &Rae| {
        let first = of(&block_on(all(mem)), "First.");
        block_on(mem.forget(Forget::Id(first))).unwrap();
    };
    at_every_moment(say, prepare, forget, |mem, nth| {
        let now = block_on(all(mem));
        let relation = now.iter().find(|m| m.claim.is_some()).unwrap();
        let sources = [of(&now, "Second."), of(&now, "Late.")];
        assert_eq!(relation.provenance.derived_from, sources, "{nth}: {now:#?}");
    });
}

fn ada_at_acme(source: MemoryId) -> NewRelation {
    let since = Some(Timestamp::parse("2025-01-01").unwrap());
    NewRelation { source_id: Some(source), valid_from: since, ..NewRelation::new("Ada", "works_at", "Acme") }
}
