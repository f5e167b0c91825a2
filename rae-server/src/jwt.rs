//! Tokens of an OpenID provider. Asymmetric signatures alone (RS*, PS*, ES256, ES384, EdDSA), by ring, which is in the program for TLS
//! anyway; `none` and HS* have no verifier here. Keys come from the provider's JWKS, which is kept and asked for in bounds.

use crate::settings::Settings;
use parking_lot::Mutex;
use rae_core::{Error, Result, model::Role};
use ring::signature::{self, RsaPublicKeyComponents, UnparsedPublicKey};
use serde::Deserialize;
use serde_json::{Map, Value};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::Mutex as AsyncMutex;

/// Longest token.
const TOKEN_BYTES_MAX: usize = 16 << 10;
/// How far clocks may differ, in seconds.
const LEEWAY: f64 = 30.0;
/// How long a set of keys is taken as new.
const FRESH: Duration = Duration::from_secs(600);
/// How long it serves when the provider does not answer.
const STALE: Duration = Duration::from_secs(86_400);
/// Least time between two questions to the provider, whatever tokens say: an unknown key id cannot make it ask more often.
const PAUSE: Duration = Duration::from_secs(5);
/// How long the provider may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a request waits for what the provider says: to one question with discovery, and no more.
const WAIT: Duration = Duration::from_secs(10);
/// Longest answer of the provider.
const ANSWER_BYTES_MAX: usize = 256 << 10;
/// Most keys of a set.
const KEYS_MAX: usize = 100;

/// What a token stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bound {
    /// Its tenant.
    pub tenant: String,
    /// The only project that it reaches.
    pub project: Option<String>,
    /// What it may do.
    pub role: Role,
}

/// Who is asked for keys.
#[derive(Debug)]
enum Source {
    Jwks(String),
    /// By discovery from the issuer.
    Issuer,
}

/// The verifier.
#[derive(Debug)]
pub struct Jwt {
    issuer: String,
    audience: String,
    source: Source,
    tenant_claim: String,
    project_claim: String,
    role_claim: String,
    client: reqwest::Client,
    /// The last set of keys, and when it was read.
    known: Mutex<Option<(Vec<Jwk>, Instant)>>,
    /// When the provider was last asked; held while it is.
    asked: AsyncMutex<Option<Instant>>,
}

/// A key of a set. Unknown members are passed by, as the standard asks.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    #[serde(rename = "use")]
    purpose: Option<String>,
    alg: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    crit: Option<Value>,
}

#[derive(Debug, Deserialize)]
struct Jwks {
    keys: Vec<Value>,
}

#[derive(Debug, Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

/// A token taken apart.
struct Token<'a> {
    header: Header,
    claims: Map<String, Value>,
    signed: &'a [u8],
    signature: Vec<u8>,
}

impl Jwt {
    /// As the settings say; `None` where they name no issuer.
    pub fn new(settings: &Settings) -> Result<Option<Self>> {
        let Some(issuer) = settings.jwt_issuer.clone() else { return Ok(None) };
        let (audience, source) = (settings.jwt_audience.clone(), settings.jwks_url.clone());
        Ok(Some(Self {
            issuer,
            audience,
            source: source.map_or(Source::Issuer, Source::Jwks),
            tenant_claim: settings.jwt_tenant_claim.clone(),
            project_claim: settings.jwt_project_claim.clone(),
            role_claim: settings.jwt_role_claim.clone(),
            client: rae_core::http::client(PATIENCE)?,
            known: Mutex::default(),
            asked: AsyncMutex::default(),
        }))
    }

    /// Whether this looks like a token; stored keys have no dots.
    pub fn is_token(shown: &[u8]) -> bool {
        shown.iter().filter(|byte| **byte == b'.').count() == 2
    }

