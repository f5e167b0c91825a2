//! What the words in the names of tools do.

/// Words that do the same.
const SAME: [&[&str]; 12] = [
    &["get", "fetch", "read", "load", "open", "download", "show", "view", "retrieve"],
    &["search", "find", "lookup", "query", "list"],
    &["create", "add", "make", "new", "insert"],
    &["update", "edit", "set", "change", "modify", "patch", "write", "save"],
    &["send", "upload", "share", "post", "submit", "deliver", "publish", "push"],
    &["pay", "transfer", "charge", "settle"],
    &["book", "reserve", "order"],
    &["run", "execute", "exec", "start", "launch"],
    &["translate", "convert"],
    &["deploy", "release"],
    &["delete", "remove", "drop", "erase"],
    &["check", "test", "validate", "verify"],
];
/// Words that take back what others do, or do away with it.
const AGAINST: [&str; 18] = [
    "abort", "cancel", "close", "delete", "disable", "drop", "erase", "refund", "reject", "remove", "reset", "revert",
    "revoke", "rollback", "stop", "truncate", "undo", "void",
];
/// What a command does away with, or goes around.
const DESTRUCTIVE: [&str; 22] = [
    "--force",
    "--force-with-lease",
    "--hard",
    "--no-verify",
    "-f",
    "-fr",
    "-rf",
    "chmod 777",
    "dd",
    "delete",
    "drop",
    "kill",
    "killall",
    "mkfs",
    "pkill",
    "rm",
    "rmdir",
    "shred",
    "sudo",
    "truncate",
    "unlink",
    "uninstall",
];

fn parts(name: &str) -> Vec<String> {
    name.split(|c: char| !c.is_alphanumeric()).filter(|part| !part.is_empty()).map(str::to_lowercase).collect()
}

/// The words that do the same as this one, itself too.
pub(super) fn alike(word: &str) -> Vec<&str> {
    let known = SAME.iter().find(|same| same.contains(&word));
    known.map_or_else(|| vec![word], |same| same.to_vec())
}

/// Whether two tools do the same to what they are called with: a word of both does the same, or they begin with the same.
pub(super) fn do_the_same(a: &str, b: &str) -> bool {
    let (a, b) = (parts(a), parts(b));
    let does = |same: &&[&str]| {
        let has = |parts: &[String]| parts.iter().any(|part| same.contains(&part.as_str()));
        has(&a) && has(&b)
    };
    !takes_back(&a, &b) && !takes_back(&b, &a) && (SAME.iter().any(does) || a.first() == b.first())
}

/// Whether a tool of this name only looks at things.
pub(super) fn only_looks(name: &str) -> bool {
    let looks = |part: &String| SAME.iter().take(2).any(|same| same.contains(&part.as_str()));
    parts(name).first().is_some_and(looks)
}

/// Whether the second takes back, or does away with, what the first does.
fn takes_back(first: &[String], second: &[String]) -> bool {
    second.iter().any(|part| AGAINST.contains(&part.as_str()) && !first.contains(part))
}

/// Whether an example of it would be advice to do away with something.
pub(super) fn is_destructive(call: &str) -> bool {
    let lower = call.to_lowercase();
    let is_of = |c: char| !c.is_alphanumeric() && !matches!(c, '-' | '_');
    lower.contains("chmod 777")
        || lower.contains("chmod -r 777")
        || lower.split(is_of).any(|word| DESTRUCTIVE.contains(&word))
        || lower.split(|c: char| !c.is_alphanumeric()).any(|word| matches!(word, "drop" | "delete" | "rm" | "truncate"))
}

/// Whether an argument of this name says which thing a call is about.
pub(super) fn names_the_thing(argument: &str) -> bool {
    const NAMES: [&str; 14] =
        ["id", "ids", "uuid", "key", "customer", "user", "page", "row", "email", "mail", "name", "path", "url", "file"];
    let last = argument.to_lowercase();
    let camel = argument.ends_with("Id") || argument.ends_with("ID");
    camel || last.split(['_', '-', '.']).next_back().is_some_and(|part| NAMES.contains(&part))
}

/// Of what sorts of characters a value is: `2026-06-01` and `01.06.2026` are of others, `5` and `6` of the same.
pub(super) fn shape(value: &str) -> String {
    if value.contains("://") {
        return "url".to_owned();
    }
    let sort = |c: char| match c {
        c if c.is_ascii_digit() => '9',
        c if c.is_alphabetic() || c == '_' => 'a',
        c => c,
    };
    let mut shape: Vec<char> = value.trim_matches(['\'', '"']).chars().map(sort).collect();
    shape.dedup();
    let mut shape: String = shape.into_iter().collect();
    // More words, parts of a name or folders are no other sort.
    for joint in [' ', '.', '/', '-'] {
        let pair = format!("a{joint}a");
        while shape.contains(&pair) {
            shape = shape.replace(&pair, "a");
        }
    }
    shape
}
