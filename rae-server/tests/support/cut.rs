//! A relay between a client and a server that can cut the line at the worst moment.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

/// A relay. While it is armed, a message that holds `word` reaches the server, and then the line is cut: the answer never
/// comes back.
pub struct Relay {
    pub port: u16,
    pub armed: Arc<AtomicBool>,
}

impl Relay {
    pub fn start(server: u16, word: &'static [u8]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (port, armed) = (listener.local_addr().unwrap().port(), Arc::new(AtomicBool::new(false)));
        let trigger = Arc::clone(&armed);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let server = TcpStream::connect(("127.0.0.1", server)).unwrap();
                let (client2, server2) = (client.try_clone().unwrap(), server.try_clone().unwrap());
                let trigger = Arc::clone(&trigger);
                let cut = Arc::new(AtomicBool::new(false));
                let is_cut = Arc::clone(&cut);
                thread::spawn(move || {
                    forward(client, server, |bytes| {
                        let hit = bytes.windows(word.len()).any(|w| w == word) && trigger.swap(false, Ordering::SeqCst);
                        cut.fetch_or(hit, Ordering::SeqCst);
                        hit
                    })
                });
                thread::spawn(move || forward_back(server2, client2, &is_cut));
            }
        });
        Self { port, armed }
    }

    pub fn arm(&self) {
        self.armed.store(true, Ordering::SeqCst);
    }
}

fn forward(mut from: TcpStream, mut to: TcpStream, hit: impl Fn(&[u8]) -> bool) {
    let mut buffer = [0; 64 << 10];
    while let Ok(n @ 1..) = from.read(&mut buffer) {
        let last = hit(&buffer[..n]);
        if to.write_all(&buffer[..n]).is_err() {
            break;
        }
        if last {
            // The server gets to do what it was told.
            thread::sleep(Duration::from_millis(300));
            break;
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}

fn forward_back(mut from: TcpStream, mut to: TcpStream, is_cut: &AtomicBool) {
    let mut buffer = [0; 64 << 10];
    while let Ok(n @ 1..) = from.read(&mut buffer) {
        if !is_cut.load(Ordering::SeqCst) && to.write_all(&buffer[..n]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
}
