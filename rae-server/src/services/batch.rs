//! Texts of many requests, embedded together: a model computes a batch in much less time than its texts one by one.

use crate::front::Front;
use parking_lot::{Condvar, Mutex};
use rae_core::{EmbedRole, Error, Result, block_on, limits::EMBED_BATCH_MAX, ports::Embedder};
use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    thread::JoinHandle,
    time::Instant,
};
use tokio::sync::oneshot;

/// One vector a text; `None` where the model knows nothing of it.
pub type Vectors = Vec<Option<Vec<f32>>>;

/// The queue and the thread that works it off.
#[derive(Debug)]
pub struct Batcher {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug)]
struct Shared {
    front: Arc<Front>,
    embedder: Arc<dyn Embedder>,
    queue: Mutex<Queue>,
    news: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<Waiting>,
    closed: bool,
}

/// A request in the queue.
#[derive(Debug)]
struct Waiting {
    texts: Vec<String>,
    role: EmbedRole,
    vectors: Vectors,
    answer: oneshot::Sender<Result<Vectors>>,
    since: Instant,
}

impl Waiting {
    fn left(&self) -> usize {
        self.texts.len() - self.vectors.len()
    }
}

impl Batcher {
    /// Starts the thread.
    pub fn start(front: Arc<Front>, embedder: Arc<dyn Embedder>) -> Result<Self> {
        let shared = Arc::new(Shared { front, embedder, queue: Mutex::default(), news: Condvar::new() });
        let work = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("rae-embed".into()).spawn(move || run(&work));
        let thread = thread.map_err(|e| Error::unavailable("no thread could be started").with_source(e))?;
        Ok(Self { shared, thread: Mutex::new(Some(thread)) })
    }

    /// The embedder.
    pub fn embedder(&self) -> &dyn Embedder {
        &*self.shared.embedder
    }

    /// The vectors of texts. `Unavailable` with code `overloaded` when the queue is full; a caller that leaves is not computed for.
    pub async fn embed(&self, texts: Vec<String>, role: EmbedRole) -> Result<Vectors> {
        if texts.is_empty() {
            return Ok(Vec::new());
        }
        let (answer, wait) = oneshot::channel();
        let front = &self.shared.front;
        {
            let mut queue = self.shared.queue.lock();
            let waiting: usize = queue.waiting.iter().map(Waiting::left).sum();
            if queue.closed || waiting + texts.len() > front.settings.embed_queue_texts.max(texts.len()) {
                return Err(front.overloaded("embed_queue"));
            }
            let vectors = Vec::with_capacity(texts.len());
            queue.waiting.push_back(Waiting { texts, role, vectors, answer, since: Instant::now() });
            self.shared.count(&queue);
        }
        self.shared.news.notify_one();
        wait.await.map_err(|_| Error::internal("the embedding thread ended"))?
    }

    /// Ends the thread once the queue is empty; waits for it.
    pub fn close(&self) {
        self.shared.queue.lock().closed = true;
        self.shared.news.notify_all();
        let thread = self.thread.lock().take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the embedding thread panicked");
        }
    }
}

impl Shared {
    fn count(&self, queue: &Queue) {
        let left: usize = queue.waiting.iter().map(Waiting::left).sum();
        self.front.metrics.embed_queue_texts.set(i64::try_from(left).unwrap_or(i64::MAX));
    }

    /// The next batch: requests, and how many texts of each. `None` at the end.
    fn next(&self) -> Option<Vec<(Waiting, usize)>> {
        let mut queue = self.queue.lock();
        loop {
            queue.waiting.retain(|w| !w.answer.is_closed());
            let Some(first) = queue.waiting.front() else {
                if queue.closed {
                    return None;
                }
                self.count(&queue);
                self.news.wait(&mut queue);
                continue;
            };
            let due = first.since + self.front.settings.embed_window;
            let texts: usize = queue.waiting.iter().map(Waiting::left).sum();
            if queue.closed || texts >= EMBED_BATCH_MAX || Instant::now() >= due {
                break;
            }
            self.news.wait_until(&mut queue, due);
        }
        let batch = take(&mut queue.waiting);
        self.count(&queue);
        Some(batch)
    }
}

