//! What no lesson repeats: passwords, keys, addresses of mail, long numbers.

/// What stands for them, until the text has its form: characters that no text has.
const SECRET: char = '\u{2}';
const NUMBER: char = '\u{3}';
const EMAIL: char = '\u{4}';
const KEY: char = '\u{5}';
/// What they are to a reader.
const SIGNS: [(char, &str); 4] = [(SECRET, "secret"), (NUMBER, "n"), (EMAIL, "email"), (KEY, "id")];
/// What a secret stands after, whatever its letters: `password hunter2`.
const NAMES: [&str; 20] = [
    "access_key",
    "accesskey",
    "api-key",
    "api_key",
    "apikey",
    "authorization",
    "bearer",
    "contraseña",
    "kennwort",
    "passcode",
    "passphrase",
    "passwd",
    "password",
    "passwort",
    "private_key",
    "pw",
    "pwd",
    "secret",
    "secret_key",
    "пароль",
];
/// The same where a sign or "is" stands between, or it has a digit: they name other things too.
const WEAK: [&str; 6] = ["cookie", "key", "pin", "session", "token", "credentials"];
/// Words that end as those do and name no secret.
const NO_NAMES: [&str; 6] = ["monkey", "turkey", "hotkey", "obsession", "possession", "keys"];
/// What may stand between the name and the value.
const LINKS: [&str; 9] = ["is", "was", "were", "=", ":", "=>", "->", "be", "as"];
/// What names the sort of an authorization.
const SCHEMES: [&str; 5] = ["basic", "bearer", "token", "digest", "apikey"];
/// Words after the name that say something of the secret, and are none.
const HARMLESS: [&str; 120] = [
    "a",
    "absent",
    "accepted",
    "access",
    "actual",
    "after",
    "again",
    "already",
    "an",
    "and",
    "are",
    "at",
    "authentication",
    "bad",
    "before",
    "blank",
    "by",
    "can",
    "cannot",
    "changed",
    "check",
    "clear",
    "confirmation",
    "contains",
    "correct",
    "could",
    "denied",
    "did",
    "disabled",
    "do",
    "does",
    "doesn't",
    "duplicate",
    "empty",
    "error",
    "exists",
    "expected",
    "expired",
    "expires",
    "failed",
    "field",
    "for",
    "found",
    "from",
    "given",
    "got",
    "has",
    "have",
    "if",
    "in",
    "incorrect",
    "insufficient",
    "invalid",
    "is",
    "length",
    "limit",
    "manager",
    "mismatch",
    "missing",
    "must",
    "needed",
    "needs",
    "no",
    "not",
    "null",
    "of",
    "on",
    "or",
    "policy",
    "provided",
    "refused",
    "rejected",
    "required",
    "reset",
    "revoked",
    "set",
    "should",
    "supplied",
    "than",
    "that",
    "the",
    "to",
    "too",
    "undefined",
    "unknown",
    "unset",
    "used",
    "was",
    "weak",
    "when",
    "will",
    "with",
    "without",
    "wrong",
    "you",
    "your",
    "malformed",
    "short",
    "long",
    "corrupt",
    "locked",
    "blocked",
    "ready",
    "unavailable",
    "stored",
    "still",
    "temporarily",
    "being",
    "valid",
    "hashed",
    "encrypted",
    "active",
    "inactive",
    "closed",
    "unsupported",
    "allowed",
    "compromised",
    "optional",
    "mandatory",
    "outdated",
];
/// What keys of services begin with.
const PREFIXES: [&str; 22] = [
    "sk-",
    "pk-",
    "sk_",
    "pk_",
    "rk_",
    "ghp_",
    "gho_",
    "ghu_",
    "ghs_",
    "github_pat_",
    "glpat-",
    "xoxb-",
    "xoxp-",
    "xoxa-",
    "AKIA",
    "ASIA",
    "AIza",
    "eyJ",
    "hf_",
    "npm_",
    "whsec_",
    "pypi-",
];
/// Characters of a key with such a beginning.
const PREFIXED_CHARS: usize = 10;
/// Digits of a number that may be somebody's: of a card, an account, a telephone.
const DIGITS: usize = 9;
/// Characters of a word of letters and digits that may be a key.
const KEY_CHARS: usize = 16;
/// Words of a secret in quotes.
const QUOTED_WORDS: usize = 12;
/// Programs whose `-p` is no password.
const OTHER_P: [&str; 17] = [
    "cargo", "cp", "git", "install", "make", "mkdir", "npm", "nmap", "ps", "pytest", "python", "python3", "read",
    "rsync", "ssh", "scp", "tar",
];

/// What is to come of the next word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Any,
    /// After the name of a secret; whether its value is one whatever it looks like.
    Secret(bool),
    /// After `-p`, and after `-u`.
    Flag,
    User,
}

