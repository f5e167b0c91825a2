use super::*;
use crate::model::{IdGenerator, InfoClass, Kind, Layer};
use serde_json::json;

const DAY: i64 = 86_400;

fn start() -> Timestamp {
    Timestamp::parse("2026-01-01").unwrap()
}

fn day(n: i64) -> Timestamp {
    start().saturating_add_seconds(n * DAY)
}

fn life(layer: Layer) -> Life {
    Life {
        id: IdGenerator::seeded(1).next(start()),
        seq: 1,
        layer,
        kind: Kind::Text,
        info_class: InfoClass::Internal,
        session_id: None,
        tags: vec![],
        importance: 0.5,
        strength: 1.0,
        created_at: start(),
        updated_at: start(),
        witness_count: 1,
        access_count: 0,
        last_access: None,
    }
}

/// Does what is due to strength at `now`.
fn run(policy: &LifecyclePolicy, life: &mut Life, now: Timestamp) {
    if let Fate::Fade(strength) = fate(policy, life, now) {
        life.strength = strength;
    }
}

#[test]
fn half_of_the_strength_is_left_after_the_half_life_of_the_layer() {
    let policy = LifecyclePolicy::default();
    for (layer, half_life) in [(Layer::Sensory, 1), (Layer::Working, 7), (Layer::Episodic, 90), (Layer::Semantic, 365)]
    {
        let mut memory = life(layer);
        run(&policy, &mut memory, day(half_life));
        assert_eq!(memory.strength, 0.5, "{layer}");
    }
    assert_eq!(fate(&policy, &life(Layer::Reflective), day(10_000)), Fate::Stay);
}

#[test]
fn what_sums_sessions_up_fades_and_lessons_do_not() {
    let policy = LifecyclePolicy::default();
    let of = |kind: Kind| Life { kind, ..life(Layer::Reflective) };
    let mut summary = of(Kind::Reflection);
    run(&policy, &mut summary, day(180));
    assert_eq!(summary.strength, 0.5);
    for kind in [Kind::Lesson, Kind::Strategy] {
        assert_eq!(fate(&policy, &of(kind), day(10_000)), Fate::Stay);
    }
    let still = LifecyclePolicy { decay: false, ..LifecyclePolicy::default() };
    assert_eq!(fate(&still, &of(Kind::Reflection), day(10_000)), Fate::Stay);
}

#[test]
fn many_runs_do_what_the_last_of_them_does() {
    let policy = LifecyclePolicy::default();
    for last in [1, 5, 89, 90, 200, 4_000] {
        let (mut daily, mut once) = (life(Layer::Episodic), life(Layer::Episodic));
        for n in 0..=last {
            for _ in 0..3 {
                run(&policy, &mut daily, day(n));
            }
        }
        run(&policy, &mut once, day(last));
        assert_eq!(daily, once, "{last}");
        assert_eq!(fate(&policy, &once, day(last)), Fate::Stay);
        // A clock that went back takes nothing and gives nothing.
        assert_eq!(fate(&policy, &once, start()), Fate::Stay);
    }
}

#[test]
fn a_memory_that_nobody_uses_is_written_at_most_twenty_times() {
    let policy = LifecyclePolicy::default();
    for layer in Layer::ALL {
        let mut memory = life(layer);
        let fades = (0..5_000).filter(|n| {
            let before = memory.strength;
            run(&policy, &mut memory, day(*n));
            assert!((0.0..=1.0).contains(&memory.strength) && memory.strength <= before);
            memory.strength < before
        });
        assert!(fades.count() <= 20);
    }
}

#[test]
fn what_is_used_more_or_later_fades_more_slowly() {
    let left = |access_count, last: Option<i64>| {
        let mut memory = Life { access_count, last_access: last.map(day), ..life(Layer::Episodic) };
        run(&LifecyclePolicy::default(), &mut memory, day(180));
        memory.strength
    };
    assert_eq!(left(0, None), 0.25);
    assert!(left(1, None) > left(0, None) && left(7, None) > left(1, None));
    assert!(left(1, Some(100)) > left(1, None));
    assert_eq!(left(1, Some(180)), 1.0);
    // Diminishing: uses stretch the half-life to four times of it at most.
    assert_eq!(left(63, None), left(u64::MAX, None));
    assert_eq!(retention(90.0, u64::MAX, 360.0), 0.5);
    // Saying it again is a use, and so is a new version.
    let said = Life { witness_count: 4, ..life(Layer::Episodic) };
    assert_eq!(decay::faded(&LifecyclePolicy::default(), &said, day(180)), left(3, None));
    let updated = Life { updated_at: day(179), ..life(Layer::Episodic) };
    assert_eq!(fate(&LifecyclePolicy::default(), &updated, day(180)), Fate::Stay);
}