    /// What a token stands for; `None` where it lets nobody in, whatever the reason, which the log has at `debug`. Unavailable where
    /// the provider has never answered.
    pub async fn verify(&self, shown: &[u8]) -> Result<Option<Bound>> {
        let Some(token) = Token::read(shown) else { return Ok(refuse("it is malformed")) };
        if verifier(&token.header.alg).is_none() || token.header.crit.is_some() {
            return Ok(refuse("its algorithm is not one of those taken, or it asks for an extension"));
        }
        // Before any key is asked for: a token that could not be taken makes nobody ask.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        let bound = match self.bound(&token.claims, now) {
            Ok(bound) => bound,
            Err(reason) => return Ok(refuse(reason)),
        };
        match self.key(&token.header).await? {
            None => Ok(refuse("its key is not in the provider's set")),
            Some(key) if key.verifies(&token) => Ok(Some(bound)),
            Some(_) => Ok(refuse("its signature is wrong")),
        }
    }

    fn bound(&self, claims: &Map<String, Value>, now: f64) -> std::result::Result<Bound, &'static str> {
        let text = |name: &str| claims.get(name).and_then(Value::as_str);
        let time =
            |name: &str| claims.get(name).map(|value| value.as_f64().ok_or("a time in it is no number")).transpose();
        if text("iss") != Some(&self.issuer) {
            return Err("its issuer is another one");
        }
        let meant = match claims.get("aud") {
            Some(Value::String(one)) => *one == self.audience,
            Some(Value::Array(many)) => many.iter().any(|one| one.as_str() == Some(&self.audience)),
            _ => false,
        };
        if !meant {
            return Err("its audience is another one");
        }
        if time("exp")?.ok_or("it has no end")? + LEEWAY <= now {
            return Err("it has expired");
        }
        if time("nbf")?.is_some_and(|from| from - LEEWAY > now) {
            return Err("it does not hold yet");
        }
        let tenant = text(&self.tenant_claim).ok_or("it names no tenant")?.to_owned();
        let project = match claims.get(&self.project_claim) {
            None | Some(Value::Null) => None,
            Some(Value::String(project)) => Some(project.clone()),
            // Anything else must not widen it to all projects.
            Some(_) => return Err("its project is no text"),
        };
        let role = |value: &Value| value.as_str().and_then(|text| text.parse::<Role>().ok());
        let role = match claims.get(&self.role_claim) {
            Some(Value::Array(many)) => many.iter().filter_map(role).max(),
            Some(one) => role(one),
            None => None,
        };
        Ok(Bound { tenant, project, role: role.ok_or("it has no role")? })
    }

    /// The key that a token names. One that is not known may be new: the provider is asked again, but not often. Who shows a known
    /// key does not wait for those who show others.
    async fn key(&self, header: &Header) -> Result<Option<Jwk>> {
        match self.look(header) {
            Some((Some(key), age)) if age < FRESH => return Ok(Some(key)),
            Some((Some(_), age)) if age < STALE => {
                // Known, but it is time to ask again: one does, the others go on with what is known.
                if let Ok(mut asked) = self.asked.try_lock() {
                    self.renew(&mut asked).await;
                }
            }
            _ => {
                let ask = async {
                    let mut asked = self.asked.lock().await;
                    // Whoever asked meanwhile may have heard of it.
                    if !matches!(self.look(header), Some((Some(_), age)) if age < FRESH) {
                        self.renew(&mut asked).await;
                    }
                };
                // Nobody waits for a whole queue of others. Who asks goes on: its answer is everybody's.
                if tokio::time::timeout(WAIT, ask).await.is_err() {
                    tracing::debug!("the token provider is being asked by another request");
                }
            }
        }
        match self.look(header) {
            Some((key, age)) if age < STALE => Ok(key),
            _ => Err(Error::unavailable("the token provider does not answer; try again in a moment")
                .with_code("no_token_keys")
                .temporary()),
        }
    }

    /// The key among those known, and how old the set is.
    fn look(&self, header: &Header) -> Option<(Option<Jwk>, Duration)> {
        self.known.lock().as_ref().map(|(set, at)| (pick(set, header), at.elapsed()))
    }

    async fn renew(&self, asked: &mut Option<Instant>) {
        if asked.is_some_and(|at| at.elapsed() < PAUSE) {
            return;
        }
        *asked = Some(Instant::now());
        match self.fetch().await {
            Ok(set) => *self.known.lock() = Some((set, Instant::now())),
            Err(error) => {
                tracing::warn!(%error, "the keys of the token provider cannot be read; going on with those known");
            }
        }
        // From the end: a provider that answers late is not asked without a pause.
        *asked = Some(Instant::now());
    }

    async fn fetch(&self) -> Result<Vec<Jwk>> {
        let url = match &self.source {
            Source::Jwks(url) => url.clone(),
            Source::Issuer => {
                let place = format!("{}/.well-known/openid-configuration", self.issuer.trim_end_matches('/'));
                let found: Discovery = self.get(&place).await?;
                if found.issuer != self.issuer {
                    return Err(Error::unavailable("the discovery document names another issuer than RAE_JWT_ISSUER"));
                }
                let unsafe_place =
                    |_| Error::unavailable("the discovery document names an unsafe address for the keys");
                check_url(&found.jwks_uri).map_err(unsafe_place)?;
                found.jwks_uri
            }
        };
        let set: Jwks = self.get(&url).await?;
        // One key that is not understood must not take the others with it.
        let keys = set.keys.into_iter().take(KEYS_MAX).filter_map(|key| serde_json::from_value(key).ok());
        Ok(keys.collect())
    }

    async fn get<T: serde::de::DeserializeOwned>(&self, url: &str) -> Result<T> {
        let failed = |e: reqwest::Error| Error::unavailable("the token provider cannot be reached").with_source(e);
        let mut answer = self.client.get(url).send().await.map_err(failed)?;
        if !answer.status().is_success() {
            return Err(Error::unavailable(format!("the token provider answered with {}", answer.status().as_u16())));
        }
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(failed)? {
            if body.len() + chunk.len() > ANSWER_BYTES_MAX {
                return Err(Error::unavailable("the answer of the token provider is too long"));
            }
            body.extend_from_slice(&chunk);
        }
        let wrong = |e| Error::unavailable("the answer of the token provider is not as it must be").with_source(e);
        serde_json::from_slice(&body).map_err(wrong)
    }
}

