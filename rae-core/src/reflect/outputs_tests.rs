//! One table of what tools and programs print, and which of it tells of a failure: what looks like one and is none beside each.

#![allow(clippy::unwrap_used, clippy::panic)] // a test reports by panicking

use super::{failing::Said, shapes_tests::answer};
use serde_json::Value;

/// Tool, call, answer.
type Row = (&'static str, &'static str, &'static str);

/// Values, counts, words, and what people say: no failures of the call.
const ORDINARY: &[Row] = &[
    // What somebody said who was asked.
    ("ask_user", "when?", "Can't wait! Friday please."),
    ("ask_user", "why?", "Couldn't be happier, book it!"),
    ("ask_user", "which?", "Cannot come on Monday, Tuesday is fine"),
    ("ask_user", "x", "Unable to decide yet, ask me tomorrow"),
    ("ask_human", "x", "Forbidden City, please"),
    ("get_message", "x", "Can't wait! Friday please."),
    ("get_comments", "x", "Couldn't be happier"),
    // Values.
    ("get_config", "x", "timeout: 30s\nretries: 3"),
    ("get_config", "x", "timeout: 30\nretries: 3"),
    ("get_config", "x", "Timeout: 30 seconds"),
    ("get_config", "x", "timeout = 2.5 min"),
    ("list_jobs", "x", "Timeout: 30\nRetries: 3"),
    ("measure", "x", "Err: ±0.2 mm"),
    ("measure", "x", "error: 0.09"),
    ("measure", "x", "error = 3 %"),
    ("python", "x", "accuracy: 0.91\nerror: 0.09"),
    ("python", "x", "Validation error: 0.12"),
    ("train", "x", "Validation error: 0.12"),
    // Counts.
    ("get_stats", "x", "Failed logins: 3\nSuccessful logins: 97"),
    ("get_stats", "x", "Failed login attempts: 3"),
    ("get_job", "x", "Failed jobs: 3. Running: 2."),
    ("list_jobs", "x", "failed (2): job-1, job-2"),
    ("list_jobs", "x", "failed (2): job-1, job-2\ndone (3): job-3"),
    ("get_queue", "x", "Failed: 3, pending: 4"),
    ("get_queue", "x", "Failed: none, pending: 4"),
    ("quiz", "grade", "Failed: 3 of 10 answers were wrong"),
    ("count_rows", "x", "1 failed, 3 done"),
    ("python", "print(n)", "1 failed, 3 done"),
    // What came right.
    ("get_build", "x", "Failed on 3 May, passed on 4 May"),
    ("get_payment", "x", "Failed payment of 3 May was retried and succeeded"),
    // Words, names and sentences.
    ("classify", "x", "failure"),
    ("classify", "x", "error"),
    ("classify_sentiment", "x", "Failed"),
    ("define", "error", "Error: a mistake."),
    ("define", "timeout", "Timeout: a pause in a game"),
    ("lookup_word", "panic", "panic: sudden uncontrollable fear"),
    ("get_title", "x", "Failure to launch (2006)"),
    ("get_title", "x", "Exception to the rule"),
    ("get_title", "x", "Aborted: 3 flights"),
    ("get_page_title", "x", "404 Not Found - the restaurant guide"),
    ("get_song", "x", "Error 404 by The Band"),
    // What others wrote, although a program would say the same.
    ("bash", "cat build.log", "src/a.ts(3,5): error TS2322: Type 'string'"),
    ("bash", "grep -n error log", "a.py:3: error: Incompatible types"),
    ("bash", "cat merge.txt", "CONFLICT (content): Merge conflict in a.txt"),
    ("bash", "cat test.log", "--- FAIL: TestX (0.00s)\nFAIL"),
    ("bash", "git log -3", "An error occurred (AccessDenied) when calling the ListBuckets operation"),
    ("bash", "./grades", "FAIL"),
    ("bash", "./grades", "ada PASS\nbob FAIL"),
    ("read_file", "a.txt", "a.py:3: error: Incompatible types"),
    ("read_file", "a.txt", "no such table: users"),
    ("search", "x", "You have an error in your SQL syntax: how to read it"),
    ("search_database", "x", "no such table: users"),
    ("web_fetch", "x", "duplicate key value violates unique constraint: what it means"),
    ("get_ticket", "7", "You have an error in your SQL syntax, says the shop"),
    ("get_email", "7", "no such table: users - that is what I see"),
    ("sql_query", "select * from log", "id | message\n1 | no such table: users\n(1 row)"),
    ("http_request", "GET /x", "HTTP/1.1 200 OK\nContent-Type: text/plain\n\nerror"),
    // Runs without failures.
    ("bash", "npx jest", "Tests: 4 passed, 4 total\nSnapshots: 0 total\nTime: 1.2 s\nRan all test suites."),
    ("bash", "phpunit", "OK\nTests: 3, Assertions: 5, Failures: 0."),
    ("bash", "mvn test", "Tests run: 3, Failures: 0, Errors: 0, Skipped: 0"),
    ("bash", "go test ./...", "ok  \texample.com/x\t0.003s"),
    ("bash", "mypy .", "Success: no issues found in 3 source files"),
];

/// Failures, and the words that their reason has.
const FAILURES: &[(Row, &str)] = &[
    // Beside the ordinary ones above.
    (("ask_user", "x", "Error: no answer within 60 s"), "no answer"),
    (("ask_user", "x", "TimeoutError: no answer"), "no answer"),
    (("classify", "x", "ValueError: text is empty"), "text is empty"),
    (("translate", "x", "Request failed with status code 502"), "502"),
    (("translate", "x", "Error: language pair of job 7 is not supported"), "is not supported"),
    (("word_count", "x", "Error: no such file"), "no such file"),
    (("get_message", "x", "Could not find message 7"), "message 7"),
    (("get_message", "x", "Cannot read mailbox"), "mailbox"),
    (("cancel", "x", "Cannot cancel: already departed"), "already departed"),
    (("get_config", "x", "Timeout: 30 seconds elapsed"), "elapsed"),
    (("get_config", "x", "timeout after 30s"), "after 30s"),
    (("get_config", "x", "Error: 404"), "404"),
    (("get_config", "x", "error: -32602"), "32602"),
    (("login", "x", "Failed login: 3 attempts left"), "attempts left"),
    (("get_stats", "x", "Failed to read rows: 3 are locked"), "locked"),
    (("get_build", "x", "Failed on 3 May, and again on 4 May"), "3 May"),
    (("call", "x", "Error: expected a string, passed null"), "passed null"),
    (("run_tests", "x", "Failed tests: 3"), "3"),
    (("bash", "dotnet test", "Failed!  - Failed:     1, Passed:     2, Total:     3"), "Failed"),
    // Ends of runs of tests.
    (
        (
            "bash",
            "npx jest",
            "Tests:       1 failed, 3 passed, 4 total\nSnapshots:   0 total\nTime:        1.2 s\nRan all test suites.",
        ),
        "1 failed",
    ),
    (
        (
            "run_tests",
            "x",
            "Tests: 1 failed, 4 total\nSnapshots: 0 total\nTime: 1.2 s\nRan all test suites matching /x/i.",
        ),
        "1 failed",
    ),
    (("bash", "phpunit", "FAILURES!\nTests: 3, Assertions: 5, Failures: 1."), "Failures: 1"),
    (("bash", "mvn test", "Tests run: 3, Failures: 0, Errors: 2, Skipped: 0"), "Errors: 2"),
    (
        (
            "bash",
            "rspec",
            "3 examples, 2 failures\n\nFailed examples:\n\nrspec ./a_spec.rb:3 # a\nrspec ./a_spec.rb:9 # b",
        ),
        "2 failures",
    ),
    (
        (
            "bash",
            "go test ./...",
            "--- FAIL: TestX (0.00s)\n    x_test.go:5: bad\nFAIL\nFAIL\texample.com/x\t0.003s\nFAIL",
        ),
        "--- FAIL: TestX",
    ),
    (("bash", "go test .", "FAIL\texample.com/x [build failed]\nFAIL"), "build failed"),
    // Ends of programs.
    (
        (
            "bash",
            "node a.js",
            "/x/a.js:1\nfoo()\n^\n\nReferenceError: foo is not defined\n    at Object.<anonymous> (/x/a.js:1:1)\n\n\
             Node.js v20.1.0",
        ),
        "foo is not defined",
    ),
    (
        (
            "bash",
            "tar xf a",
            "tar: a: Cannot open: No such file or directory\ntar: Error is not recoverable: exiting now",
        ),
        "Cannot open",
    ),
    (
        ("http_request", "GET /x", "HTTP/1.1 500 Internal Server Error\nContent-Type: text/plain\n\noops"),
        "500 Internal Server Error",
    ),
    (
        (
            "http_request",
            "GET /x",
            "HTTP/1.1 404 Not Found\nServer: x\nDate: now\nContent-Type: text/html\n\n<html>\n<body>\ngone",
        ),
        "404 Not Found",
    ),
    // Errors at a place in a file.
    (
        (
            "bash",
            "npm run build",
            "> build\n> tsc\n\nsrc/a.ts(3,5): error TS2322: Type 'string' is not assignable to type 'number'.",
        ),
        "error TS2322",
    ),
    (
        (
            "bash",
            "mypy .",
            "a.py:3: error: Incompatible types in assignment\nFound 1 error in 1 file (checked 3 source files)",
        ),
        "Incompatible types",
    ),
    (("bash", "cc a.c", "a.c:3:5: fatal error: x.h: No such file\ncompilation terminated."), "x.h"),
    // What services say.
    (("mcp_call", "x", "MCP error -32602: Invalid arguments for tool foo"), "Invalid arguments"),
    (
        ("aws_cli", "s3 ls", "An error occurred (AccessDenied) when calling the ListBuckets operation: Access Denied"),
        "AccessDenied",
    ),
    (
        (
            "bash",
            "aws s3 ls",
            "\nAn error occurred (AccessDenied) when calling the ListBuckets operation: Access Denied",
        ),
        "AccessDenied",
    ),
    (
        ("bash", "aws s3api get x", "An error occurred (NoSuchKey) when calling the GetObject operation: no key"),
        "NoSuchKey",
    ),
    (
        (
            "bash",
            "git merge dev",
            "Auto-merging a.txt\nCONFLICT (content): Merge conflict in a.txt\n\
             Automatic merge failed; fix conflicts and then commit the result.",
        ),
        "Merge conflict in a.txt",
    ),
    // What databases answer.
    (
        ("query_database", "insert into t", "duplicate key value violates unique constraint \"t_pkey\""),
        "duplicate key value",
    ),
    (("query_database", "select", "no such table: users"), "no such table"),
    (
        ("query_database", "select", "You have an error in your SQL syntax; check the manual near 'x' at line 1"),
        "SQL syntax",
    ),
    (("run_sql", "select x from t", "no such column: x"), "no such column"),
    (("add_user", "x", "duplicate key value violates unique constraint \"t_pkey\""), "duplicate key value"),
];

#[test]
fn outputs_tell_of_a_failure_by_what_is_their_own_and_not_by_values_counts_words_and_what_others_say() {
    let mut wrong = Vec::new();
    // What a tool that runs no commands answers hangs on no form of its call.
    let asked = |tool: &str, call: &str| {
        let other = format!("{tool}(x=1)");
        if tool == "bash" { vec![call.to_owned()] } else { vec![call.to_owned(), other] }
    };
    for (tool, call, text) in ORDINARY {
        for call in asked(tool, call) {
            if let Some(Said::Failed(reason)) = answer(tool, &call, text, &Value::Null) {
                wrong.push(format!("no failure: {tool} {call}: {text:?} => {reason:?}"));
            }
        }
    }
    for ((tool, call, text), reason) in FAILURES {
        for call in asked(tool, call) {
            match answer(tool, &call, text, &Value::Null) {
                Some(Said::Failed(Some(said))) if said.contains(reason) => {}
                other => wrong.push(format!("a failure: {tool} {call}: {text:?} => {other:?}")),
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
