//! Models from a hub: whole, checked, and only once, however the hub behaves.

use crate::{
    bert::Model,
    http::{Folder, command},
    stand_in::{Asked, Reply, StandIn},
    start,
};
use rae_core::{Error, ErrorKind};
use rae_server::models::fetch::{Source, fetch};
use sha2::{Digest, Sha256};
use std::{
    fs,
    path::PathBuf,
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}

/// A file that no pattern of repetition makes look whole.
fn content() -> Vec<u8> {
    (0..200_000_u32).flat_map(|i| i.wrapping_mul(2_654_435_761).to_le_bytes()).collect()
}

fn sums(bytes: &[u8]) -> Vec<(String, String)> {
    vec![("model.safetensors".to_owned(), sha256(bytes))]
}

fn get(hub: &StandIn, sums: &[(String, String)], cache: &Folder) -> Result<PathBuf, Error> {
    get_within(hub, sums, cache, Duration::from_secs(60))
}

fn get_within(hub: &StandIn, sums: &[(String, String)], cache: &Folder, limit: Duration) -> Result<PathBuf, Error> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let url = format!("{}/some/model", hub.url()).parse().unwrap();
    runtime.block_on(async { fetch(&Source::new(url, sums, sums.is_empty())?, &cache.0, limit).await })
}

/// The rest of `bytes` as a hub that knows ranges gives it.
fn part(bytes: &[u8], asked: &Asked) -> Reply {
    match asked.range {
        None => Reply::ok(bytes),
        Some(from) if from < bytes.len() => {
            let range = format!("Content-Range: bytes {from}-{}/{}", bytes.len() - 1, bytes.len());
            Reply { status: 206, headers: vec![range], ..Reply::ok(&bytes[from..]) }
        }
        Some(_) => Reply { headers: vec![format!("Content-Range: bytes */{}", bytes.len())], ..Reply::status(416) },
    }
}

#[test]
fn a_model_is_fetched_once_and_then_the_network_is_left_alone() {
    let (bytes, cache) = (content(), Folder::new());
    let served = bytes.clone();
    let hub = StandIn::start(move |asked| Some(part(&served, asked)));
    let folder = get(&hub, &sums(&bytes), &cache).unwrap();
    assert_eq!(fs::read(folder.join("model.safetensors")).unwrap(), bytes);
    assert_eq!(get(&hub, &sums(&bytes), &cache).unwrap(), folder);
    assert_eq!(hub.asked(), ["/some/model/model.safetensors 0"]);
}

#[test]
fn a_connection_that_breaks_again_and_again_is_taken_up_where_it_broke() {
    let (bytes, cache) = (content(), Folder::new());
    let served = bytes.clone();
    let hub = StandIn::start(move |asked| {
        let mut reply = part(&served, asked);
        // The whole length is promised, a part is sent.
        reply.length = Some(reply.body.len());
        reply.body.truncate(150_000);
        Some(reply)
    });
    let folder = get(&hub, &sums(&bytes), &cache).unwrap();
    assert_eq!(fs::read(folder.join("model.safetensors")).unwrap(), bytes);
    let asked = hub.asked();
    assert_eq!(asked.first().unwrap(), "/some/model/model.safetensors 0");
    assert!(asked.len() >= 6 && asked[1..].iter().all(|a| !a.ends_with(" 0")), "{asked:?}");
}

#[test]
fn what_a_run_that_was_ended_left_is_used_by_the_next() {
    let (bytes, cache) = (content(), Folder::new());
    let served = bytes.clone();
    let calls = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&calls);
    let hub = StandIn::start(move |asked| {
        let first = count.fetch_add(1, Ordering::SeqCst) == 0;
        let mut reply = part(&served, asked);
        if first {
            reply.length = Some(reply.body.len());
            reply.body.truncate(500_000);
        } else if count.load(Ordering::SeqCst) < 4 {
            return None;
        }
        Some(reply)
    });
    let error = get_within(&hub, &sums(&bytes), &cache, Duration::from_secs(4)).unwrap_err();
    assert!(error.kind() == ErrorKind::Timeout && error.message().contains("RAE_MODEL_TIMEOUT"), "{error:?}");
    calls.store(10, Ordering::SeqCst);
    let folder = get(&hub, &sums(&bytes), &cache).unwrap();
    assert_eq!(fs::read(folder.join("model.safetensors")).unwrap(), bytes);
    assert_eq!(hub.asked().last().unwrap(), "/some/model/model.safetensors 500000");
}

