//! A small HTTP server that misbehaves as it is told.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
};

pub struct Asked {
    pub path: String,
    pub range: Option<usize>,
}

/// An answer. Without `length` it is that of the body.
pub struct Reply {
    pub status: u16,
    pub headers: Vec<String>,
    pub body: Vec<u8>,
    pub length: Option<usize>,
}

impl Reply {
    pub fn ok(body: impl Into<Vec<u8>>) -> Self {
        Self { status: 200, headers: Vec::new(), body: body.into(), length: None }
    }

    pub fn status(status: u16) -> Self {
        Self { status, ..Self::ok("") }
    }
}

type Answers = dyn Fn(&Asked) -> Option<Reply> + Send + Sync;

pub struct StandIn {
    pub address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

impl StandIn {
    /// Answers each request by `answers`; `None` leaves it without an answer for as long as the client waits.
    pub fn start(answers: impl Fn(&Asked) -> Option<Reply> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (asked, answers): (Arc<Mutex<Vec<String>>>, Arc<Answers>) = (Arc::default(), Arc::new(answers));
        let log = Arc::clone(&asked);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (answers, log) = (Arc::clone(&answers), Arc::clone(&log));
                std::thread::spawn(move || serve(stream, &*answers, &log));
            }
        });
        Self { address, asked }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The requests so far: path, the first byte asked for, and of which version where one is named.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

fn serve(stream: TcpStream, answers: &Answers, log: &Mutex<Vec<String>>) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut stream = stream;
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|n| *n > 0)?;
    let path = line.split(' ').nth(1)?.to_owned();
    let (mut length, mut range, mut version) = (0, None, String::new());
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.trim().parse().ok()?,
            "if-range" => version = format!(" if {}", value.trim()),
            "range" => range = value.trim().strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok(),
            _ => {}
        }
    }
    reader.by_ref().take(length).read_to_end(&mut Vec::new()).ok()?;
    let asked = Asked { path, range };
    log.lock().unwrap().push(format!("{} {}{version}", asked.path, asked.range.unwrap_or(0)));
    let Some(reply) = answers(&asked) else {
        // Until the client gives up.
        let _ = reader.read(&mut [0; 1]);
        return None;
    };
    let length = reply.length.unwrap_or(reply.body.len());
    let headers: String = reply.headers.iter().map(|h| format!("{h}\r\n")).collect();
    let head = format!("HTTP/1.1 {} X\r\nContent-Length: {length}\r\nConnection: close\r\n{headers}\r\n", reply.status);
    stream.write_all(head.as_bytes()).ok()?;
    stream.write_all(&reply.body).ok()
}
