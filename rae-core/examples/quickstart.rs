//! The quickstart in Rust: `cargo run -p rae-core --example quickstart`. Opens a file in a temporary folder, remembers a
//! conversation, recalls from it, and does the same after opening it again.
#![allow(clippy::print_stdout)] // a program that prints

use rae_core::{NewMemory, Rae, RecallOptions, Result, Timestamp, block_on};

fn main() -> Result<()> {
    let folder = std::env::temp_dir().join(format!("rae-quickstart-{}", std::process::id()));
    std::fs::create_dir_all(&folder).map_err(|e| rae_core::Error::unavailable("no temporary folder").with_source(e))?;
    let path = folder.join("agent.rae");
    let answer = block_on(async {
        let mem = Rae::builder().path(&path).open().await?;
        let turn = |speaker: &str, at: &str, text: &str| -> Result<NewMemory> {
            Ok(NewMemory {
                speaker: Some(speaker.into()),
                session_id: Some("spring".into()),
                occurred_at: Some(Timestamp::parse(at)?),
                ..NewMemory::new(text)
            })
        };
        mem.remember_many(vec![
            turn("Ines", "2025-03-02T18:04:00Z", "I found the keeper's logbook behind the stove.")?,
            turn("Tomas", "2025-03-02T18:05:00Z", "I can't eat hazelnuts, so no praline at the opening, please.")?,
            turn("Ines", "2025-03-02T18:06:00Z", "The roof slates come from the quarry in Vella.")?,
        ])
        .await?;
        mem.close().await?;

        let mem = Rae::builder().path(&path).open().await?;
        let hits = mem.recall("What is Tomas allergic to?", RecallOptions { k: 1, ..RecallOptions::default() }).await?;
        mem.close().await?;
        Ok::<_, rae_core::Error>(hits.hits)
    })?;
    for hit in &answer {
        println!("{:.2}  {}: {}", hit.score, hit.speaker.as_deref().unwrap_or("?"), hit.content);
    }
    // Best effort: the folder is temporary.
    let _ = std::fs::remove_dir_all(&folder);
    Ok(())
}
