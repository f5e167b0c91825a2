//! Load over HTTP: keep-alive connections that ask as fast as they are answered, or at a constant rate. At a constant rate the time
//! of a request counts from when it was due, so that a server that stalls does not hide it.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
};

const NAMES: [&str; 12] =
    ["Ada", "Boris", "Chloe", "Dilip", "Esther", "Farid", "Greta", "Hugo", "Ines", "Jonas", "Kira", "Lena"];
const VERBS: [&str; 8] = ["bought", "sold", "repaired", "painted", "lost", "found", "described", "planned"];
const THINGS: [&str; 16] = [
    "a bicycle",
    "a violin",
    "the garden fence",
    "a telescope",
    "an old map",
    "the kitchen",
    "a sailing boat",
    "a report",
    "a recipe",
    "the lantern",
    "a wooden bridge",
    "a letter",
    "the piano",
    "a winter coat",
    "a market stall",
    "the archive",
];
const PLACES: [&str; 16] = [
    "Lisbon", "Tromso", "Galway", "Kyoto", "Oaxaca", "Ghent", "Riga", "Split", "Cusco", "Hobart", "Busan", "Bergen",
    "Tartu", "Porto", "Zadar", "Malmo",
];

/// The `n`-th memory. Numbers make each one different, as do tickets and orders in real notes.
pub fn content(n: u64) -> String {
    let pick = |list: &[&'static str], salt: u64| list[(mixed(n ^ salt) % list.len() as u64) as usize];
    let (name, verb, thing, place) = (pick(&NAMES, 1), pick(&VERBS, 2), pick(&THINGS, 3), pick(&PLACES, 4));
    format!("{name} {verb} {thing} in {place}; the note has the number {n}, and {} will ask about it.", pick(&NAMES, 5))
}

/// A question about the `n`-th memory.
pub fn question(n: u64) -> String {
    let pick = |list: &[&'static str], salt: u64| list[(mixed(n ^ salt) % list.len() as u64) as usize];
    format!("What did {} do with {} in {}?", pick(&NAMES, 1), pick(&THINGS, 3), pick(&PLACES, 4))
}

/// Splitmix64: the same numbers on every machine.
fn mixed(n: u64) -> u64 {
    let mut z = n.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// What is asked.
#[derive(Clone)]
pub struct Load {
    pub address: SocketAddr,
    pub path: &'static str,
    /// The body of the `n`-th request.
    pub body: Arc<dyn Fn(u64) -> String + Send + Sync>,
    pub connections: usize,
    pub time: Duration,
    /// Requests a second; `None` is as fast as they are answered.
    pub rate: Option<f64>,
}

/// What came of it.
pub struct Outcome {
    times: Vec<Duration>,
    pub failed: u64,
    pub took: Duration,
}

impl Outcome {
    pub fn requests(&self) -> usize {
        self.times.len()
    }

    pub fn per_second(&self) -> f64 {
        self.times.len() as f64 / self.took.as_secs_f64()
    }

    /// In milliseconds, of those that succeeded.
    pub fn percentile(&self, p: f64) -> f64 {
        let last = self.times.len().saturating_sub(1);
        let at = (p * last as f64).ceil() as usize;
        self.times.get(at.min(last)).map_or(f64::NAN, |time| time.as_secs_f64() * 1e3)
    }
}

pub async fn run(load: &Load) -> Outcome {
    let (next, failed) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let start = Instant::now();
    let tasks: Vec<_> = (0..load.connections)
        .map(|_| {
            let (load, next, failed) = (load.clone(), Arc::clone(&next), Arc::clone(&failed));
            tokio::spawn(async move { one(&load, start, &next, &failed).await })
        })
        .collect();
    let mut times = Vec::new();
    for task in tasks {
        times.extend(task.await.unwrap());
    }
    let took = start.elapsed();
    times.sort_unstable();
    Outcome { times, failed: failed.load(Ordering::Relaxed), took }
}

/// One connection.
async fn one(load: &Load, start: Instant, next: &AtomicU64, failed: &AtomicU64) -> Vec<Duration> {
    let mut times = Vec::new();
    let mut connection = Connection::open(load.address).await;
    loop {
        let n = next.fetch_add(1, Ordering::Relaxed);
        let due = match load.rate {
            Some(rate) => start + Duration::from_secs_f64(n as f64 / rate),
            None => Instant::now(),
        };
        if due.duration_since(start) >= load.time {
            return times;
        }
        tokio::time::sleep_until(due.into()).await;
        match connection.post(load.path, &(load.body)(n)).await {
            Ok(200..=299) => times.push(due.elapsed()),
            Ok(_) => drop(failed.fetch_add(1, Ordering::Relaxed)),
            Err(_) => {
                failed.fetch_add(1, Ordering::Relaxed);
                connection = Connection::open(load.address).await;
            }
        }
    }
}

pub struct Connection(BufReader<TcpStream>);

impl Connection {
    pub async fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self(BufReader::with_capacity(64 << 10, stream))
    }

    /// The status of the answer, which is read to its end.
    pub async fn post(&mut self, path: &str, body: &str) -> std::io::Result<u16> {
        let length = body.len();
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nX-Tenant-ID: bench\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        self.0.get_mut().write_all(request.as_bytes()).await?;
        let (mut status, mut length, mut line) = (0, 0, String::new());
        loop {
            line.clear();
            if self.0.read_line(&mut line).await? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            let text = line.trim_end();
            if text.is_empty() {
                break;
            }
            if let Some(rest) = text.strip_prefix("HTTP/1.1 ") {
                status = rest[..3].parse().unwrap();
            } else if let Some((name, value)) = text.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().unwrap();
            }
        }
        self.0.read_exact(&mut vec![0; length]).await?;
        Ok(status)
    }
}
