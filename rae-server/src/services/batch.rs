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

/// Bytes of the texts of one batch, or one text. As many as a client sends in a few requests: its limit of time is for its own alone.
const BATCH_BYTES_MAX: usize = 64 << 10;

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

    /// The next `count` texts.
    fn next(&self, count: usize) -> impl Iterator<Item = &str> {
        self.texts.iter().skip(self.vectors.len()).take(count).map(String::as_str)
    }

    /// Bytes of the texts that are left.
    fn bytes(&self) -> usize {
        self.next(self.left()).map(str::len).sum()
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
            let bytes: usize = queue.waiting.iter().map(Waiting::bytes).sum();
            let full = texts >= EMBED_BATCH_MAX || bytes >= BATCH_BYTES_MAX;
            if queue.closed || full || Instant::now() >= due {
                break;
            }
            self.news.wait_until(&mut queue, due);
        }
        let batch = take(&mut queue.waiting);
        self.count(&queue);
        Some(batch)
    }
}

/// A batch of one role from the front of the queue, bounded in texts and in bytes. Requests give one text each by turns, the oldest
/// first, so that a large one does not hold up small ones; the first has a place however long its text is.
fn take(waiting: &mut VecDeque<Waiting>) -> Vec<(Waiting, usize)> {
    let Some(role) = waiting.front().map(|w| w.role) else { return Vec::new() };
    let (same, other): (VecDeque<_>, VecDeque<_>) = std::mem::take(waiting).into_iter().partition(|w| w.role == role);
    let (mut texts, mut bytes) = (0, 0);
    let mut shares: Vec<(Waiting, usize)> = same.into_iter().map(|request| (request, 0)).collect();
    loop {
        let before = texts;
        for (request, count) in &mut shares {
            let Some(text) = request.next(*count + 1).nth(*count) else { continue };
            let fits = texts == 0 || bytes + text.len() <= BATCH_BYTES_MAX;
            if fits && texts < EMBED_BATCH_MAX {
                (texts, bytes) = (texts + 1, bytes + text.len());
                *count += 1;
            }
        }
        if texts == before {
            break;
        }
    }
    let (batch, rest): (Vec<_>, Vec<_>) = shares.into_iter().partition(|(_, count)| *count > 0);
    // The other role's turn is next; requests that were not reached keep their order.
    *waiting = other;
    waiting.extend(rest.into_iter().map(|(request, _)| request));
    batch
}

fn run(shared: &Shared) {
    while let Some(batch) = shared.next() {
        let metrics = &shared.front.metrics;
        metrics.embed_batch_texts.observe(batch.iter().map(|(_, count)| count).sum::<usize>() as f64);
        metrics.embed_batch_requests.observe(batch.len() as f64);
        let answers = compute(&*shared.embedder, &batch);
        let mut unfinished = Vec::new();
        for ((mut request, _), answer) in batch.into_iter().zip(answers) {
            match answer {
                Ok(vectors) => request.vectors.extend(vectors),
                Err(error) => {
                    // A caller that left needs no answer; here and below.
                    let _ = request.answer.send(Err(error));
                    continue;
                }
            }
            if request.left() == 0 {
                let _ = request.answer.send(Ok(request.vectors));
            } else {
                unfinished.push(request);
            }
        }
        shared.queue.lock().waiting.extend(unfinished);
    }
}

/// The vectors of each request's share. Where the batch fails, each request is tried alone, once: none fails for another's texts.
fn compute(embedder: &dyn Embedder, batch: &[(Waiting, usize)]) -> Vec<Result<Vectors>> {
    let texts: Vec<&str> = batch.iter().flat_map(|(request, count)| request.next(*count)).collect();
    let role = batch.first().map_or(EmbedRole::Document, |(request, _)| request.role);
    let error = match checked(embedder, &texts, role) {
        Ok(vectors) => {
            let mut vectors = vectors.into_iter();
            return batch.iter().map(|(_, count)| Ok(vectors.by_ref().take(*count).collect())).collect();
        }
        Err(error) => error,
    };
    tracing::error!(%error, requests = batch.len(), "a batch was not embedded");
    if batch.len() == 1 {
        return vec![Err(error)];
    }
    let alone = |(request, count): &(Waiting, usize)| {
        if request.answer.is_closed() {
            return Err(Error::internal("the caller left"));
        }
        let vectors = checked(embedder, &request.next(*count).collect::<Vec<_>>(), request.role);
        vectors.inspect_err(|error| tracing::error!(%error, "a request was not embedded"))
    };
    batch.iter().map(alone).collect()
}

