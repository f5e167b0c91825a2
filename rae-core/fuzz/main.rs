//! libFuzzer on one target, chosen by `RAE_FUZZ_TARGET`. `RAE_FUZZ_SEEDS` names a folder that gets the seeds of the target.
//!
//! See `scripts/fuzz.sh` for how it is built: the flags of cargo-fuzz, without a sanitizer, on stable Rust.
#![no_main]
#![allow(clippy::unwrap_used, clippy::panic)] // a fuzz target reports by panicking

mod targets;

use libfuzzer_sys::fuzz_target;
use std::sync::OnceLock;
use targets::{TARGETS, Target};

fn chosen() -> &'static Target {
    static CHOSEN: OnceLock<&Target> = OnceLock::new();
    CHOSEN.get_or_init(|| {
        let name = std::env::var("RAE_FUZZ_TARGET").unwrap_or_default();
        let names: Vec<_> = TARGETS.iter().map(|t| t.name).collect();
        TARGETS.iter().find(|t| t.name == name).unwrap_or_else(|| panic!("RAE_FUZZ_TARGET must be one of {names:?}"))
    })
}

fuzz_target!(
    init: {
        if let Ok(folder) = std::env::var("RAE_FUZZ_SEEDS") {
            std::fs::create_dir_all(&folder).unwrap();
            for (i, seed) in (chosen().seeds)().iter().enumerate() {
                std::fs::write(format!("{folder}/seed-{i}"), seed).unwrap();
            }
        }
    },
    |data: &[u8]| (chosen().run)(data)
);
