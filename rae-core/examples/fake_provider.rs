//! The local model provider of the tests, as a program: for clients in other languages (tests/gateway). Prints two addresses, that of
//! the provider and that of a switch: a GET of `/NAME` there says how the next request is answered. Ends when its standard input does.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)] // only for tests

#[path = "../tests/provider_support/mod.rs"]
mod provider_support;

use provider_support::{Behaviour, FakeProvider, Fault};
use serde_json::json;
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpListener,
    thread,
};

fn behaviour(name: &str) -> Option<Behaviour> {
    Some(match name {
        "words" => Behaviour::says("one two three four"),
        "tools" => {
            let call = Some(("weather".to_owned(), json!({ "city": "Porto" })));
            Behaviour { call, ..Behaviour::says("") }
        }
        "rate-limited" => Behaviour::fails(Fault::RateLimited(77)),
        "context-length" => Behaviour::fails(Fault::ContextLength),
        "bad-key" => Behaviour::fails(Fault::BadKey),
        "error-inside" => Behaviour::fails(Fault::ErrorInside),
        _ => return None,
    })
}

fn main() {
    let fake = FakeProvider::start();
    let switch = TcpListener::bind("127.0.0.1:0").unwrap();
    println!("{} http://{}", fake.url(), switch.local_addr().unwrap());
    thread::spawn(move || {
        for mut stream in switch.incoming().flatten() {
            let mut line = String::new();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let _ = reader.read_line(&mut line);
            while reader.read_line(&mut String::new()).is_ok_and(|n| n > 2) {}
            let name = line.split(' ').nth(1).unwrap_or_default().trim_start_matches('/').to_owned();
            let status = match behaviour(&name) {
                Some(how) => {
                    fake.then(how);
                    "200 OK"
                }
                None => "404 Not Found",
            };
            let _ = write!(stream, "HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        }
    });
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
}
