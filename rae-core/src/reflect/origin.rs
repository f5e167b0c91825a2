//! Where an answer comes from: of a program that says what it does, or of one that hands over what others wrote.

/// Programs and tools that run commands or code: what they print is looked at line by line.
const SHELLS: [&str; 26] = [
    "bash",
    "build",
    "cmd",
    "code",
    "command",
    "console",
    "exec",
    "execute",
    "interpreter",
    "make",
    "node",
    "powershell",
    "pytest",
    "python",
    "repl",
    "run",
    "script",
    "sh",
    "shell",
    "subprocess",
    "terminal",
    "test",
    "tests",
    "zsh",
    "npm",
    "cargo",
];
/// Programs that print what others wrote, or names.
const READERS: [&str; 46] = [
    "ag",
    "awk",
    "bat",
    "cat",
    "column",
    "curl",
    "cut",
    "date",
    "diff",
    "dmesg",
    "echo",
    "egrep",
    "env",
    "fgrep",
    "find",
    "gawk",
    "grep",
    "head",
    "help",
    "history",
    "hexdump",
    "jq",
    "journalctl",
    "less",
    "ls",
    "man",
    "more",
    "nl",
    "od",
    "printenv",
    "printf",
    "ps",
    "rg",
    "sed",
    "sort",
    "strings",
    "tac",
    "tail",
    "tee",
    "tr",
    "tree",
    "uniq",
    "wget",
    "xxd",
    "yq",
    "zcat",
];
/// Programs that do so with one of the words below.
const SHOWING: [&str; 18] = [
    "aws",
    "az",
    "docker",
    "docker-compose",
    "gcloud",
    "gh",
    "git",
    "glab",
    "helm",
    "heroku",
    "journalctl",
    "kubectl",
    "npm",
    "oc",
    "pip",
    "podman",
    "systemctl",
    "yarn",
];
const SHOWS: [&str; 12] =
    ["api", "blame", "cat-file", "describe", "diff", "events", "get", "grep", "log", "logs", "show", "view"];
/// Programs that ask a database, and what they ask with.
const DATABASES: [&str; 7] = ["duckdb", "mariadb", "mysql", "psql", "sqlcmd", "sqlite", "sqlite3"];
/// Programs that only run another one.
const PREFIXES: [&str; 8] = ["sudo", "env", "time", "nohup", "exec", "timeout", "nice", "command"];
/// What a tool gives that others wrote, by a word of its name.
const CONTENTS: [&str; 40] = [
    "article",
    "cat",
    "chat",
    "comment",
    "comments",
    "doc",
    "docs",
    "document",
    "documents",
    "email",
    "emails",
    "fetch",
    "file",
    "files",
    "history",
    "inbox",
    "issue",
    "log",
    "logs",
    "mail",
    "message",
    "messages",
    "note",
    "notes",
    "open",
    "page",
    "post",
    "query",
    "read",
    "readme",
    "review",
    "scrape",
    "search",
    "sql",
    "ticket",
    "tickets",
    "thread",
    "transcript",
    "view",
    "web",
];
/// Tools that give what somebody said who was asked.
const PEOPLE: [&str; 4] = ["ask", "human", "humans", "interview"];
/// Tools that give a word, a name or a sentence, which may be any: what they give is no message of theirs.
const WORDS: [&str; 16] = [
    "classification",
    "classifier",
    "classify",
    "define",
    "definition",
    "definitions",
    "dictionary",
    "movie",
    "sentiment",
    "song",
    "synonyms",
    "thesaurus",
    "title",
    "titles",
    "word",
    "words",
];
/// Tools that ask a database, and what they do it with.
const OF_DATABASES: [&str; 11] =
    ["database", "databases", "db", "duckdb", "mariadb", "mysql", "postgres", "postgresql", "psql", "sql", "sqlite"];
