//! The Rust side of `tests/interop`: opens the file that it is given and calls verbs, one JSON line in, one out.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use rae_core::{Rae, block_on, wire};
use serde_json::{Value, json};
use std::io::{BufRead, Write};

fn main() {
    let path = std::env::args().nth(1).unwrap();
    let mem = block_on(Rae::builder().path(path).open()).unwrap();
    println!("{}", json!({ "ready": true }));
    for line in std::io::stdin().lock().lines() {
        let mut call: Value = serde_json::from_str(&line.unwrap()).unwrap();
        let args = call["args"].as_object_mut().map(std::mem::take).unwrap();
        let answer = match block_on(wire::call(&mem, call["verb"].as_str().unwrap(), args)) {
            Ok(value) => json!({ "returns": value }),
            Err(error) => json!({ "error": { "kind": error.kind().name(), "code": error.code() } }),
        };
        println!("{answer}");
        std::io::stdout().flush().unwrap();
    }
    block_on(mem.close()).unwrap();
}
