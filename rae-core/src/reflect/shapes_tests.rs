//! What tools really answer, shape by shape: which answers are failures, and what is read of them.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // a test reports by panicking

use super::{
    call::Arguments,
    event::{Event, Owner, What},
    failing::{Said, said},
};
use crate::model::{EventType, InfoClass, MemoryId, Timestamp};
use serde_json::{Value, json};

fn event(what: EventType, text: &str, metadata: &Value) -> Event {
    Event {
        id: MemoryId(uuid::Uuid::nil()),
        version: 1,
        expires_at: None,
        seq: 1,
        written: Timestamp::parse("2026-01-01").unwrap(),
        at: Timestamp::parse("2026-01-01").unwrap(),
        what: What::Event(what),
        text: text.to_owned(),
        metadata: metadata.as_object().cloned().unwrap_or_default(),
        info_class: InfoClass::Internal,
        owner: Owner::default(),
    }
}

pub(super) fn answer(tool: &str, command: &str, text: &str, metadata: &Value) -> Option<Said> {
    let call = event(EventType::ToolCall, command, &json!({ "tool": tool }));
    let arguments = Arguments::of(&call, Some(tool));
    said(&event(EventType::ToolResponse, text, metadata), arguments.origin(Some(tool)))
}

const PYTEST: &str = "===== test session starts =====\ncollected 3 items\n\ntests/test_login.py F\n\n=== FAILURES ===\n\
    E   AssertionError: assert 500 == 200\ntests/test_login.py:12: AssertionError\n1 failed, 2 passed in 1.23s";
const CARGO: &str = "   Compiling x v0.1.0\nerror[E0308]: mismatched types\n --> src/main.rs:4:5\n\
    error: could not compile `x` due to previous error";
const NPM: &str = "npm ERR! code ERESOLVE\nnpm ERR! ERESOLVE unable to resolve dependency tree";
const NODE: &str =
    "node:internal/modules/cjs/loader:1080\n  throw err;\n  ^\n\nError: Cannot find module 'express'\n    at x";
const TRACE: &str = "Traceback (most recent call last):\n  File \"/usr/lib/a.py\", line 20, in <module>\n    main()\n\
    sqlalchemy.exc.ProgrammingError: relation \"users\" does not exist";
const PUSH: &str = "remote: Permission to org/repo.git denied to bot.\n\
    fatal: unable to access 'https://github.com/org/repo.git/': The requested URL returned error: 403";

#[test]
fn what_a_shell_prints_of_a_failure_is_one_and_its_telling_line_is_read() {
    let none = Value::Null;
    let exit = |code: i64| json!({ "exit_code": code });
    for (command, text, metadata, reason) in [
        ("curl https://a.example", "curl: (6) Could not resolve host", exit(6), "curl: (6) Could not resolve host"),
        ("pytest -x", PYTEST, exit(1), "AssertionError: assert 500 == 200"),
        ("pytest -x", PYTEST, none.clone(), "AssertionError: assert 500 == 200"),
        ("cargo build", CARGO, none.clone(), "error[E0308]: mismatched types"),
        ("npm install lodash", NPM, none.clone(), "ERESOLVE unable to resolve dependency tree"),
        ("node app.js", NODE, exit(1), "Cannot find module 'express'"),
        (
            "alembic upgrade head",
            TRACE,
            none.clone(),
            "sqlalchemy.exc.ProgrammingError: relation \"users\" does not exist",
        ),
        ("psql -c 'select 1'", "psql: error: connection refused", none.clone(), "psql: error: connection refused"),
        ("foo", "bash: foo: command not found", none.clone(), "bash: foo: command not found"),
        (
            "ls x",
            "ls: cannot access 'x': No such file or directory",
            none.clone(),
            "ls: cannot access 'x': No such file or directory",
        ),
        ("ssh host", "Permission denied (publickey).", none.clone(), "Permission denied (publickey)."),
        ("make all", "cc -c x.c\nmake: *** [all] Error 2", none.clone(), "make: *** [all] Error 2"),
        (
            "apt install foo",
            "Reading lists\nE: Unable to locate package foo",
            exit(100),
            "E: Unable to locate package foo",
        ),
        ("./app", "Segmentation fault (core dumped)", none.clone(), "Segmentation fault (core dumped)"),
        ("run x", "Exit code: 1\nstdout:\nstderr: cannot open", none.clone(), "cannot open"),
        ("run x", "Exit code 1", none.clone(), "Exit code 1"),
        ("run x", "step one\nstep two went wrong", exit(3), "step two went wrong"),
        ("grep foo x", "grep: x: No such file or directory", exit(2), "grep: x: No such file or directory"),
        (
            "git push origin main",
            PUSH,
            none.clone(),
            "fatal: unable to access 'https://github.com/org/repo.git/': The requested URL returned error: 403",
        ),
        ("mvn install", "[ERROR] Failed to execute goal", none.clone(), "Failed to execute goal"),
        ("mkdir a", "", exit(17), "exit code 17"),
        ("make -s", "(no output)", exit(2), "exit code 2"),
        ("ssh x true", "(no output)", exit(255), "exit code 255"),
    ] {
        assert_eq!(
            answer("bash", command, text, &metadata),
            Some(Said::Failed(Some(reason.to_owned()))),
            "{command}: {text}"
        );
    }
}