fn refuse(reason: &'static str) -> Option<Bound> {
    tracing::debug!(reason, "a token was refused");
    None
}

/// Keys decide who gets in: they come over TLS, or from this machine.
pub fn check_url(url: &str) -> std::result::Result<(), &'static str> {
    const WRONG: &str = "https://..., or http://... on this machine, without a password and without ?";
    let parsed = reqwest::Url::parse(url).map_err(|_| WRONG)?;
    let host = parsed.host_str().unwrap_or_default().trim_matches(['[', ']']);
    let local = host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
    let sane = parsed.scheme() == "https" || (parsed.scheme() == "http" && local);
    let plain = parsed.username().is_empty() && parsed.password().is_none() && parsed.query().is_none();
    if sane && plain && !host.is_empty() { Ok(()) } else { Err(WRONG) }
}

/// The key with the id that the token names, or the only one of its sort where it names none.
fn pick(set: &[Jwk], header: &Header) -> Option<Jwk> {
    let mut fit = set.iter().filter(|key| key.fits(&header.alg));
    match &header.kid {
        Some(kid) => fit.find(|key| key.kid.as_ref() == Some(kid)).cloned(),
        None => fit.next().filter(|_| fit.next().is_none()).cloned(),
    }
}

impl<'a> Token<'a> {
    fn read(shown: &'a [u8]) -> Option<Self> {
        let text = std::str::from_utf8(shown).ok().filter(|text| text.len() <= TOKEN_BYTES_MAX)?;
        let (signed, signature) = text.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.')?;
        let header = serde_json::from_slice(&base64url(header)?).ok()?;
        let claims = serde_json::from_slice(&base64url(claims)?).ok()?;
        Some(Self { header, claims, signed: signed.as_bytes(), signature: base64url(signature)? })
    }
}

/// How an algorithm is verified, and with which sort of key.
enum Verifier {
    Rsa(&'static signature::RsaParameters),
    Ec(&'static str, &'static dyn signature::VerificationAlgorithm),
    Ed,
}

fn verifier(alg: &str) -> Option<Verifier> {
    use Verifier::{Ec, Ed, Rsa};
    Some(match alg {
        "RS256" => Rsa(&signature::RSA_PKCS1_2048_8192_SHA256),
        "RS384" => Rsa(&signature::RSA_PKCS1_2048_8192_SHA384),
        "RS512" => Rsa(&signature::RSA_PKCS1_2048_8192_SHA512),
        "PS256" => Rsa(&signature::RSA_PSS_2048_8192_SHA256),
        "PS384" => Rsa(&signature::RSA_PSS_2048_8192_SHA384),
        "PS512" => Rsa(&signature::RSA_PSS_2048_8192_SHA512),
        "ES256" => Ec("P-256", &signature::ECDSA_P256_SHA256_FIXED),
        "ES384" => Ec("P-384", &signature::ECDSA_P384_SHA384_FIXED),
        "EdDSA" => Ed,
        _ => return None,
    })
}

impl Jwk {
    /// Whether it is a key for this algorithm: the sort of key decides, and what the key says of itself must agree.
    fn fits(&self, alg: &str) -> bool {
        let sort = match verifier(alg) {
            Some(Verifier::Rsa(_)) => self.kty == "RSA",
            Some(Verifier::Ec(curve, _)) => self.kty == "EC" && self.crv.as_deref() == Some(curve),
            Some(Verifier::Ed) => self.kty == "OKP" && self.crv.as_deref() == Some("Ed25519"),
            None => false,
        };
        sort && self.alg.as_deref().is_none_or(|own| own == alg)
            && self.purpose.as_deref().is_none_or(|own| own == "sig")
    }

