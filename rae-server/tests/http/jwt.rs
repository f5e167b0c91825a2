//! Tokens of an OpenID provider: a small one on this machine, with real keys.

use crate::support::{Answer, Server, until};
use ring::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair},
};
use serde_json::{Value, json};
use std::{
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

fn base64url(bytes: &[u8]) -> String {
    const SIGNS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let held = chunk.iter().chain([&0; 2]).take(3).fold(0u32, |held, byte| held << 8 | u32::from(*byte));
        text.extend((0..=chunk.len()).map(|n| char::from(SIGNS[(held >> (18 - 6 * n)) as usize & 63])));
    }
    text
}

enum Pair {
    Ec(EcdsaKeyPair),
    Ed(Ed25519KeyPair),
}

struct Signer {
    kid: &'static str,
    pair: Pair,
}

impl Signer {
    fn ec(kid: &'static str) -> Self {
        let random = SystemRandom::new();
        let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document.as_ref(), &random).unwrap();
        Self { kid, pair: Pair::Ec(pair) }
    }

    fn ed(kid: &'static str) -> Self {
        let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        Self { kid, pair: Pair::Ed(Ed25519KeyPair::from_pkcs8(document.as_ref()).unwrap()) }
    }

    fn jwk(&self) -> Value {
        match &self.pair {
            Pair::Ec(pair) => {
                let point = pair.public_key().as_ref();
                let (x, y) = (base64url(&point[1..33]), base64url(&point[33..]));
                json!({ "kty": "EC", "crv": "P-256", "kid": self.kid, "use": "sig", "x": x, "y": y, "unknown": [1] })
            }
            Pair::Ed(pair) => {
                json!({ "kty": "OKP", "crv": "Ed25519", "kid": self.kid, "x": base64url(pair.public_key().as_ref()) })
            }
        }
    }

    fn sign(&self, claims: &Value) -> String {
        let alg = if matches!(self.pair, Pair::Ec(_)) { "ES256" } else { "EdDSA" };
        let header = json!({ "alg": alg, "kid": self.kid, "typ": "JWT" });
        let signed =
            format!("{}.{}", base64url(header.to_string().as_bytes()), base64url(claims.to_string().as_bytes()));
        let mark = match &self.pair {
            Pair::Ec(pair) => pair.sign(&SystemRandom::new(), signed.as_bytes()).unwrap().as_ref().to_vec(),
            Pair::Ed(pair) => pair.sign(signed.as_bytes()).as_ref().to_vec(),
        };
        format!("{signed}.{}", base64url(&mark))
    }
}

/// A provider: its keys can change, and it can go away.
struct Provider {
    url: String,
    keys: Arc<Mutex<Value>>,
    down: Arc<AtomicBool>,
    asked: Arc<AtomicUsize>,
}

impl Provider {
    fn start(signers: &[&Signer]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let provider = Self { url, keys: Arc::default(), down: Arc::default(), asked: Arc::default() };
        provider.publish(signers);
        let (url, keys) = (provider.url.clone(), Arc::clone(&provider.keys));
        let (down, asked) = (Arc::clone(&provider.down), Arc::clone(&provider.asked));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
                let first = lines.next().unwrap_or_default();
                lines.take_while(|line| !line.is_empty()).for_each(drop);
                if down.load(Ordering::SeqCst) {
                    continue;
                }
                let body = if first.contains("/.well-known/openid-configuration") {
                    json!({ "issuer": url, "jwks_uri": format!("{url}/keys") }).to_string()
                } else {
                    asked.fetch_add(1, Ordering::SeqCst);
                    keys.lock().unwrap().to_string()
                };
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
                let _ = (&stream).write_all((head + &body).as_bytes());
            }
        });
        provider
    }

    fn publish(&self, signers: &[&Signer]) {
        let keys: Vec<Value> = signers.iter().map(|signer| signer.jwk()).collect();
        *self.keys.lock().unwrap() = json!({ "keys": keys });
    }

    fn claims(&self) -> Value {
        json!({ "iss": self.url, "aud": "rae", "exp": now() + 600, "tenant": "t", "role": "owner" })
    }

    fn server(&self) -> Server {
        Server::with(&[("RAE_JWT_ISSUER", &self.url), ("RAE_JWT_AUDIENCE", "rae")])
    }
}

fn now() -> i64 {
    i64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_secs()).unwrap()
}

fn with(mut claims: Value, name: &str, value: Value) -> Value {
    claims[name] = value;
    claims
}

fn ask(server: &Server, token: &str, more: &[(&str, &str)]) -> Answer {
    let bearer = format!("Bearer {token}");
    let headers = [&[("Authorization", bearer.as_str())], more].concat();
    server.send("GET", "/v1/stats", &headers, b"")
}

#[test]
fn a_token_lets_its_tenant_in_within_its_role_and_project() {
    let (ec, ed) = (Signer::ec("one"), Signer::ed("two"));
    let provider = Provider::start(&[&ec, &ed]);
    let server = provider.server();
    assert!(!server.log().contains("TRUSTED"));
    server.get("/v1/stats").is_error(401, "unauthenticated", "missing_key");
    for signer in [&ec, &ed] {
        assert_eq!(ask(&server, &signer.sign(&provider.claims()), &[]).status, 200);
    }
    let many = with(provider.claims(), "aud", json!(["other", "rae"]));
    let token = ec.sign(&with(many, "role", json!(["offline", "viewer", "analyst"])));
    assert_eq!(ask(&server, &token, &[("X-Tenant-ID", "t"), ("X-Project-ID", "any")]).status, 200);
    ask(&server, &token, &[("X-Tenant-ID", "u")]).is_error(403, "permission_denied", "other_tenant");
    let write = server.send("POST", "/v1/memories", &[("Authorization", &format!("Bearer {token}"))], b"{}");
    write.is_error(403, "permission_denied", "role_too_weak");
    let bound = ec.sign(&with(provider.claims(), "project", json!("p")));
    ask(&server, &bound, &[("X-Project-ID", "q")]).is_error(403, "permission_denied", "other_project");
    assert_eq!(ask(&server, &bound, &[("X-Project-ID", "p")]).status, 200);
    // Owners of tenants are not the operator.
    let answer = server.send("GET", "/v1/admin/diagnostics", &[("Authorization", &format!("Bearer {token}"))], b"");
    answer.is_error(403, "permission_denied", "operator_only");
}

