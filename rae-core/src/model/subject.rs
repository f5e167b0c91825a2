//! Keys of memories of which there is one for each subject: the end of a session, a lesson, a summary.

use super::Memory;

/// What such a key begins with. A key made from a text begins so once in 2^64.
const MARK: [u8; 8] = *b"subject\0";

/// The `dedup_key` of the one memory of a subject. Scopes have their own: a store holds a key once a scope.
pub(crate) fn subject_key(what: &str, parts: &[&str]) -> [u8; 32] {
    let mut hash = blake3::Hasher::new();
    // Each part is prefixed by its length, so that no two lists of parts read the same.
    for part in [&what].into_iter().chain(parts) {
        hash.update(&(part.len() as u64).to_le_bytes()).update(part.as_bytes());
    }
    let mut key = [0; 32];
    key.iter_mut().zip(MARK.iter().chain(hash.finalize().as_bytes())).for_each(|(to, from)| *to = *from);
    key
}

/// Whether a key says what the memory is about rather than what its text says: it stays when the text changes, and when the memory
/// ends.
pub(crate) fn is_subject_key(key: &[u8; 32]) -> bool {
    key.starts_with(&MARK)
}

/// What changes of the key of a memory that ends: what no longer holds must not swallow the same statement said again, but what is
/// found by its subject is still found, so that it is not made again.
pub(crate) fn key_of_ended(memory: &Memory) -> Option<Option<[u8; 32]>> {
    memory.dedup_key.is_some_and(|key| !is_subject_key(&key)).then_some(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_follows_from_the_subject_alone_and_no_two_lists_of_parts_have_one() {
        let keys = [("a", &["b", "c"][..]), ("a", &["bc"]), ("a", &["b", "", "c"]), ("ab", &["c"]), ("a", &[])];
        for (i, (what, parts)) in keys.iter().enumerate() {
            assert!(is_subject_key(&subject_key(what, parts)));
            for (j, (other, others)) in keys.iter().enumerate() {
                assert_eq!(subject_key(what, parts) == subject_key(other, others), i == j, "{i} {j}");
            }
        }
        assert!(!is_subject_key(&[0; 32]));
        // Stored in every store: it never changes.
        let hex: String = subject_key("session_end", &["s"]).iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(hex, "7375626a656374001175677004463d4d9e23b28611263b0d0432fd61bc0967c4");
    }
}
