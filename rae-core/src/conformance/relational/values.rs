//! What goes in comes out, to the last bit.

use crate::{
    conformance::fixtures::{Rig, key, object, put},
    limits::{CONTENT_BYTES_MAX, NAME_BYTES_MAX, TAG_BYTES_MAX, TAGS_MAX},
    model::{Memory, MemoryId, Timestamp},
    ports::{ManualClock, RelationalStore},
};
use serde_json::json;
use uuid::Uuid;

async fn round_trip(rig: &Rig<'_>, memories: Vec<Memory>) {
    rig.apply(memories.iter().cloned().map(put).collect()).await;
    for memory in memories {
        let stored = rig.live(memory.id).await;
        let expected = Memory { seq: stored.seq, seq_in_session: stored.seq_in_session, ..memory };
        assert!(stored == expected, "{:?} came back changed", expected.content.chars().take(40).collect::<String>());
    }
}

/// Unicode in any form, controls, NUL, line ends, what looks like SQL or JSON, and the longest text there may be.
pub async fn texts_come_back_byte_for_byte(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let mut texts: Vec<String> = [
        " ",
        "\0",
        "a\0b\0",
        "line\r\nline\rline\n",
        "\u{feff}bom",
        "e\u{301} is not é",
        "👩‍👩‍👧‍👦 🏳️‍🌈 \u{10ffff}",
        "\u{202e}right to left\u{202c} العربية 日本語 ไทย",
        "'; DROP TABLE memories; --",
        "%_*?[]{}\\\"'`$1 :name ?1 @x",
        "{\"json\": [1, null]}",
        "\u{1b}[31m\u{7f}\u{80}\u{ad}\u{2028}",
    ]
    .map(str::to_owned)
    .to_vec();
    texts.push("x".repeat(CONTENT_BYTES_MAX));
    texts.push("é\0".repeat(CONTENT_BYTES_MAX / 3));
    round_trip(&rig, texts.iter().map(|t| rig.memory(t)).collect()).await;
}

/// Names and tags are kept as they are too.
pub async fn names_come_back_byte_for_byte(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let names = ["", " ", "\0", "%", "á", "a\u{301}", "A", "a", "'", "日本", &"n".repeat(NAME_BYTES_MAX)];
    let with = |name: &&str| {
        let name = Some((*name).to_owned());
        Memory {
            speaker: name.clone(),
            session_id: name.clone(),
            agent_id: name.clone(),
            user_id: name.clone(),
            role: name,
            ..rig.memory("x")
        }
    };
    let mut memories: Vec<_> = names.iter().map(with).collect();
    let mut tags: Vec<_> = names.iter().map(|n| n.chars().take(TAG_BYTES_MAX / 4).collect::<String>()).collect();
    tags.extend((tags.len()..TAGS_MAX).map(|i| format!("tag, with; \"signs\" {i}")));
    memories.push(Memory { tags, ..rig.memory("tags") });
    round_trip(&rig, memories).await;
}

/// Every f64 between 0 and 1 is itself.
pub async fn numbers_come_back_exactly(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let numbers =
        [0.0, 1.0, 0.1, 0.1 + 0.2, 1.0 / 3.0, f64::MIN_POSITIVE, f64::EPSILON, 1.0 - f64::EPSILON / 2.0, 5e-324];
    let with = |n: f64| Memory { importance: n, strength: n, confidence: n, ..rig.memory(&format!("{n:e}")) };
    let mut memories: Vec<_> = numbers.into_iter().map(with).collect();
    memories.push(Memory { witness_count: u32::MAX, ..rig.memory("witnesses") });
    round_trip(&rig, memories).await;
}

/// To the microsecond, before 1970, before the year 0, and at both ends of the range.
pub async fn times_come_back_to_the_microsecond(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let texts = [
        "2023-05-08T13:56:00.123456Z",
        "2023-05-08T13:56:00.000001Z",
        "1970-01-01T00:00:00Z",
        "1969-12-31T23:59:59.999999Z",
        "0000-01-01T00:00:00Z",
        "-000044-03-15T12:00:00Z",
        "-009999-06-01T00:00:00.000001Z",
        "9999-06-30T22:00:00.999999Z",
    ];
    let with = |t: &str| {
        let t = Some(Timestamp::parse(t).unwrap());
        Memory { occurred_at: t, valid_from: t, valid_to: t, expires_at: t, ..rig.memory("x") }
    };
    round_trip(&rig, texts.into_iter().map(with).collect()).await;
}

/// A batch dated before 1970 is dated so.
pub async fn batches_may_be_dated_long_ago(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    clock.set(Timestamp::parse("-000044-03-15T12:00:00.000001Z").unwrap());
    let memory = rig.memory("Ides");
    round_trip(&rig, vec![memory.clone()]).await;
    clock.advance_seconds(1);
    rig.patch(memory.id, crate::conformance::fixtures::importance_patch(0.5)).await;
    let history = store.history(&rig.ctx, memory.id).await.unwrap();
    assert_eq!(history[0].replaced_at, Some(rig.now()));
    assert_eq!(history[1].memory.updated_at, rig.now());
}

/// Nested, with empty and odd keys, whole numbers at their ends, and the order of lists.
pub async fn metadata_comes_back_as_it_was(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let metadata = [
        json!({}),
        json!({"": "", "a.b": 1, "a": {"b": 2}, "%": null, "\0": "\0", "é": "e\u{301}", "$.x": [[], {}, [null]]}),
        json!({"max": u64::MAX, "min": i64::MIN, "half": 0.5, "neg": -1.25, "zero": 0, "false": false}),
        json!({"list": [3, 1, 2, "1", 1.0, true], "text": "x".repeat(10_000)}),
    ];
    round_trip(&rig, metadata.into_iter().map(|m| Memory { metadata: object(m), ..rig.memory("x") }).collect()).await;
}

/// Any UUID is an id, also the smallest and the greatest; order is that of the bytes.
pub async fn ids_sort_by_their_bytes(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let high_bit = 1u128 << 127;
    let mut ids: Vec<_> = [1, u128::MAX, high_bit, high_bit - 1, 255, 256, 1 << 64, (1 << 64) - 1]
        .into_iter()
        .map(|n: u128| MemoryId(Uuid::from_u128(n)))
        .collect();
    round_trip(&rig, ids.iter().map(|id| Memory { id: *id, content_hash: key("x"), ..rig.memory("x") }).collect())
        .await;
    ids.sort_unstable();
    assert_eq!(rig.all(None).await.into_iter().map(|m| m.id).collect::<Vec<_>>(), ids);
}