#[test]
fn tokens_that_are_wrong_in_any_way_are_refused_alike() {
    let (signer, stranger) = (Signer::ec("one"), Signer::ec("one"));
    let provider = Provider::start(&[&signer]);
    let server = provider.server();
    let claims = || provider.claims();
    let good = signer.sign(&claims());
    assert_eq!(ask(&server, &good, &[]).status, 200);
    let (head, rest) = good.split_once('.').unwrap();
    let (body, mark) = rest.split_once('.').unwrap();
    let forged = base64url(with(claims(), "tenant", json!("u")).to_string().as_bytes());
    let unsigned = |alg: &str| base64url(json!({ "alg": alg, "kid": "one" }).to_string().as_bytes());
    let mut wrong = vec![
        stranger.sign(&claims()),
        format!("{head}.{forged}.{mark}"),
        format!("{head}.{body}."),
        format!("{}.{body}.", unsigned("none")),
        format!("{}.{body}.{mark}", unsigned("HS256")),
        format!("{}.{body}.{mark}", unsigned("RS256")),
        format!("{good}="),
        "a.b.c".to_owned(),
        "..".to_owned(),
    ];
    for (name, value) in [
        ("aud", json!("other")),
        ("aud", json!(null)),
        ("iss", json!("http://127.0.0.1:1")),
        ("exp", json!(now() - 60)),
        ("exp", json!("never")),
        ("exp", json!(null)),
        ("nbf", json!(now() + 600)),
        ("tenant", json!(null)),
        ("tenant", json!(["t"])),
        ("project", json!(["p"])),
        ("role", json!("king")),
        ("role", json!(null)),
    ] {
        wrong.push(signer.sign(&with(claims(), name, value)));
    }
    for token in &wrong {
        ask(&server, token, &[]).is_error(401, "unauthenticated", "unknown_key");
    }
    // Clocks may differ a little.
    assert_eq!(ask(&server, &signer.sign(&with(claims(), "exp", json!(now() - 5))), &[]).status, 200);
    assert_eq!(ask(&server, &signer.sign(&with(claims(), "nbf", json!(now() + 5))), &[]).status, 200);
    assert!(!server.log().contains(mark), "a token is in no log");
}

#[test]
fn keys_may_rotate_and_their_provider_may_go_away() {
    let (old, new, stranger) = (Signer::ec("old"), Signer::ed("new"), Signer::ec("stranger"));
    let provider = Provider::start(&[&old]);
    let server = provider.server();
    let (before, after, foreign) =
        (old.sign(&provider.claims()), new.sign(&provider.claims()), stranger.sign(&provider.claims()));
    assert_eq!(ask(&server, &before, &[]).status, 200);
    // Key ids that nobody knows do not make the server ask again and again.
    let asked = provider.asked.load(Ordering::SeqCst);
    let start = std::time::Instant::now();
    for _ in 0..50 {
        assert_eq!(ask(&server, &foreign, &[]).status, 401);
    }
    let most = asked + 1 + usize::try_from(start.elapsed().as_secs() / 5).unwrap();
    assert!(provider.asked.load(Ordering::SeqCst) <= most);
    provider.publish(&[&old, &new]);
    until(|| Some(()).filter(|()| ask(&server, &after, &[]).status == 200));
    // One that is taken out of the set is out when the set is read again.
    provider.publish(&[&new]);
    until(|| {
        assert_eq!(ask(&server, &foreign, &[]).status, 401);
        Some(()).filter(|()| ask(&server, &before, &[]).status == 401)
    });
    provider.down.store(true, Ordering::SeqCst);
    assert_eq!(ask(&server, &after, &[]).status, 200, "the keys known go on serving");
    assert_eq!(ask(&server, &foreign, &[]).status, 401);
    // Who has never had an answer cannot tell good from bad.
    let cold = provider.server();
    ask(&cold, &after, &[]).is_error(503, "unavailable", "no_token_keys");
    provider.down.store(false, Ordering::SeqCst);
    until(|| Some(()).filter(|()| ask(&cold, &after, &[]).status == 200));
}

#[test]
fn an_issuer_needs_an_audience_and_a_safe_place_for_its_keys() {
    for (env, said) in [
        (vec![("RAE_JWT_ISSUER", "https://id.example")], "RAE_JWT_AUDIENCE"),
        (vec![("RAE_JWT_ISSUER", "http://id.example"), ("RAE_JWT_AUDIENCE", "rae")], "RAE_JWT_ISSUER must be https"),
        (
            vec![("RAE_JWT_ISSUER", "id"), ("RAE_JWT_AUDIENCE", "rae"), ("RAE_JWKS_URL", "http://id.example/keys")],
            "RAE_JWKS_URL must be https",
        ),
        (vec![("RAE_JWKS_URL", "https://id.example/keys")], "RAE_JWT_ISSUER is not"),
    ] {
        let folder = crate::support::Folder::new();
        let output = crate::support::command(&folder.0).args(["--port", "0"]).envs(env).output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(2) && error.contains(said), "{error}");
    }
}