/// Vectors as the embedder promises them: as many as texts, of its dimension, of finite numbers.
fn checked(embedder: &dyn Embedder, texts: &[&str], role: EmbedRole) -> Result<Vectors> {
    let computed = catch_unwind(AssertUnwindSafe(|| block_on(embedder.embed(texts, role))));
    let vectors = computed.unwrap_or_else(|_| Err(Error::internal("the model failed; the log has more")))?;
    if vectors.len() != texts.len() {
        return Err(Error::internal("the model gave another number of vectors than of texts"));
    }
    let dim = embedder.dim();
    if vectors.iter().flatten().any(|v| v.len() != dim || !v.iter().all(|x| x.is_finite())) {
        return Err(Error::internal("the model gave a vector of another dimension, or one that is not finite"));
    }
    Ok(vectors)
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

    #[test]
    fn a_batch_is_bounded_in_bytes_and_every_text_has_its_turn() {
        let sized = |sizes: &[usize]| {
            let texts = sizes.iter().map(|n| "x".repeat(*n)).collect();
            Waiting { texts, ..waiting(0, EmbedRole::Document) }
        };
        let (half, huge) = (BATCH_BYTES_MAX / 2, BATCH_BYTES_MAX * 4);
        let mut queue = VecDeque::from([sized(&[half; 3]), sized(&[huge, 1]), sized(&[1, 1])]);
        let mut sizes = Vec::new();
        while !queue.is_empty() {
            let mut unfinished = Vec::new();
            sizes.push(Vec::new());
            for (mut request, count) in take(&mut queue) {
                sizes.last_mut().unwrap().extend(request.next(count).map(str::len));
                request.vectors.extend(vec![None; count]);
                unfinished.extend(Some(request).filter(|r| r.left() > 0));
            }
            queue.extend(unfinished);
        }
        assert_eq!(sizes, [vec![half, 1, 1], vec![huge], vec![half, 1], vec![half]].map(|s| s.to_vec()));
    }

    /// An embedder that fails in the way its texts name.
    #[derive(Debug)]
    struct Failing;

    #[async_trait::async_trait]
    impl Embedder for Failing {
        fn id(&self) -> &str {
            "failing"
        }

        fn dim(&self) -> usize {
            2
        }

        async fn embed(&self, texts: &[&str], _: EmbedRole) -> Result<Vectors> {
            let one = |text: &&str| match *text {
                "panic" => panic!("as the text says"),
                "refuse" => Err(Error::unavailable("not this one")),
                "short" => Ok(Some(vec![1.0])),
                "nan" => Ok(Some(vec![f32::NAN, 0.0])),
                _ => Ok(Some(vec![1.0, 0.0])),
            };
            texts.iter().map(one).collect()
        }
    }

    #[tokio::test]
    async fn who_leaves_the_queue_takes_its_texts_out_and_leaves_those_of_others() {
        let settings = {
            let matches = crate::cli::command().try_get_matches_from(["rae-server"]).unwrap();
            crate::settings::Settings::load(&matches, |_| None).unwrap()
        };
        let metrics = crate::metrics::Metrics::new(0).unwrap();
        let front = Arc::new(Front::new(settings, metrics, tokio::runtime::Handle::current()));
        let shared = Shared { front, embedder: Arc::new(Failing), queue: Mutex::default(), news: Condvar::new() };
        let (stays, answer) = (waiting(2, EmbedRole::Document), oneshot::channel());
        let here = Waiting { answer: answer.0, ..stays };
        shared.queue.lock().waiting.extend([waiting(EMBED_BATCH_MAX, EmbedRole::Document), here]);
        shared.queue.lock().closed = true;
        let batch = shared.next().unwrap();
        assert_eq!(batch.iter().map(|(_, count)| *count).collect::<Vec<_>>(), [2]);
        drop((batch, answer.1));
        assert!(shared.next().is_none());
    }

    #[test]
    fn a_request_does_not_fail_for_the_texts_of_another() {
        for bad in ["panic", "refuse", "short", "nan"] {
            let request = |text: &str| {
                let (answer, wait) = oneshot::channel();
                (Waiting { texts: vec![text.to_owned()], answer, ..waiting(0, EmbedRole::Document) }, wait)
            };
            let ((good, _kept), (bad_one, _kept_too)) = (request("good"), request(bad));
            let answers = compute(&Failing, &[(good, 1), (bad_one, 1)]);
            assert_eq!(answers[0].as_ref().unwrap(), &[Some(vec![1.0, 0.0])], "{bad}");
            assert!(answers.len() == 2 && answers[1].is_err(), "{bad}");
        }
    }
}