/// The text with signs for what is not to be repeated. `has_ids`: for words of letters and digits that may be keys too, which a
/// general form has no need of.
pub(super) fn masked(text: &str, has_ids: bool) -> String {
    let clean: String = text.chars().filter(|c| !is_format(*c)).collect();
    let words: Vec<&str> =
        clean.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty()).collect();
    let mut masker = Masker { words: &words, at: 0, next: Next::Any, out: Vec::new(), has_ids };
    while masker.at < words.len() {
        masker.step();
    }
    masker.out.join(" ")
}

/// The signs in words, between these two.
pub(super) fn signed(text: &str, open: char, close: char) -> String {
    SIGNS.iter().fold(text.to_owned(), |text, (sign, word)| text.replace(*sign, &format!("{open}{word}{close}")))
}

/// Characters that are not seen, and change how others are.
fn is_format(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
        || SIGNS.iter().any(|(sign, _)| *sign == c)
}

struct Masker<'a> {
    words: &'a [&'a str],
    at: usize,
    next: Next,
    out: Vec<String>,
    has_ids: bool,
}

impl<'a> Masker<'a> {
    fn step(&mut self) {
        let Some(word) = self.words.get(self.at).copied() else { return };
        self.at += 1;
        let next = std::mem::replace(&mut self.next, Next::Any);
        let told = match next {
            Next::Secret(is_sure) => self.value(word, is_sure),
            Next::Flag if !is_port(word) => Some(SECRET.to_string()),
            Next::User => word.split_once(':').map(|(name, _)| format!("{name}:{SECRET}")),
            _ => None,
        };
        let told = told.unwrap_or_else(|| self.word(word));
        self.out.push(told);
    }

    /// What a word after the name of a secret is; `None` where it says something of it.
    fn value(&mut self, word: &'a str, is_sure: bool) -> Option<String> {
        let bare = core(word).to_lowercase();
        if LINKS.contains(&word) || LINKS.contains(&bare.as_str()) {
            self.next = Next::Secret(true);
            return Some(word.to_owned());
        }
        if SCHEMES.contains(&bare.as_str()) {
            self.next = Next::Secret(is_sure || bare != "token");
            return Some(word.to_owned());
        }
        if bare.is_empty() || HARMLESS.contains(&bare.as_str()) {
            // `password rejected: hunter2`.
            let goes_on = word.ends_with([':', '=']) || bare.is_empty();
            self.next = if goes_on { Next::Secret(false) } else { Next::Any };
            return Some(word.to_owned());
        }
        let has_digit = bare.chars().any(|c| c.is_ascii_digit());
        (is_sure || has_digit).then(|| self.secret(word))
    }

    /// The sign of a value, with the rest of it where it is in quotes.
    fn secret(&mut self, word: &str) -> String {
        let quote =
            word.chars().find(|c| c.is_alphanumeric() || matches!(c, '\'' | '"')).filter(|c| !c.is_alphanumeric());
        let end = word.trim_end_matches([',', ';', '}', ']', ')', '.']);
        let is_open = quote.is_some_and(|quote| end.matches(quote).count() % 2 == 1);
        let rest = self.words.get(self.at..).unwrap_or_default();
        let closes = |word: &&str| quote.is_some_and(|quote| word.contains(quote));
        let close = rest.iter().take(QUOTED_WORDS).position(closes).filter(|_| is_open);
        let last = close.and_then(|close| rest.get(close).copied()).unwrap_or(word);
        self.at += close.map_or(0, |close| close + 1);
        let (head, _) = around(word);
        let (_, tail) = around(last);
        format!("{head}{SECRET}{tail}")
    }

    fn word(&mut self, word: &'a str) -> String {
        if let Some(at) = word.find("://") {
            return url(word, at);
        }
        if let Some(told) = self.flag(word) {
            return told;
        }
        if let Some(at) = word.find(['=', ':'])
            && let (Some(name), Some(value)) = (word.get(..=at), word.get(at + 1..))
        {
            let named = name_of(core(name));
            if core(value).is_empty() {
                self.next = named.map_or(Next::Any, |_| Next::Secret(true));
                return word.to_owned();
            }
            if named.is_some() {
                return format!("{name}{}", self.value(value, true).unwrap_or_default());
            }
            return match self.number(value) {
                Some(number) => format!("{name}{number}"),
                None => format!("{name}{}", self.word(value)),
            };
        }
        if let Some(number) = self.number(word) {
            return number;
        }
        self.next = name_of(core(word)).map_or(Next::Any, Next::Secret);
        self.plain(word)
    }

    /// `-p`, `-pgeheim`, `-u name:geheim`.
    fn flag(&mut self, word: &str) -> Option<String> {
        let is_other = self.words.get(..self.at).unwrap_or_default().iter().any(|word| OTHER_P.contains(&core(word)));
        match word {
            "-u" | "--user" => self.next = Next::User,
            "-p" if !is_other => self.next = Next::Flag,
            _ => {
                let is_mysql = self.words.iter().any(|word| {
                    let word = core(word);
                    word.starts_with("mysql") || word.starts_with("mariadb") || word == "sshpass"
                });
                let rest = word.strip_prefix("-p").filter(|rest| is_mysql && !rest.is_empty())?;
                return (!rest.starts_with("ort")).then(|| format!("-p{SECRET}"));
            }
        }
        Some(word.to_owned())
    }