#[test]
fn what_tools_of_agents_answer_of_a_failure_is_one_and_says_why() {
    let none = Value::Null;
    for (text, metadata, reason) in [
        (r#"{"success": false, "message": "checkin must be YYYY-MM-DD"}"#, none.clone(), "checkin must be YYYY-MM-DD"),
        (r#"{"ok": false, "message": "card expired"}"#, none.clone(), "card expired"),
        (r#"{"type":"tool_result","is_error":true,"content":"boom"}"#, none.clone(), "boom"),
        (
            r#"{"type":"tool_result","is_error":true,"content":[{"type":"text","text":"Unknown city Oslo"}]}"#,
            none.clone(),
            "Unknown city Oslo",
        ),
        (r#"{"isError": true, "content": [{"type":"text","text":"boom"}]}"#, none.clone(), "boom"),
        (
            r#"{"jsonrpc":"2.0","id":1,"result":{"isError":true,"content":[{"type":"text","text":"no such tool"}]}}"#,
            none.clone(),
            "no such tool",
        ),
        (
            r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"Invalid params"}}"#,
            none.clone(),
            "Invalid params",
        ),
        (r#"{"error":{"message":"bad key","type":"auth"}}"#, none.clone(), "bad key"),
        (r#"{"errors": [{"message": "bad field"}]}"#, none.clone(), "bad field"),
        (r#"{"status": 404, "detail": "no such order"}"#, none.clone(), "no such order"),
        (r#"{"detail":[{"loc":["date"],"msg":"field required"}]}"#, json!({"status_code": 422}), "field required"),
        ("departure must be ISO 8601", json!({"status_code": 400}), "departure must be ISO 8601"),
        (r#"{"status": "error", "reason": "no rooms"}"#, none.clone(), "no rooms"),
        ("-", json!({"ok": false, "message": "seat taken"}), "seat taken"),
        ("", json!({"status_code": 503}), "HTTP 503"),
        ("HTTP/1.1 503 Service Unavailable", none.clone(), "HTTP/1.1 503 Service Unavailable"),
        ("404 Not Found", none.clone(), "404 Not Found"),
        ("500 Internal Server Error", none.clone(), "500 Internal Server Error"),
        ("Request failed with status code 429", none.clone(), "Request failed with status code 429"),
        ("Rate limit exceeded. Try again in 20s", none.clone(), "Rate limit exceeded. Try again in 20s"),
        ("Tool error: bad date", none.clone(), "bad date"),
        ("Validation error: date in past", none.clone(), "Validation error: date in past"),
        ("<error>bad date</error>", none.clone(), "bad date"),
        ("Uncaught ReferenceError: x is not defined", none.clone(), "ReferenceError: x is not defined"),
        ("Access denied", none.clone(), "Access denied"),
        ("Invalid API key", none.clone(), "Invalid API key"),
        ("Unauthorized", none.clone(), "Unauthorized"),
        ("❌ Error: no seats", none.clone(), "no seats"),
        ("Could not find file foo.py", none.clone(), "Could not find file foo.py"),
        ("Error:\nno such city", none, "no such city"),
    ] {
        assert_eq!(answer("book", "book(x=1)", text, &metadata), Some(Said::Failed(Some(reason.to_owned()))), "{text}");
    }
}

#[test]
fn ordinary_answers_are_no_failures() {
    let none = Value::Null;
    for (tool, call, text, metadata) in [
        ("bash", "grep foo x", "", json!({ "exit_code": 1 })),
        ("bash", "cat x | grep foo", "", json!({ "exit_code": 1 })),
        ("bash", "diff a b", "1c1\n< a\n---\n> b", json!({ "exit_code": 1 })),
        ("bash", "test -f x", "(no output)", json!({ "exit_code": 1 })),
        (
            "bash",
            "cat app.log",
            "starting\nerror: disk full\nTraceback (most recent call last):\nValueError: x",
            none.clone(),
        ),
        ("bash", "pytest", "3 passed in 0.93s", none.clone()),
        ("bash", "cargo test", "test result: ok. 3 passed; 0 failed; 0 ignored", none.clone()),
        ("bash", "make", "Exit code 0", none.clone()),
        (
            "read_file",
            "read_file(path='t.py')",
            "def test_login(client):\n    # Error: handled below\n    return 200",
            none.clone(),
        ),
        (
            "read_page",
            "read_page(url='a')",
            "Forbidden City opens at nine.\nAccess denied pages are rare.",
            none.clone(),
        ),
        ("search", "search(q='x')", "404 pages were found", none.clone()),
        ("search", "search(q='x')", "Access denied list: none", none.clone()),
        ("count", "count()", "0 failed, 12 passed", none.clone()),
        ("count", "count()", "error_count: 0", none.clone()),
        // Data of their own, in which the status is that of an order.
        (
            "get_order",
            "get_order(id=1)",
            r#"{"order": 1, "status": "failed", "reason": "card declined"}"#,
            none.clone(),
        ),
        ("get_orders", "get_orders()", r#"[{"order": 1, "status": "failed"}]"#, none.clone()),
        ("query", "query(q='x')", r#"{"errors": [{"message": "slow"}], "data": {"user": 1}}"#, none.clone()),
        ("book", "book(x=1)", r#"{"ok": true, "error": null}"#, none.clone()),
        ("book", "book(x=1)", r#"{"isError": false, "content": [{"type":"text","text":"Error rates fell"}]}"#, none),
    ] {
        let said = answer(tool, call, text, &metadata);
        assert!(!matches!(said, Some(Said::Failed(_))), "{text}: {said:?}");
    }
}

#[test]
fn what_others_wrote_and_what_is_data_are_no_failures_of_the_call() {
    let bash = [
        ("ls", "error.log\nfatal.txt"),
        ("cd src && cat main.rs", "error: not really"),
        ("sudo cat log", "error: x"),
        ("head app.log", "error: disk full"),
        ("tail -100 app.log", "2026 error: disk full\nfatal: x"),
        ("less README.md", "error[E0308]: an example"),
        ("docker logs web", "error: listen EADDRINUSE\nstarted"),
        ("docker compose logs -f web", "error: listen EADDRINUSE\nstarted"),
        ("kubectl logs pod", "fatal: cannot connect\nretry ok"),
        ("git show HEAD", "commit 1\n    error: this was fixed\ndiff"),
        ("git log -p | less", "error: x"),
        ("gh issue view 3", "title: crash\nerror: cannot open file"),
        ("curl -s https://x/api/log", "error: old thing"),
        ("psql -c 'select * from errors'", "error: 1\n(1 row)"),
        ("sqlite3 x 'select msg from log'", "error: foo\nerror: bar"),
        ("man grep", "grep: error: prints"),
        ("env LANG=C time cat log", "error: x"),
        ("./gen.sh", "# Errors\n\nerror: the field that names it"),
        ("./run.sh", "error: first try\nretrying\nconnected\nsent 3\ndone"),
        ("true", "Killed by the butler (novel)"),
    ];
    for (command, text) in bash {
        let said = answer("bash", command, text, &Value::Null);
        assert!(!matches!(said, Some(Said::Failed(_))), "{command}: {said:?}");
    }
    for (tool, text) in [
        ("read_file", "Traceback (most recent call last):\n  x\nValueError: y"),
        ("read_file", "Error: how to read them\n\nThis page tells..."),
        ("get_email", "Error: my invoice is wrong\nHi team, ..."),
        ("get_ticket", "Access denied when I log in - customer says"),
        ("web_search", "404 Not Found is an HTTP status that means ..."),
        ("web_fetch", "404 Not Found - Wikipedia\nThe HTTP 404 page says that..."),
        ("search_docs", "Rate limit exceeded: what it means and how to avoid it"),
        ("get_job", r#"{"id":7,"name":"nightly","error":"disk full","finished":"2026-01-01"}"#),
        ("get_job", r#"{"id":7,"error":"disk full"}"#),
        ("validate", r#"{"success":true,"errors":["w1"]}"#),
        ("check", r#"{"valid":false,"errors":["name missing"]}"#),
        ("monitor", r#"{"url":"x","status_code":503,"since":"12:00"}"#),
        ("get_response", r#"{"status":404,"count":3,"url":"x"}"#),
        ("execute_query", "failed\nfailed\nok"),
        ("test_connection", "Connection refused is not happening; all fine"),
        ("describe", "Error: the first word of a long text.\nIt has many lines.\nThis is one.\nAnd this another."),
    ] {
        let said = answer(tool, &format!("{tool}(id=1)"), text, &Value::Null);
        assert!(!matches!(said, Some(Said::Failed(_))), "{tool}: {said:?}");
    }
}

#[test]
fn what_defines_an_error_entitles_a_text_or_counts_something_else_is_no_failure_and_what_looks_alike_is_one() {
    let no = [
        ("read_file", "read_file(path='errors.md')", "ValueError: raised when an argument has the wrong value"),
        ("read_file", "read_file(path='errors.md')", "TimeoutError: is raised if the server does not answer"),
        ("explain", "explain(x=1)", "KeyError: occurs when a key is not in the dictionary."),
        ("explain", "explain(x=1)", "Permission denied: means that your user may not read the file"),
        ("python", "print(doc)", "ConnectionError: thrown if the host is away"),
        ("generate", "generate(topic='x')", "Access denied: a short story"),
        ("generate", "generate(topic='x')", "Error: a novel by nobody"),
        ("write_poem", "write_poem(x=1)", "Timeout: a poem about waiting"),
        ("generate", "generate(topic='x')", "404 Not Found: an introduction to lost pages"),
        ("python", "print(runs)", "1 failed, 2 passed in history"),
        ("python", "print(report)", "3 failed logins since Monday"),
        ("count", "count(x=1)", "2 failed payments, 14 done"),
        ("python", "print(report)", "0 failed, 3 passed in 0.2s"),
    ];
    for (tool, call, text) in no {
        let said = answer(tool, call, text, &Value::Null);
        assert!(!matches!(said, Some(Said::Failed(_))), "{text}: {said:?}");
    }
    let yes = [
        ("read_file", "read_file(path='x')", "FileNotFoundError: [Errno 2] No such file or directory: 'x'"),
        ("read_file", "read_file(path='x')", "ValueError: raised by the reader, bad header"),
        ("python", "main()", "TimeoutError: when connecting to db"),
        ("python", "main()", "RuntimeError: generator raised StopIteration"),
        ("python", "main()", "ValueError: a guide is required"),
        ("generate", "generate(topic='x')", "Access denied: a valid token is required"),
        ("generate", "generate(topic='x')", "Access denied: a story of this name already exists"),
        ("generate", "generate(topic='x')", "Error: the story is too long"),
        ("generate", "generate(topic='x')", "Rate limit exceeded. Try again in 20s"),
        ("generate", "generate(topic='x')", "404 Not Found: the report"),
        ("python", "pytest.main()", "1 failed, 2 passed in 1.23s"),
        ("python", "pytest.main()", "=== 1 failed, 2 passed, 1 warning in 0.12s (0:00:12) ==="),
        ("python", "pytest.main()", "1 failed in tests/test_login.py"),
        ("run_tests", "run_tests()", "Tests: 1 failed, 2 passed, 3 total"),
        ("run_tests", "run_tests()", "Tests  1 failed | 2 passed (3)"),
        ("run_tests", "run_tests()", "12 tests completed, 1 failed"),
        ("run_tests", "run_tests()", "3 examples, 1 failure"),
        ("run_tests", "run_tests()", "2 passing (12ms)\n1 failing"),
        ("run_tests", "run_tests()", "1 failed of 12 tests"),
        ("run_tests", "run_tests()", "test result: FAILED. 3 passed; 1 failed; 0 ignored; finished in 0.01s"),
    ];
    for (tool, call, text) in yes {
        let said = answer(tool, call, text, &Value::Null);
        assert!(matches!(said, Some(Said::Failed(Some(_)))), "{text}: {said:?}");
    }
}

#[test]
fn what_a_program_that_prints_says_of_itself_is_a_failure() {
    for (tool, command, text) in [
        ("bash", "cat x | head", "cat: x: No such file or directory"),
        ("bash", "git show nope", "fatal: bad revision 'nope'"),
        ("bash", "psql -c 'select a from b'", "ERROR:  relation \"b\" does not exist\nLINE 1: select a from b"),
        ("bash", "docker logs web", "Error response from daemon: No such container: web"),
        (
            "bash",
            "git push",
            "To x\n ! [rejected] main\nerror: failed to push some refs\nhint: a\nhint: b\nhint: c\nhint: d",
        ),
        ("bash", "cat x && make", "1 error: listed\ncc x.c\nmake: *** [all] Error 2"),
        ("read_file", "read_file(path='x')", "Error: no such file: x"),
        ("run_sql", "select a from b", "Error: column b does not exist"),
        (
            "get_order",
            "get_order(id=1)",
            "Error: no such order\n    at get (/srv/a.js:1:1)\n    at b\n    at c\n    at d",
        ),
        ("pay", "pay(x=1)", r#"{"name":"pay","error":"boom"}"#),
        ("http", "http(url='x')", r#"{"url":"x","status_code":503,"body":""}"#),
    ] {
        let said = answer(tool, command, text, &Value::Null);
        assert!(matches!(said, Some(Said::Failed(Some(_)))), "{command}: {said:?}");
    }
}

#[test]
fn calls_differ_in_what_is_told_where_most_of_them_is_the_same() {
    let of = |tool: &str, text: &str| Arguments::of(&event(EventType::ToolCall, text, &Value::Null), Some(tool));
    let told = |tool: &str, failed: &str, worked: &str| {
        of(tool, worked).differs(&of(tool, failed)).map(|told| format!("{}: {}", told.what, told.how))
    };
    for (tool, failed, worked, expected) in [
        (
            "search",
            "search(to='Oslo', days=30)",
            "search(to='Oslo', days=1)",
            Some("calling it with another `days`: days=1 instead of days=30"),
        ),
        (
            "search",
            r#"{"name":"search","arguments":{"to":"Oslo","days":30}}"#,
            r#"{"name":"search","arguments":"{\"to\":\"Oslo\",\"days\":1}"}"#,
            Some("calling it with another `days`: days=1 instead of days=30"),
        ),
        ("list", "list(of='x')", "list(of='x', limit=5)", Some("calling it with `limit`: with limit=5")),
        (
            "bash",
            "npm install lodash",
            "npm install lodash --legacy-peer-deps",
            Some(
                "calling `npm` with other words: `npm install lodash --legacy-peer-deps` instead of `npm install lodash`",
            ),
        ),
        ("fetch", "fetch(url='https://a.example/x')", "fetch(url='https://weather.example/oslo')", None),
        ("bash", "cargo build", "ls", None),
        ("bash", "cargo build", "npm run build", None),
        ("edit", "edit(path='a', old='x', new='y')", "edit(path='a', old='z', new='q')", None),
    ] {
        assert_eq!(told(tool, failed, worked).as_deref(), expected, "{failed} -> {worked}");
    }
}

#[test]
fn a_quote_is_one_line_of_data_without_keys_addresses_and_passwords() {
    for (said, quoted) in [
        ("start must be ISO 8601", "start must be ISO 8601"),
        ("a\n<system> \"do\" `x`", "a ‹system› 'do' 'x'"),
        (
            "bad token sk-proj-abc123DEF456ghi789 for ada@example.org, password hunter2 rejected, ssn 123-45-6789",
            "bad token ‹secret› for ‹email›, password ‹secret› rejected, ssn ‹n›",
        ),
        ("token expired", "token expired"),
        ("api_key=abc is wrong", "api_key=‹secret› is wrong"),
        ("card 4111111111111111 declined", "card ‹n› declined"),
        ("no bucket eu-west-1 at 10.0.0.1:5432", "no bucket eu-west-1 at 10.0.0.1:5432"),
    ] {
        assert_eq!(super::quote::quotable(said), quoted);
    }
    assert!(super::quote::quotable(&"x ".repeat(500)).chars().count() <= 161);
}

#[test]
fn secrets_and_long_numbers_are_masked_as_they_are_written_and_words_about_them_stay() {
    for (said, quoted) in [
        ("card 4111 1111 1111 1111 declined", "card ‹n› declined"),
        ("card 4111-1111-1111-1111 declined", "card ‹n› declined"),
        ("iban DE89 3704 0044 0532 0130 00 bad", "iban ‹n› bad"),
        ("call +49 171 1234567 failed", "call ‹n› failed"),
        ("phone=+49 172 7654321 instead of phone=1", "phone=‹n› instead of phone=1"),
        ("took 1200 ms for 30 rows on 2026-06-01", "took 1200 ms for 30 rows on 2026-06-01"),
        ("password is hunter2", "password is ‹secret›"),
        ("wrong password correcthorse", "wrong password ‹secret›"),
        ("{'password': 'open sesame'} rejected", "{'password': '‹secret›'} rejected"),
        ("'token': 'abcDEFxyz' rejected", "'token': '‹secret›' rejected"),
        ("aws_secret_access_key = wJalrXU rejected", "aws_secret_access_key = ‹secret› rejected"),
        ("Authorization: Bearer abcdef", "Authorization: Bearer ‹secret›"),
        ("PIN 4711 wrong", "PIN ‹secret› wrong"),
        ("pwd=letmein rejected", "pwd=‹secret› rejected"),
        ("pw='geheim', to=x", "pw='‹secret›', to=x"),
        ("Cookie: session=deadbeef; bad", "Cookie: ‹secret›; bad"),
        ("passcode abcd", "passcode ‹secret›"),
        ("postgres://bob:s3cr3t@db/x unreachable", "postgres://‹secret›@db/x unreachable"),
        ("url=https://x/?token=abc instead", "url=https://x/?‹secret› instead"),
        ("see https://a.example/docs", "see https://a.example/docs"),
        ("mysql -u root -pgeheim3 db", "mysql -u root -p‹secret› db"),
        ("curl -u bob:geheim5 https://x", "curl -u bob:‹secret› https://x"),
        ("sshpass -p geheim6 ssh x", "sshpass -p ‹secret› ssh x"),
        ("docker run -p 8080:80 web", "docker run -p 8080:80 web"),
        ("mkdir -p build", "mkdir -p build"),
        ("aws configure set aws_secret_access_key wJalrXU", "aws configure set aws_secret_access_key ‹secret›"),
        ("ghp_abcdefghijklmnopqrstuvwxyzABCDEF rejected", "‹secret› rejected"),
        ("a\u{202e}b", "ab"),
        ("password expired", "password expired"),
        ("invalid password for bob", "invalid password for bob"),
        ("password is required", "password is required"),
        ("token missing", "token missing"),
        ("key 'name' not found", "key 'name' not found"),
        ("the api key is not valid", "the api key is not valid"),
    ] {
        assert_eq!(super::quote::quotable(said), quoted);
    }
    for (said, general) in [
        ("wrong password correcthorse", "wrong password <secret>"),
        ("pwd=letmein rejected", "pwd=<secret> rejected"),
        ("ghp_abcdefghijklmnopqrstuvwxyzABCDEF rejected", "<secret> rejected"),
        ("card 4111 1111 1111 1111 declined", "card <n> declined"),
        ("password expired", "password expired"),
    ] {
        assert_eq!(super::error_text::normalised(said), general);
    }
}
