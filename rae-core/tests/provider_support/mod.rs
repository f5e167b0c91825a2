//! A model provider of one's own: a local server with the wire formats of OpenAI, Anthropic and Google, that fails in the ways that
//! real ones do, and keeps the books of what it charged.

#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)] // shared by several test binaries

mod bodies;

use serde_json::Value;
use std::{
    collections::VecDeque,
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

/// Which wire format a request came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wire {
    OpenAi,
    Anthropic,
    Google,
}

/// How a request goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The provider's real error body with this status; nothing is charged.
    Status(u16),
    /// 429 with the provider's headers or body that ask for so many seconds.
    RateLimited(u64),
    /// The account is out of money.
    OutOfMoney,
    /// The key is wrong, and is repeated in the reason.
    BadKey,
    /// More tokens than the model takes.
    ContextLength,
    /// The provider's rules on content.
    Content,
    /// The error repeats the prompt.
    QuotesPrompt,
    /// Charged, and then this status.
    ChargedStatus(u16),
    /// Charged, and then no byte until [`FakeProvider::release`].
    Stall,
    /// A stream that stops in its middle until [`FakeProvider::release`]; charged.
    StallInStream,
    /// Charged; the connection closes before the answer.
    Closed,
    /// Charged; the connection closes in the middle of the body, or of the stream without its end.
    Truncated,
    /// Charged; a stream that is closed properly in its middle, as if that were its end.
    EndsEarly,
    /// Charged; an error inside of the stream, or in a body with status 200.
    ErrorInside,
    /// Charged; an answer that is not JSON.
    NotJson,
    /// Charged; an answer without content, though with usage.
    NoContent,
}

/// What it says of the tokens it charged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Says {
    #[default]
    Truth,
    Nothing,
    Zero,
    Huge,
}

/// How one request is answered.
#[derive(Debug, Clone, Default)]
pub struct Behaviour {
    /// What the model says, a word a piece of a stream. Cut to the request's maximum of output tokens; a word is a token.
    pub text: String,
    /// A call of a tool, with its arguments.
    pub call: Option<(String, Value)>,
    /// Tokens of input; `None` counts the words of the request.
    pub input: Option<u64>,
    /// Of these, from the cache.
    pub cached: u64,
    /// Tokens of reasoning, beside the words of the text.
    pub reasoning: u64,
    /// What it says of them.
    pub says: Says,
    /// What goes wrong.
    pub fault: Option<Fault>,
    /// Bytes that are written to the socket at once; 0 writes all.
    pub step: usize,
}

impl Behaviour {
    pub fn says(text: &str) -> Self {
        Self { text: text.to_owned(), ..Self::default() }
    }

    pub fn fails(fault: Fault) -> Self {
        Self { fault: Some(fault), ..Self::says("one two three four") }
    }
}

/// A request that came in.
#[derive(Debug, Clone)]
pub struct Seen {
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub body: Value,
}

impl Seen {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }
}

/// What was charged so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Charged {
    /// Requests that cost something.
    pub requests: u64,
    /// Tokens of input, those from the cache included.
    pub input: u64,
    pub cached: u64,
    /// Tokens of output, those of reasoning included.
    pub output: u64,
    pub reasoning: u64,
}

#[derive(Debug, Default)]
struct State {
    usual: Behaviour,
    next: VecDeque<Behaviour>,
    seen: Vec<Seen>,
    charged: Charged,
    released: bool,
    /// Connections that stall.
    held: Vec<TcpStream>,
    given_up: usize,
    in_flight: usize,
    most_in_flight: usize,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    turn: Condvar,
    stop: AtomicBool,
}

/// The server. It ends when it is dropped.
#[derive(Debug)]
pub struct FakeProvider {
    port: u16,
    shared: Arc<Shared>,
}