/// A batch of one role from the front of the queue. Each request has an equal share; what is left over goes to the oldest, so that a
/// large request does not hold up small ones.
fn take(waiting: &mut VecDeque<Waiting>) -> Vec<(Waiting, usize)> {
    let Some(role) = waiting.front().map(|w| w.role) else { return Vec::new() };
    let (same, other): (VecDeque<_>, VecDeque<_>) = std::mem::take(waiting).into_iter().partition(|w| w.role == role);
    let mut room = EMBED_BATCH_MAX;
    let share = (EMBED_BATCH_MAX / same.len().max(1)).max(1);
    let mut batch: Vec<(Waiting, usize)> = Vec::new();
    let mut rest = VecDeque::new();
    for request in same {
        let count = request.left().min(share).min(room);
        if count == 0 {
            rest.push_back(request);
        } else {
            room -= count;
            batch.push((request, count));
        }
    }
    for (request, count) in &mut batch {
        let more = (request.left() - *count).min(room);
        *count += more;
        room -= more;
    }
    // The other role's turn is next; requests that were not reached keep their order.
    *waiting = other;
    waiting.extend(rest);
    batch
}

fn run(shared: &Shared) {
    while let Some(batch) = shared.next() {
        let metrics = &shared.front.metrics;
        let texts: Vec<&str> = batch
            .iter()
            .flat_map(|(w, count)| w.texts.iter().skip(w.vectors.len()).take(*count))
            .map(String::as_str)
            .collect();
        metrics.embed_batch_texts.observe(texts.len() as f64);
        metrics.embed_batch_requests.observe(batch.len() as f64);
        let role = batch.first().map_or(EmbedRole::Document, |(w, _)| w.role);
        let computed = catch_unwind(AssertUnwindSafe(|| block_on(shared.embedder.embed(&texts, role))));
        let computed = computed.unwrap_or_else(|_| Err(Error::internal("the model failed; the log has more")));
        let computed = computed.and_then(|vectors| {
            if vectors.len() == texts.len() {
                Ok(vectors)
            } else {
                Err(Error::internal("the model gave too few vectors"))
            }
        });
        match computed {
            Ok(vectors) => hand_out(shared, batch, vectors),
            Err(error) => {
                tracing::error!(%error, "a batch was not embedded");
                for (request, _) in batch {
                    let again = Error::new(error.kind(), error.message()).with_code(error.code().to_owned());
                    // A caller that left needs no answer.
                    let _ = request.answer.send(Err(again));
                }
            }
        }
    }
}

fn hand_out(shared: &Shared, batch: Vec<(Waiting, usize)>, vectors: Vectors) {
    let mut vectors = vectors.into_iter();
    let mut unfinished = Vec::new();
    for (mut request, count) in batch {
        request.vectors.extend(vectors.by_ref().take(count));
        if request.left() == 0 {
            let _ = request.answer.send(Ok(request.vectors));
        } else {
            unfinished.push(request);
        }
    }
    shared.queue.lock().waiting.extend(unfinished);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiting(texts: usize, role: EmbedRole) -> Waiting {
        let answer = oneshot::channel().0;
        Waiting { texts: vec!["x".to_owned(); texts], role, vectors: Vec::new(), answer, since: Instant::now() }
    }

    fn taken(requests: &[(usize, EmbedRole)]) -> (Vec<usize>, usize) {
        let mut queue: VecDeque<Waiting> = requests.iter().map(|(n, role)| waiting(*n, *role)).collect();
        let batch = take(&mut queue);
        (batch.iter().map(|(_, count)| *count).collect(), queue.len())
    }

    #[test]
    fn a_batch_is_of_one_role_and_a_large_request_leaves_room_for_small_ones() {
        use EmbedRole::{Document, Query};
        assert_eq!(taken(&[(1000, Document), (3, Document), (1, Query), (2, Document)]), (vec![251, 3, 2], 1));
        assert_eq!(taken(&[(1, Query), (1000, Document)]), (vec![1], 1));
        assert_eq!(taken(&[(1000, Document)]), (vec![256], 0));
        let (many, left) = taken(&[(2, Document); 300]);
        assert_eq!((many.len(), many.iter().sum::<usize>(), left), (256, 256, 44));
        assert_eq!(taken(&[]), (vec![], 0));
    }
}