#[test]
fn a_hub_that_knows_no_ranges_is_read_from_the_start() {
    let (bytes, cache) = (content(), Folder::new());
    let (served, calls) = (bytes.clone(), AtomicUsize::new(0));
    let hub = StandIn::start(move |_| {
        let mut reply = Reply::ok(served.clone());
        if calls.fetch_add(1, Ordering::SeqCst) < 2 {
            reply.length = Some(served.len());
            reply.body.truncate(300_000);
        }
        Some(reply)
    });
    let folder = get(&hub, &sums(&bytes), &cache).unwrap();
    assert_eq!(fs::read(folder.join("model.safetensors")).unwrap(), bytes);
}

#[test]
fn a_part_of_another_version_is_found_by_the_checksum_and_fetched_anew() {
    let (bytes, cache) = (content(), Folder::new());
    let served = bytes.clone();
    let calls = AtomicUsize::new(0);
    let hub = StandIn::start(move |asked| {
        let mut reply = part(&served, asked);
        if calls.fetch_add(1, Ordering::SeqCst) == 0 {
            reply.length = Some(reply.body.len());
            reply.body = vec![7; 100_000];
        }
        Some(reply)
    });
    let folder = get(&hub, &sums(&bytes), &cache).unwrap();
    assert_eq!(fs::read(folder.join("model.safetensors")).unwrap(), bytes);
    let asked: Vec<String> = hub.asked().iter().map(|a| a.rsplit(' ').next().unwrap().to_owned()).collect();
    assert_eq!(asked, ["0", "100000", "0"]);
}

#[test]
fn without_checksums_a_file_is_never_put_together_of_two_versions() {
    let (old, new) = (vec![1; 300_000], vec![2; 300_000]);
    for tagged in [true, false] {
        // The first run gets a part of the old version and stops; the second meets the new one, which breaks off once, too.
        let (cache, calls) = (Folder::new(), Arc::new(AtomicUsize::new(0)));
        let (count, versions) = (Arc::clone(&calls), [old.clone(), new.clone()]);
        let hub = StandIn::start(move |asked| {
            match asked.path.as_str() {
                "/some/model/config.json" => return Some(Reply::ok("{}")),
                "/some/model/model.safetensors" => {}
                _ => return Some(Reply::status(404)),
            }
            let call = count.fetch_add(1, Ordering::SeqCst);
            let cut = |mut reply: Reply, at: usize| {
                reply.length = Some(reply.body.len());
                reply.body.truncate(at);
                reply
            };
            let mut reply = match call {
                0 => cut(part(&versions[0], asked), 100_000),
                1 => return Some(Reply::status(403)),
                2 => cut(part(&versions[1], asked), 200_000),
                _ => part(&versions[1], asked),
            };
            if tagged {
                reply.headers.push(format!("ETag: \"v{}\"", usize::from(call > 0)));
            }
            Some(reply)
        });
        assert!(get(&hub, &[], &cache).unwrap_err().message().contains("403"));
        let folder = get(&hub, &[], &cache).unwrap();
        assert!(fs::read(folder.join("model.safetensors")).unwrap() == new, "tagged: {tagged}");
        let asked: Vec<String> = hub.asked().into_iter().filter(|a| a.contains("safetensors")).collect();
        let asked: Vec<&str> = asked.iter().map(|a| a.trim_start_matches("/some/model/model.safetensors ")).collect();
        let again = if tagged { ["100000 if \"v0\"", "200000 if \"v1\""] } else { ["0"; 2] };
        assert_eq!(asked, ["0", again[0], "0", again[1]]);
    }
}

#[test]
fn another_content_is_refused_and_nothing_is_left_that_looks_like_a_model() {
    let (bytes, cache) = (content(), Folder::new());
    let hub = StandIn::start(|_| Some(Reply::ok("a trojan")));
    let error = get(&hub, &sums(&bytes), &cache).unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Corrupt, "model_checksum"), "{error}");
    let left: Vec<String> =
        fs::read_dir(&cache.0).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    assert!(left.iter().all(|name| name.ends_with(".part") || name.ends_with(".lock")), "{left:?}");
    assert!(get(&hub, &sums(&bytes), &cache).is_err(), "nor is it believed the second time");
}