impl FakeProvider {
    /// Answers `Hello there` until it is told otherwise.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared::default());
        shared.state.lock().unwrap().usual = Behaviour::says("Hello there");
        let served = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming() {
                if served.stop.load(Ordering::Acquire) {
                    return;
                }
                let (Ok(stream), shared) = (stream, Arc::clone(&served)) else { continue };
                thread::spawn(move || shared.serve(stream));
            }
        });
        Self { port, shared }
    }

    /// The address, without a path.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// How it answers from now on.
    pub fn usually(&self, behaviour: Behaviour) {
        self.state(|s| s.usual = behaviour);
    }

    /// How it answers the next request that is not spoken for yet.
    pub fn then(&self, behaviour: Behaviour) -> &Self {
        self.state(|s| s.next.push_back(behaviour));
        self
    }

    /// Lets go of what stalls, now and later: its connection closes.
    pub fn release(&self) {
        self.state(|s| {
            s.released = true;
            s.held.drain(..).for_each(|stream| drop(stream.shutdown(Shutdown::Both)));
        });
        self.shared.turn.notify_all();
    }

    /// Waits until so many requests that stalled were given up by their client.
    pub fn wait_for_given_up(&self, count: usize) {
        let state = self.shared.state.lock().unwrap();
        drop(self.shared.turn.wait_while(state, |s| s.given_up < count).unwrap());
    }

    /// Waits until so many requests came in.
    pub fn wait_for_requests(&self, count: usize) {
        let state = self.shared.state.lock().unwrap();
        drop(self.shared.turn.wait_while(state, |s| s.seen.len() < count).unwrap());
    }

    /// The requests so far, oldest first.
    pub fn seen(&self) -> Vec<Seen> {
        self.state(|s| s.seen.clone())
    }

    /// What it charged so far.
    pub fn charged(&self) -> Charged {
        self.state(|s| s.charged)
    }

    /// The most requests that were being answered at one time.
    pub fn most_in_flight(&self) -> usize {
        self.state(|s| s.most_in_flight)
    }

    fn state<T>(&self, with: impl FnOnce(&mut State) -> T) -> T {
        with(&mut self.shared.state.lock().unwrap())
    }
}

impl Drop for FakeProvider {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        self.release();
        // Wakes the listener.
        drop(TcpStream::connect(("127.0.0.1", self.port)));
    }
}

/// One request, and how it is answered.
#[derive(Debug)]
pub(crate) struct Job {
    pub wire: Wire,
    pub stream: bool,
    pub embed: bool,
    pub body: Value,
    pub model: String,
    pub how: Behaviour,
    /// Words that the model says.
    pub words: Vec<String>,
    pub cut: bool,
    pub charged: Charged,
}

impl Job {
    fn new(path: &str, body: Value, how: Behaviour) -> Option<Self> {
        let (route, query) = path.split_once('?').unwrap_or((path, ""));
        let google = route.strip_prefix("/v1beta/models/").and_then(|rest| rest.split_once(':'));
        let (wire, embed, stream, model) = match (route, google) {
            ("/v1/chat/completions", _) => (Wire::OpenAi, false, body["stream"] == true, None),
            ("/v1/embeddings", _) => (Wire::OpenAi, true, false, None),
            ("/v1/messages", _) => (Wire::Anthropic, false, body["stream"] == true, None),
            (_, Some((model, "generateContent"))) => (Wire::Google, false, false, Some(model)),
            (_, Some((model, "streamGenerateContent"))) if query == "alt=sse" => {
                (Wire::Google, false, true, Some(model))
            }
            (_, Some((model, "batchEmbedContents"))) => (Wire::Google, true, false, Some(model)),
            _ => return None,
        };
        let model = model.or_else(|| body["model"].as_str()).unwrap_or_default().to_owned();
        let most = ["/max_completion_tokens", "/max_tokens", "/generationConfig/maxOutputTokens"];
        let most = most.iter().find_map(|place| body.pointer(place)?.as_u64()).unwrap_or(u64::MAX);
        let mut words: Vec<String> = how.text.split_whitespace().map(str::to_owned).collect();
        let cut = words.len() as u64 > most;
        words.truncate(usize::try_from(most).unwrap_or(usize::MAX));
        let output =
            if embed { 0 } else { words.len() as u64 + how.reasoning + if how.call.is_some() { 10 } else { 0 } };
        let input = how.input.unwrap_or_else(|| bodies::words(&body));
        let charged = Charged { requests: 1, input, cached: how.cached, output, reasoning: how.reasoning };
        Some(Self { wire, stream, embed, body, model, how, words, cut, charged })
    }
}

/// An answer, ready to be written.
pub(crate) struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// Where a fault cuts it; the whole without one.
    pub until: usize,
}

