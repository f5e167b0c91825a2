//! The public conformance suite: run it on an adapter of your own.
//!
//! Each case is a plain `async fn` over a port; the macros [`conformance_relational!`](crate::conformance_relational),
//! [`conformance_vector!`](crate::conformance_vector), [`conformance_cache!`](crate::conformance_cache) and
//! [`conformance_embed!`](crate::conformance_embed) make one `#[test]` of each, with a fresh adapter per case. A case that needs
//! something special asks the declared capability, never a name. Cases panic with the rule that does not hold.

// A suite is made of assertions: a panic is how it reports.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod cache;
pub mod embed;
pub mod fixtures;
pub mod relational;
pub mod scenario;
pub mod vector;

/// The executor of the cases where the macro names no other.
pub use futures::executor::block_on;

/// One `#[test]` per case; `$make` is evaluated anew in each. Not for use outside the suite.
#[doc(hidden)]
#[macro_export]
macro_rules! __conformance_cases {
    (with_time $module:ident, $make:expr, $run:path, $suite:ident, [$($case:ident),+ $(,)?]) => {
        mod $module {
            #[allow(unused_imports)]
            use super::*;
            $(
                #[test]
                fn $case() {
                    // Declared first, dropped last: the adapter goes before the folders it lives in.
                    let _guard;
                    let (adapter, time, guard) = $make;
                    _guard = guard;
                    $run($crate::conformance::$suite::$case(&*adapter, &*time));
                }
            )+
        }
    };
    ($module:ident, $make:expr, $run:path, $suite:ident, [$($case:ident),+ $(,)?]) => {
        mod $module {
            #[allow(unused_imports)]
            use super::*;
            $(
                #[test]
                fn $case() {
                    let _guard;
                    let (adapter, guard) = $make;
                    _guard = guard;
                    $run($crate::conformance::$suite::$case(&*adapter));
                }
            )+
        }
    };
}

#[cfg(test)]
mod tests {
    /// Cases defined in `sources` and not listed in `list`.
    fn unlisted(list: &str, sources: &[&str]) -> Vec<String> {
        let listed: Vec<_> = list.split([',', '[', ']']).map(str::trim).collect();
        let defined = sources.iter().flat_map(|s| s.lines()).filter_map(|line| line.strip_prefix("pub async fn "));
        let names = defined.filter_map(|rest| rest.split('(').next());
        names.filter(|name| !listed.contains(name)).map(str::to_owned).collect()
    }

    #[test]
    fn every_case_is_in_its_macro() {
        let relational = [
            include_str!("relational/changes.rs"),
            include_str!("relational/concurrency.rs"),
            include_str!("relational/costs.rs"),
            include_str!("relational/deletes.rs"),
            include_str!("relational/drops.rs"),
            include_str!("relational/exactly_once.rs"),
            include_str!("relational/jobs.rs"),
            include_str!("relational/keys.rs"),
            include_str!("relational/ledger.rs"),
            include_str!("relational/merges.rs"),
            include_str!("relational/patches.rs"),
            include_str!("relational/random.rs"),
            include_str!("relational/reads.rs"),
            include_str!("relational/restore.rs"),
            include_str!("relational/scopes.rs"),
            include_str!("relational/segments.rs"),
            include_str!("relational/values.rs"),
            include_str!("relational/vectors.rs"),
            include_str!("relational/writes.rs"),
        ];
        assert_eq!(unlisted(include_str!("relational/mod.rs"), &relational), Vec::<String>::new());
        for source in [include_str!("vector.rs"), include_str!("cache.rs"), include_str!("embed.rs")] {
            assert_eq!(unlisted(source, &[source]), Vec::<String>::new());
        }
    }
}