#[test]
fn decay_never_raises_strength() {
    let weak = Life { strength: 0.12, ..life(Layer::Episodic) };
    assert_eq!(fate(&LifecyclePolicy::default(), &weak, day(3)), Fate::Stay);
}

#[test]
fn the_default_policy_deletes_nothing() {
    let nothing = Life { importance: 0.0, strength: 0.0, ..life(Layer::Sensory) };
    assert_eq!(fate(&LifecyclePolicy::default(), &nothing, day(36_500)), Fate::Stay);
}

#[test]
fn forgetting_needs_the_floor_and_the_age_and_spares_the_protected() {
    let policy = LifecyclePolicy { forget_below: Some(0.1), ..LifecyclePolicy::default() };
    let weak = Life { strength: 0.1, ..life(Layer::Semantic) };
    assert_eq!(fate(&policy, &weak, day(29)), Fate::Stay);
    assert_eq!(fate(&policy, &weak, day(30)), Fate::Forget);
    let recalled = Life { last_access: Some(day(10)), ..weak.clone() };
    assert_eq!(fate(&policy, &recalled, day(30)), Fate::Stay);
    let important = Life { importance: 1.0, strength: 0.15, ..weak.clone() };
    assert_eq!(fate(&policy, &important, day(30)), Fate::Stay);
    for protected in [
        Life { tags: vec!["x".into(), "pinned".into()], ..weak.clone() },
        Life { kind: Kind::Lesson, ..weak.clone() },
        Life { kind: Kind::Strategy, ..weak },
    ] {
        assert_eq!(fate(&policy, &protected, day(10_000)), Fate::Stay);
    }
}

#[test]
fn retention_counts_from_the_first_writing_and_the_shorter_rule_wins() {
    let policy = LifecyclePolicy::parse(json!({
        "keep_class_days": {"restricted": 90, "confidential": 365},
        "keep_kind_days": {"conversation": 30},
    }))
    .unwrap();
    let secret = Life { info_class: InfoClass::Restricted, ..life(Layer::Reflective) };
    assert_eq!(fate(&policy, &secret, day(89)), Fate::Stay);
    assert_eq!(fate(&policy, &secret, day(90)), Fate::Retire);
    // Using or pinning it does not prolong what a rule ends.
    let pinned = Life { tags: vec!["pinned".into()], last_access: Some(day(89)), ..secret.clone() };
    assert_eq!(fate(&policy, &pinned, day(90)), Fate::Retire);
    let said = Life { kind: Kind::Conversation, ..secret };
    assert_eq!(fate(&policy, &said, day(30)), Fate::Retire);
    assert_eq!(fate(&policy, &life(Layer::Reflective), day(30_000)), Fate::Stay);
}

#[test]
fn a_policy_reads_back_and_what_is_none_is_refused_by_name() {
    let policy = LifecyclePolicy::parse(json!({
        "decay": false, "half_life_days": {"episodic": 30}, "protected_tags": ["keep"], "protected_kinds": ["image-ref"],
        "forget_below": 0.05, "forget_after_days": 90,
    }))
    .unwrap();
    assert_eq!(LifecyclePolicy::parse(serde_json::to_value(&policy).unwrap()).unwrap(), policy);
    for nothing in [json!({}), json!({"decay": null, "forget_below": null})] {
        assert_eq!(LifecyclePolicy::parse(nothing).unwrap(), LifecyclePolicy::default());
    }
    assert_eq!(policy.half_life(Layer::Episodic), None);
    for (wrong, named) in [
        (json!({"forget": 1}), "forget"),
        (json!({"forget_below": 0}), "forget_below"),
        (json!({"forget_below": 1.5}), "forget_below"),
        (json!({"forget_after_days": -1}), "forget_after_days"),
        (json!({"half_life_days": {"episodic": 0}}), "half_life_days"),
        (json!({"half_life_days": {"long-term": 1}}), "layer"),
        (json!({"keep_class_days": {"secret": 1}}), "secret"),
        (json!({"keep_kind_days": {"text": 1e9}}), "keep_kind_days"),
        (json!({"protected_tags": [""]}), "protected_tags"),
        (json!({"decay": "no"}), "lifecycle"),
        (json!([]), "lifecycle"),
    ] {
        let error = LifecyclePolicy::parse(wrong.clone()).unwrap_err();
        assert_eq!((error.kind(), error.code()), (crate::ErrorKind::InvalidInput, "lifecycle_policy"), "{wrong}");
        assert!(error.message().contains(named), "{wrong}: {}", error.message());
    }
    assert!(LifecyclePolicy::parse_text("{").is_err() && LifecyclePolicy::parse_text("{}").is_ok());
}
