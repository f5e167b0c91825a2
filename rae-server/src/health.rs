//! `rae-server healthcheck`: asks a running server whether it is ready, for containers without curl.

use crate::settings::Settings;
use rae_core::{Error, Result};
use std::{
    io::{Read, Write},
    net::{TcpStream, ToSocketAddrs},
    time::Duration,
};

const LIMIT: Duration = Duration::from_secs(5);
const ANSWER_BYTES_MAX: u64 = 64 << 10;

/// Fails with what is wrong when the server at the configured address is not ready.
pub fn check(settings: &Settings) -> Result<()> {
    // A server that listens everywhere is asked on this machine.
    let host = match settings.host.as_str() {
        "0.0.0.0" => "127.0.0.1",
        "::" => "::1",
        host => host,
    };
    let port = settings.port;
    let answer =
        ask(host, port).map_err(|e| Error::unavailable(format!("no answer from {host}:{port}: {e}")).with_source(e))?;
    let status = answer.split(' ').nth(1).unwrap_or_default();
    if status == "200" {
        return Ok(());
    }
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    Err(Error::unavailable(format!("{host}:{port} is not ready: {status} {body}")))
}

fn ask(host: &str, port: u16) -> std::io::Result<String> {
    let mut last = std::io::Error::other("the name has no address");
    for address in (host, port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, LIMIT) {
            Ok(mut stream) => {
                stream.set_read_timeout(Some(LIMIT))?;
                stream.set_write_timeout(Some(LIMIT))?;
                stream.write_all(b"GET /health/ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
                let mut answer = String::new();
                stream.take(ANSWER_BYTES_MAX).read_to_string(&mut answer)?;
                return Ok(answer);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}