/// What a tool does itself, whatever it does it to.
const DOINGS: [&str; 22] = [
    "add", "book", "copy", "create", "delete", "edit", "insert", "make", "move", "patch", "publish", "push", "put",
    "remove", "rename", "replace", "save", "send", "submit", "update", "upload", "write",
];

/// What a text is the answer of.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Origin<'a> {
    pub tool: Option<&'a str>,
    /// The program that a shell ran, where it is one.
    pub program: Option<&'a str>,
    /// The whole command.
    pub command: Option<&'a str>,
}

/// What sort of text it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sort {
    /// What a program prints of what it does.
    Output,
    /// What a program prints of what it read: only what it says of itself is its own.
    Printed,
    /// What a tool gives of what others wrote.
    Contents,
    /// What somebody said.
    People,
    /// A word, a name or a sentence.
    Words,
    /// Any other answer.
    Answer,
}

impl<'a> Origin<'a> {
    pub fn sort(&self) -> Sort {
        let gives = |what: &[&str]| self.tool.is_some_and(|tool| has(tool, what) && !has(tool, &DOINGS));
        // However they are asked: their question may look like a command.
        if gives(&PEOPLE) {
            return Sort::People;
        }
        if gives(&WORDS) && !self.tool.is_some_and(|tool| is_shell(tool) || has(tool, &["count"])) {
            return Sort::Words;
        }
        if self.program.is_some() || self.tool.is_some_and(|tool| is_shell(tool) && !has(tool, &["query", "sql"])) {
            return if self.parts().any(is_printing) { Sort::Printed } else { Sort::Output };
        }
        if gives(&CONTENTS) { Sort::Contents } else { Sort::Answer }
    }

    /// Whether the tool asks a database, and gives nothing else that others wrote.
    pub fn asks_database(&self) -> bool {
        let is_other = |part: &str| CONTENTS.contains(&part) && !matches!(part, "query" | "sql");
        self.tool.is_some_and(|tool| has(tool, &OF_DATABASES) && !parts_of(&tool.to_lowercase()).any(is_other))
    }

    /// The commands whose output it is: of several the last, with every part of its pipe.
    fn parts(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        let command = self.command.or(self.program).unwrap_or_default();
        let last = command.split("&&").flat_map(|part| part.split("||")).flat_map(|part| part.split(';'));
        let last = last.filter(|part| !part.trim().is_empty()).last().unwrap_or_default();
        last.split('|').map(str::trim)
    }

    /// Whether a program of this name is one of those that ran.
    pub fn runs(&self, program: &str) -> bool {
        self.parts().any(|part| name_of(part) == program)
    }
}

/// The program of one command, and the words after it.
fn words(part: &str) -> impl Iterator<Item = &str> {
    let is_before = |word: &&str| PREFIXES.contains(word) || word.contains('=') || word.starts_with('-');
    part.split_whitespace().skip_while(is_before).map(|word| word.trim_matches(['"', '\'', '(', ')']))
}

fn name_of(part: &str) -> &str {
    let first = words(part).next().unwrap_or_default();
    first.rsplit('/').next().unwrap_or(first)
}

fn is_printing(part: &str) -> bool {
    let name = name_of(part);
    // `docker compose logs web`: among the first words that are no options.
    let mut named = words(part).skip(1).filter(|word| !word.starts_with('-')).take(3);
    READERS.contains(&name)
        || (SHOWING.contains(&name) && named.any(|word| SHOWS.contains(&word)))
        || (DATABASES.contains(&name) && words(part).any(|word| word.eq_ignore_ascii_case("select")))
}

/// Whether a tool of this name runs commands or code.
pub(super) fn is_shell(tool: &str) -> bool {
    has(tool, &SHELLS)
}

fn has(tool: &str, known: &[&str]) -> bool {
    parts_of(&tool.to_lowercase()).any(|part| known.contains(&part))
}

/// The words of the name of a tool.
fn parts_of(tool: &str) -> impl Iterator<Item = &str> {
    tool.split(['_', '-', '.', ':', '/'])
}