impl Shared {
    fn serve(&self, mut stream: TcpStream) {
        let Some(seen) = read_request(&mut stream) else { return };
        let how = {
            let mut state = self.state.lock().unwrap();
            state.seen.push(seen.clone());
            state.in_flight += 1;
            state.most_in_flight = state.most_in_flight.max(state.in_flight);
            state.next.pop_front().unwrap_or_else(|| state.usual.clone())
        };
        self.turn.notify_all();
        match Job::new(&seen.path, seen.body, how) {
            Some(job) => self.answer(&mut stream, &job),
            None => drop(stream.write_all(b"HTTP/1.1 404 x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")),
        }
        self.state.lock().unwrap().in_flight -= 1;
        // What the client sent is read, so nothing of the answer is lost.
        drop(stream.shutdown(Shutdown::Both));
    }

    fn answer(&self, stream: &mut TcpStream, job: &Job) {
        let free = matches!(
            job.how.fault,
            Some(
                Fault::Status(_)
                    | Fault::RateLimited(_)
                    | Fault::OutOfMoney
                    | Fault::BadKey
                    | Fault::ContextLength
                    | Fault::Content
                    | Fault::QuotesPrompt
            )
        );
        if !free {
            let charged = &mut self.state.lock().unwrap().charged;
            charged.requests += 1;
            charged.input += job.charged.input;
            charged.cached += job.charged.cached;
            charged.output += job.charged.output;
            charged.reasoning += job.charged.reasoning;
        }
        match job.how.fault {
            Some(Fault::Closed) => return,
            Some(Fault::Stall) => return self.stall(stream),
            _ => {}
        }
        let answer = bodies::answer(job);
        let mut head = format!("HTTP/1.1 {} x\r\nConnection: close\r\n", answer.status);
        for (name, value) in &answer.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        let chunked = job.stream && answer.status == 200;
        head.push_str(&match chunked {
            true => "Transfer-Encoding: chunked\r\n\r\n".to_owned(),
            false => format!("Content-Length: {}\r\n\r\n", answer.body.len()),
        });
        let body = &answer.body[..answer.until];
        let step = if job.how.step == 0 { body.len().max(1) } else { job.how.step };
        // A client that went away is no failure of the server.
        let write =
            |stream: &mut TcpStream, bytes: &[u8]| stream.write_all(bytes).and_then(|()| stream.flush()).is_ok();
        if !write(stream, head.as_bytes()) {
            return;
        }
        for piece in body.chunks(step) {
            let framed = [format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat();
            if !write(stream, if chunked { &framed } else { piece }) {
                return;
            }
        }
        match job.how.fault {
            Some(Fault::Truncated) => {}
            Some(Fault::StallInStream) => self.stall(stream),
            _ if chunked => drop(write(stream, b"0\r\n\r\n")),
            _ => {}
        }
    }

    /// Until it is let go or the client goes.
    fn stall(&self, stream: &mut TcpStream) {
        {
            let mut state = self.state.lock().unwrap();
            if state.released {
                return;
            }
            state.held.push(stream.try_clone().unwrap());
        }
        // The client sends nothing more, so this ends with the connection.
        drop(stream.read(&mut [0]));
        let mut state = self.state.lock().unwrap();
        if !state.released {
            state.given_up += 1;
        }
        drop(state);
        self.turn.notify_all();
    }
}

fn read_request(stream: &mut TcpStream) -> Option<Seen> {
    stream.set_nodelay(true).ok()?;
    let (mut got, mut piece) = (Vec::new(), [0; 16 << 10]);
    let head = loop {
        if let Some(at) = got.windows(4).position(|w| w == b"\r\n\r\n") {
            break at;
        }
        match stream.read(&mut piece) {
            Ok(n) if n > 0 => got.extend_from_slice(&piece[..n]),
            _ => return None,
        }
    };
    let text = String::from_utf8_lossy(&got[..head]).into_owned();
    let mut lines = text.split("\r\n");
    let path = lines.next()?.split(' ').nth(1)?.to_owned();
    let header = |line: &str| line.split_once(':').map(|(n, v)| (n.to_lowercase(), v.trim().to_owned()));
    let headers: Vec<_> = lines.filter_map(header).collect();
    let length = headers.iter().find(|(name, _)| name == "content-length")?.1.parse::<usize>().ok()?;
    let mut body = got[head + 4..].to_vec();
    while body.len() < length {
        match stream.read(&mut piece) {
            Ok(n) if n > 0 => body.extend_from_slice(&piece[..n]),
            _ => return None,
        }
    }
    Some(Seen { path, headers, body: serde_json::from_slice(&body).unwrap() })
}