    fn verifies(&self, token: &Token<'_>) -> bool {
        let part = |part: &Option<String>| part.as_deref().and_then(base64url).unwrap_or_default();
        let (signed, mark) = (token.signed, token.signature.as_slice());
        let verified = match verifier(&token.header.alg) {
            Some(Verifier::Rsa(parameters)) => {
                RsaPublicKeyComponents { n: part(&self.n), e: part(&self.e) }.verify(parameters, signed, mark)
            }
            Some(Verifier::Ec(_, algorithm)) => {
                let point = [vec![4], part(&self.x), part(&self.y)].concat();
                UnparsedPublicKey::new(algorithm, point).verify(signed, mark)
            }
            Some(Verifier::Ed) => UnparsedPublicKey::new(&signature::ED25519, part(&self.x)).verify(signed, mark),
            None => return false,
        };
        verified.is_ok()
    }
}

/// Strict: no padding, no other signs, no bits left over.
fn base64url(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() * 3 / 4);
    let (mut held, mut bits) = (0u32, 0);
    for sign in text.bytes() {
        let value = match sign {
            b'A'..=b'Z' => sign - b'A',
            b'a'..=b'z' => sign - b'a' + 26,
            b'0'..=b'9' => sign - b'0' + 52,
            b'-' => 62,
            b'_' => 63,
            _ => return None,
        };
        held = held << 6 | u32::from(value);
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push((held >> bits) as u8);
            held &= (1 << bits) - 1;
        }
    }
    (bits < 6 && held == 0).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7515, A.2: made by others.
    const RS256: &str = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";
    const RSA: &str = "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ";
    /// RFC 7515, A.3.
    const ES256: &str = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";

    fn rsa() -> Jwk {
        Jwk { kty: "RSA".into(), n: Some(RSA.into()), e: Some("AQAB".into()), ..Jwk::default() }
    }

    fn ec() -> Jwk {
        let part = |text: &str| Some(text.to_owned());
        let (x, y) = ("f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0");
        Jwk { kty: "EC".into(), crv: part("P-256"), x: part(x), y: part(y), ..Jwk::default() }
    }

    #[test]
    fn the_examples_of_the_standard_verify_and_a_bent_one_does_not() {
        for (text, key) in [(RS256, rsa()), (ES256, ec())] {
            let token = Token::read(text.as_bytes()).unwrap();
            assert!(key.fits(&token.header.alg) && key.verifies(&token));
            let mut bent = Token::read(text.as_bytes()).unwrap();
            bent.signature[9] ^= 1;
            assert!(!key.verifies(&bent));
            let other = text.replacen(".eyJpc3MiOiJqb2Ui", ".eyJpc3MiOiJqb2Uj", 1);
            assert!(Token::read(other.as_bytes()).is_none_or(|token| !key.verifies(&token)));
        }
        assert!(!rsa().verifies(&Token::read(ES256.as_bytes()).unwrap()));
    }

    #[test]
    fn a_key_serves_its_own_algorithm_alone() {
        for alg in ["none", "None", "HS256", "HS512", "", "rs256", "ES512"] {
            assert!(verifier(alg).is_none() && !rsa().fits(alg) && !ec().fits(alg), "{alg}");
        }
        assert!(!rsa().fits("ES256") && !ec().fits("RS256") && !ec().fits("ES384"));
        assert!(!Jwk { alg: Some("PS256".into()), ..rsa() }.fits("RS256"));
        assert!(!Jwk { purpose: Some("enc".into()), ..rsa() }.fits("RS256"));
    }

    #[test]
    fn without_a_key_id_only_a_single_key_is_taken() {
        let header = |kid: Option<&str>| Header { alg: "RS256".into(), kid: kid.map(str::to_owned), crit: None };
        let named = |kid: &str| Jwk { kid: Some(kid.into()), ..rsa() };
        assert!(pick(&[rsa(), ec()], &header(None)).is_some());
        assert!(pick(&[named("a"), named("b")], &header(None)).is_none());
        assert_eq!(pick(&[named("a"), named("b")], &header(Some("b"))).unwrap().kid.as_deref(), Some("b"));
        assert!(pick(&[rsa()], &header(Some("a"))).is_none());
    }

    #[test]
    fn base64_is_read_strictly() {
        assert_eq!(base64url("_-8"), Some(vec![0xff, 0xef]));
        assert_eq!(base64url(""), Some(vec![]));
        for bad in ["a", "YQ==", "YQ\n", "YR", "Y+", "\u{e9}\u{e9}"] {
            assert!(base64url(bad).is_none(), "{bad:?}");
        }
    }

    #[test]
    fn keys_are_fetched_over_tls_or_from_this_machine() {
        for good in ["https://id.example/jwks", "http://127.0.0.1:8080/x", "http://localhost/x", "http://[::1]:1/x"] {
            assert!(check_url(good).is_ok(), "{good}");
        }
        for bad in ["", "http://id.example/jwks", "http://127.0.0.1.evil.example", "file:///etc/passwd", "https://"] {
            assert!(check_url(bad).is_err(), "{bad}");
        }
    }
}