#[test]
fn lies_about_the_length_and_refusals_end_with_a_reason() {
    type Case = (&'static str, fn(&Asked) -> Reply, ErrorKind, &'static str);
    let cases: Vec<Case> = vec![
        ("too long", |_| Reply { length: Some(3 << 30), ..Reply::ok("x") }, ErrorKind::InvalidInput, "larger than"),
        ("always short", |_| Reply { length: Some(100), ..Reply::ok("") }, ErrorKind::Unavailable, "broke off"),
        ("not there", |_| Reply::status(404), ErrorKind::InvalidInput, "has no model.safetensors"),
        ("not allowed", |_| Reply::status(403), ErrorKind::Unavailable, "403"),
        ("always broken", |_| Reply::status(500), ErrorKind::Unavailable, "500"),
        (
            "another part",
            |asked| match asked.range {
                None => Reply { length: Some(100), ..Reply::ok("abc") },
                Some(_) => Reply {
                    headers: vec!["Content-Range: bytes 50-99/100".into()],
                    ..Reply { status: 206, ..Reply::ok("x") }
                },
            },
            ErrorKind::Unavailable,
            "",
        ),
        (
            "in circles",
            |asked| Reply { headers: vec![format!("Location: {}", asked.path)], ..Reply::status(302) },
            ErrorKind::Unavailable,
            "redirects more than",
        ),
        (
            "to a file",
            |_| Reply { headers: vec!["Location: file:///etc/passwd".into()], ..Reply::status(302) },
            ErrorKind::Unavailable,
            "must not follow",
        ),
    ];
    for (what, answer, kind, said) in cases {
        let (cache, hub) = (Folder::new(), StandIn::start(move |asked| Some(answer(asked))));
        let error = get_within(&hub, &sums(b"abc"), &cache, Duration::from_secs(30)).unwrap_err();
        assert!(error.message().contains(said), "{what}: {error}");
        // Whether circles end by their count or by the clock, they end.
        assert!(error.kind() == kind || error.kind() == ErrorKind::Timeout, "{what}: {error:?}");
    }
}

#[test]
fn redirects_of_a_hub_are_followed() {
    let (bytes, cache) = (content(), Folder::new());
    let served = bytes.clone();
    let hub = StandIn::start(move |asked| {
        Some(if asked.path.starts_with("/some/") {
            Reply { headers: vec!["Location: /store/blob?id=1".into()], ..Reply::status(302) }
        } else {
            part(&served, asked)
        })
    });
    get(&hub, &sums(&bytes), &cache).unwrap();
    assert_eq!(hub.asked(), ["/some/model/model.safetensors 0", "/store/blob?id=1 0"]);
}

#[test]
fn two_that_want_the_same_model_fetch_it_once() {
    let (bytes, cache) = (content(), Folder::new());
    let served = bytes.clone();
    let hub = StandIn::start(move |asked| Some(part(&served, asked)));
    std::thread::scope(|scope| {
        let all: Vec<_> = (0..4).map(|_| scope.spawn(|| get(&hub, &sums(&bytes), &cache).unwrap())).collect();
        let all: Vec<PathBuf> = all.into_iter().map(|one| one.join().unwrap()).collect();
        assert!(all.windows(2).all(|w| w[0] == w[1]));
    });
    assert_eq!(hub.asked().len(), 1, "{:?}", hub.asked());
}

#[test]
fn a_service_starts_from_a_hub_and_without_checksums_only_when_told() {
    let model = Model::new();
    let files: Vec<(String, Vec<u8>)> = ["config.json", "model.safetensors", "tokenizer.json"]
        .into_iter()
        .map(|name| (name.to_owned(), fs::read(model.folder.path().join(name)).unwrap()))
        .collect();
    let sums: Vec<String> = files.iter().map(|(name, bytes)| format!("{name}={}", sha256(bytes))).collect();
    let lines: String = files.iter().map(|(name, bytes)| format!("{}  {name}\n", sha256(bytes))).collect();
    let hub = StandIn::start(move |asked| {
        let found = files.iter().find(|(name, _)| asked.path == format!("/{name}"));
        Some(found.map_or_else(|| Reply::status(404), |(_, bytes)| part(bytes, asked)))
    });
    let url = hub.url();
    let embedder = |env: &[(&str, &str)]| {
        let ml = start("ml", env);
        ml.get("/health").json()["model"]["id"].as_str().unwrap().to_owned()
    };
    let by_list = embedder(&[("RAE_MODEL_URL", &url), ("RAE_MODEL_SHA256", &sums.join(","))]);
    assert!(by_list.starts_with("bert-l2-h96@"), "{by_list}");
    let folder = Folder::new();
    let manifest = folder.0.join("SHA256SUMS");
    fs::write(&manifest, lines).unwrap();
    assert_eq!(embedder(&[("RAE_MODEL_URL", &url), ("RAE_MODEL_SHA256", manifest.to_str().unwrap())]), by_list);
    assert_eq!(embedder(&[("RAE_MODEL_URL", &url), ("RAE_MODEL_UNVERIFIED", "true")]), by_list);

    let before = hub.asked().len();
    let output = command(&folder.0)
        .args(["ml", "--port", "0"])
        .env("RAE_MODEL_URL", &url)
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(1) && error.contains("RAE_MODEL_SHA256"), "{error}");
    assert_eq!(hub.asked().len(), before, "nothing was asked for");
}