    /// A long number, and its groups in the words after it.
    fn number(&mut self, word: &str) -> Option<String> {
        let mut digits = group(word, true)?;
        let mut last = word;
        let mut taken = 0;
        let mut rest = self.words.get(self.at..).unwrap_or_default().iter();
        while !last.ends_with([',', ';', ':', '.', '\'', '"', ')'])
            && let Some(next) = rest.next()
            && let Some(more) = group(next, false)
        {
            (digits, last, taken) = (digits + more, next, taken + 1);
        }
        if digits < DIGITS {
            return None;
        }
        self.at += taken;
        Some(format!("{}{NUMBER}{}", around(word).0.trim_end_matches('+'), around(last).1))
    }

    fn plain(&self, word: &str) -> String {
        let core = core(word);
        let has = |is: fn(&char) -> bool| core.chars().any(|c| is(&c));
        let is_plain = core.chars().all(|c| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | '+'));
        let chars = core.chars().count();
        let is_email = core.rsplit_once('@').is_some_and(|(name, host)| !name.is_empty() && host.contains('.'));
        let is_key = PREFIXES.iter().any(|start| core.starts_with(start)) && chars >= PREFIXED_CHARS;
        let is_id = is_plain && has(char::is_ascii_digit) && has(|c| c.is_alphabetic()) && chars >= KEY_CHARS;
        let sign = match () {
            () if is_email && self.has_ids => EMAIL,
            () if is_key && is_plain => SECRET,
            () if is_id && self.has_ids => KEY,
            () => return word.to_owned(),
        };
        word.replace(core, &sign.to_string())
    }
}

fn core(word: &str) -> &str {
    word.trim_matches(|c: char| c.is_ascii_punctuation())
}

/// The punctuation before and after a word.
fn around(word: &str) -> (&str, &str) {
    let core = core(word);
    let at = word.find(core).filter(|_| !core.is_empty()).unwrap_or(word.len());
    (word.get(..at).unwrap_or_default(), word.get(at + core.len()..).unwrap_or_default())
}

/// Whether a word names a secret, and whether surely.
fn name_of(word: &str) -> Option<bool> {
    let name = word.to_lowercase();
    let ends = |known: &str| {
        let head = name.strip_suffix(known);
        // `pw` and `pin` end other words.
        head.is_some_and(|head| known.chars().count() > 3 || head.is_empty() || head.ends_with(['_', '-', '.']))
    };
    if NO_NAMES.contains(&name.as_str()) {
        return None;
    }
    match (NAMES.iter().any(|known| ends(known)), WEAK.iter().any(|known| ends(known))) {
        (true, _) => Some(true),
        (false, true) => Some(false),
        (false, false) => None,
    }
}

/// The digits of a word that is a number or a group of one; the first group may begin with the letters of a country.
fn group(word: &str, is_first: bool) -> Option<usize> {
    let core = core(word);
    let letters = core.chars().take_while(char::is_ascii_uppercase).count();
    let rest = if is_first && letters == 2 { core.get(letters..)? } else { core };
    let digits = rest.chars().filter(char::is_ascii_digit).count();
    let is_number = digits > 0 && rest.chars().all(|c| c.is_ascii_digit() || matches!(c, '-' | '.' | '/'));
    let parts: Vec<usize> = rest.split(['-', '.', '/']).map(str::len).collect();
    // Dates and addresses of machines are none of somebody's numbers.
    let is_date = matches!(parts[..], [4, 2, 2] | [1 | 2, 1 | 2, 4]);
    let is_address = rest.split('.').count() == 4 && rest.split('.').all(|part| part.parse::<u8>().is_ok());
    (is_number && !is_date && !is_address).then_some(digits)
}

/// The port, or the two, of `-p 8080:80`.
fn is_port(word: &str) -> bool {
    word.len() <= 11 && word.chars().all(|c| c.is_ascii_digit() || c == ':')
}

/// An address without who asks, and what is asked for.
fn url(word: &str, at: usize) -> String {
    let (scheme, rest) = word.split_at(at + 3);
    let end = rest.find(['/', '?', '#', '\'', '"', '`', ')', ',', '>', '<']).unwrap_or(rest.len());
    let (host, path) = rest.split_at(end);
    let host = host.rsplit_once('@').map_or_else(|| host.to_owned(), |(_, host)| format!("{SECRET}@{host}"));
    let path = match path.find(['?', '#']) {
        Some(asked) => {
            let (path, asked) = path.split_at(asked);
            let tail = asked.find(['\'', '"', '`', ')', ',', '>', '<']).and_then(|end| asked.get(end..));
            format!("{path}?{SECRET}{}", tail.unwrap_or_default())
        }
        None => path.to_owned(),
    };
    // What stands before it may be a name with a value: `url=https://x`.
    format!("{scheme}{host}{path}")
}
