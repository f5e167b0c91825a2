//! Chat models of the three wire formats, against a local server that speaks them and fails as real ones do.
#![cfg(feature = "http")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test reports by panicking

mod provider_support;

use futures::StreamExt;
use provider_support::{Behaviour, FakeProvider, Fault, Says};
use rae_core::{
    Ctx, ErrorKind,
    model::{ChatChunk, ChatFold, ChatMessage, ChatRequest, ChatResponse, ChatRole, FinishReason, Scope, Usage},
    ports::{Charge, LlmFailure, LlmProvider},
    providers::{ProviderConfig, ProviderKind, Providers},
};
use serde_json::json;
use std::{future::Future, sync::Arc, time::Duration};

const KINDS: [ProviderKind; 4] =
    [ProviderKind::OpenAi, ProviderKind::Compatible, ProviderKind::Anthropic, ProviderKind::Google];
const KEY: &str = "sk-geheim";

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

fn ctx() -> Ctx {
    Ctx::new(Scope::new("t", "p").unwrap())
}

fn config(kind: ProviderKind, fake: &FakeProvider) -> ProviderConfig {
    ProviderConfig::new("fake", kind).key(KEY).at(fake.url())
}

fn open(config: ProviderConfig) -> Arc<dyn LlmProvider> {
    Providers::new([config]).unwrap().route("fake/m-1").unwrap().provider
}

fn ask() -> ChatRequest {
    let messages = vec![
        ChatMessage::text(ChatRole::System, "Be brief."),
        ChatMessage::text(ChatRole::User, "How do you do, my dear Minka?"),
    ];
    ChatRequest { model: "m-1".to_owned(), messages, ..ChatRequest::default() }
}

fn complete(provider: &Arc<dyn LlmProvider>) -> Result<ChatResponse, LlmFailure> {
    run(provider.complete(&ctx(), &ask()))
}

/// All pieces up to the end or the failure.
async fn pieces(
    provider: &Arc<dyn LlmProvider>,
    ctx: &Ctx,
    request: &ChatRequest,
) -> (Vec<ChatChunk>, Option<LlmFailure>) {
    let mut stream = match provider.stream(ctx, request).await {
        Ok(stream) => stream,
        Err(failure) => return (Vec::new(), Some(failure)),
    };
    let mut out = Vec::new();
    while let Some(item) = stream.next().await {
        match item {
            Ok(chunk) => out.push(chunk),
            Err(failure) => {
                assert!(stream.next().await.is_none(), "nothing follows a failure");
                return (out, Some(failure));
            }
        }
    }
    (out, None)
}

fn folded(chunks: &[ChatChunk]) -> ChatResponse {
    let mut fold = ChatFold::default();
    chunks.iter().for_each(|chunk| fold.push(chunk));
    fold.response()
}

/// The failure of a whole answer and that of a stream, which ask once each and never show the key.
fn failures(config: &ProviderConfig, fake: &FakeProvider, behaviour: &Behaviour) -> [LlmFailure; 2] {
    let provider = open(config.clone());
    let before = fake.seen().len();
    fake.then(behaviour.clone()).then(behaviour.clone());
    let whole = complete(&provider).unwrap_err();
    assert_eq!(fake.seen().len(), before + 1, "one attempt a call");
    let (_, streamed) = run(pieces(&provider, &ctx(), &ask()));
    assert_eq!(fake.seen().len(), before + 2, "one attempt a call");
    let both = [whole, streamed.unwrap()];
    for failure in &both {
        let text = format!("{failure:?}");
        assert!(!text.contains("geheim") && !text.contains("heim."), "{text}");
        assert!(!text.contains("Minka"), "{text}");
        assert!(failure.error.message().contains("fake") && failure.error.message().contains("m-1"), "{text}");
    }
    both
}

#[test]
fn an_answer_is_read_with_what_the_provider_counted() {
    let fake = FakeProvider::start();
    fake.usually(Behaviour { input: Some(100), cached: 40, reasoning: 7, ..Behaviour::says("I do fine") });
    for kind in KINDS {
        let response = complete(&open(config(kind, &fake))).unwrap();
        assert_eq!(response.message.plain_text(), "I do fine", "{kind:?}");
        assert_eq!((response.finish_reason, response.model.as_str()), (FinishReason::Stop, "m-1"));
        // Anthropic does not tell reasoning apart; the fake one writes a fifth of what is new to its cache.
        let (reasoning_tokens, cache_write_tokens) = if kind == ProviderKind::Anthropic { (0, 12) } else { (7, 0) };
        let expected = Usage {
            input_tokens: 100,
            cached_input_tokens: 40,
            cache_write_tokens,
            output_tokens: 10,
            reasoning_tokens,
            estimated: false,
        };
        assert_eq!(response.usage, Some(expected), "{kind:?}");
    }
}

#[test]
fn a_stream_gives_the_whole_answer_wherever_its_bytes_are_cut() {
    let fake = FakeProvider::start();
    let said = Behaviour { input: Some(9), cached: 3, ..Behaviour::says("Grüß dich — 東京の猫 🐈 and more") };
    for kind in KINDS {
        let provider = open(config(kind, &fake));
        fake.then(said.clone());
        let whole = complete(&provider).unwrap();
        for step in [0, 1, 2, 3, 7, 64] {
            fake.then(Behaviour { step, ..said.clone() });
            let (chunks, failure) = run(pieces(&provider, &ctx(), &ask()));
            assert!(failure.is_none(), "{kind:?} {step}: {failure:?}");
            assert!(chunks.len() > 3, "it comes in pieces");
            assert_eq!(folded(&chunks), whole, "{kind:?} {step}");
            let counted: Vec<_> = chunks.iter().enumerate().filter(|(_, chunk)| chunk.usage.is_some()).collect();
            assert!(matches!(&counted[..], [(at, _)] if *at == chunks.len() - 1), "usage comes once, at the end");
        }
    }
}

#[test]
fn a_call_of_a_tool_comes_whole_and_in_pieces_and_its_result_goes_back() {
    let fake = FakeProvider::start();
    for arguments in [json!({"city": "Zürich", "days": [1, 2]}), json!({})] {
        for kind in KINDS {
            let provider = open(config(kind, &fake));
            let calls = Behaviour { call: Some(("weather".into(), arguments.clone())), ..Behaviour::default() };
            fake.then(calls.clone()).then(calls);
            let tool = json!({"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}});
            let body = json!({"model": "m-1", "tools": [tool], "messages": [{"role": "user", "content": "Weather?"}]});
            let (mut request, _) = ChatRequest::from_openai(body).unwrap();
            let whole = run(provider.complete(&ctx(), &request)).unwrap();
            let (chunks, failure) = run(pieces(&provider, &ctx(), &request));
            assert!(failure.is_none(), "{failure:?}");
            for response in [whole, folded(&chunks)] {
                assert_eq!(response.finish_reason, FinishReason::ToolCalls, "{kind:?}");
                let [call] = &response.message.tool_calls[..] else { panic!("{kind:?}: {response:?}") };
                assert_eq!(call.name, "weather");
                let given: serde_json::Value = serde_json::from_str(&call.arguments).unwrap();
                assert_eq!(given, arguments, "{kind:?}");
                let result =
                    ChatMessage { tool_call_id: Some(call.id.clone()), ..ChatMessage::text(ChatRole::Tool, "sunny") };
                request.messages.extend([response.message.clone(), result]);
                assert_eq!(run(provider.complete(&ctx(), &request)).unwrap().message.plain_text(), "Hello there");
                let sent = fake.seen().pop().unwrap().body.to_string();
                assert!(sent.contains("sunny") && sent.contains("weather"), "{sent}");
                let signed = sent.contains("CiQB");
                assert_eq!(signed, kind == ProviderKind::Google, "Google's signature goes back to it");
            }
        }
    }
}

#[test]
fn a_count_that_is_missing_or_cannot_be_one_is_none() {
    let fake = FakeProvider::start();
    for says in [Says::Nothing, Says::Zero, Says::Huge] {
        fake.usually(Behaviour { says, ..Behaviour::says("I do fine") });
        for kind in KINDS {
            let provider = open(config(kind, &fake));
            assert_eq!(complete(&provider).unwrap().usage, None, "{kind:?} {says:?}");
            let (chunks, failure) = run(pieces(&provider, &ctx(), &ask()));
            assert!(failure.is_none());
            assert_eq!(folded(&chunks).usage, None, "{kind:?} {says:?}");
            assert_eq!(folded(&chunks).message.plain_text(), "I do fine");
        }
    }
}

#[test]
fn an_answer_that_reaches_the_maximum_says_so() {
    let fake = FakeProvider::start();
    fake.usually(Behaviour::says("one two three four"));
    for kind in KINDS {
        let provider = open(config(kind, &fake));
        let request = ChatRequest { max_output_tokens: Some(2), ..ask() };
        let response = run(provider.complete(&ctx(), &request)).unwrap();
        assert_eq!(
            (response.finish_reason, response.usage.unwrap().output_tokens),
            (FinishReason::Length, 2),
            "{kind:?}"
        );
        assert_eq!(folded(&run(pieces(&provider, &ctx(), &request)).0).finish_reason, FinishReason::Length);
    }
}

#[test]
fn a_refusal_has_one_kind_a_cause_and_costs_nothing() {
    let fake = FakeProvider::start();
    let (input, free) = (ErrorKind::InvalidInput, Charge::Nothing);
    for kind in KINDS {
        let config = config(kind, &fake);
        for (fault, expected) in [
            (Fault::Status(400), (input, "provider_rejected")),
            (Fault::Status(404), (input, "provider_rejected")),
            (Fault::Status(413), (input, "provider_rejected")),
            (Fault::Status(422), (input, "provider_rejected")),
            (Fault::Status(401), (ErrorKind::PermissionDenied, "provider_authentication")),
            (Fault::Status(403), (ErrorKind::PermissionDenied, "provider_authentication")),
            (Fault::BadKey, (ErrorKind::PermissionDenied, "provider_authentication")),
            (Fault::OutOfMoney, (ErrorKind::PermissionDenied, "provider_authentication")),
            (Fault::ContextLength, (input, "context_length")),
            (Fault::QuotesPrompt, (input, "provider_rejected")),
            (Fault::RateLimited(7), (ErrorKind::RateLimited, "provider_rate_limited")),
            (Fault::Status(503), (ErrorKind::Unavailable, "provider_unavailable")),
            (Fault::Status(529), (ErrorKind::Unavailable, "provider_unavailable")),
        ] {
            for failure in failures(&config, &fake, &Behaviour::fails(fault)) {
                assert_eq!((failure.error.kind(), failure.error.code()), expected, "{kind:?} {fault:?}: {failure:?}");
                assert_eq!(failure.charge, free, "{kind:?} {fault:?}");
                let passes = matches!(failure.error.kind(), ErrorKind::RateLimited | ErrorKind::Unavailable);
                assert_eq!(failure.is_temporary(), passes, "{kind:?} {fault:?}");
                let pause = matches!(fault, Fault::RateLimited(_)).then_some(Duration::from_secs(7));
                assert_eq!(failure.error.retry_after(), pause, "{kind:?} {fault:?}");
            }
        }
    }
    assert_eq!(fake.charged(), provider_support::Charged::default());
}

#[test]
fn content_that_is_refused_is_its_own_error_and_costs_what_the_provider_counted() {
    let fake = FakeProvider::start();
    for kind in KINDS {
        let behaviour = Behaviour { input: Some(12), ..Behaviour::fails(Fault::Content) };
        for failure in failures(&config(kind, &fake), &fake, &behaviour) {
            assert_eq!(
                (failure.error.kind(), failure.error.code()),
                (ErrorKind::InvalidInput, "content_refused"),
                "{kind:?}"
            );
            let counted = Charge::Usage(Usage { input_tokens: 12, ..Usage::default() });
            assert_eq!(failure.charge, if kind == ProviderKind::Google { counted } else { Charge::Nothing });
        }
    }
}

#[test]
fn what_may_have_been_charged_is_unknown() {
    let fake = FakeProvider::start();
    for kind in KINDS {
        let config = config(kind, &fake);
        for fault in [
            Fault::ChargedStatus(500),
            Fault::ChargedStatus(502),
            Fault::ChargedStatus(504),
            Fault::Closed,
            Fault::Truncated,
            Fault::ErrorInside,
            Fault::NotJson,
        ] {
            for failure in failures(&config, &fake, &Behaviour::fails(fault)) {
                let expected = (ErrorKind::Unavailable, "provider_unavailable");
                assert_eq!((failure.error.kind(), failure.error.code()), expected, "{kind:?} {fault:?}: {failure:?}");
                assert_eq!(failure.charge, Charge::Unknown, "{kind:?} {fault:?}");
                assert!(failure.is_temporary(), "{kind:?} {fault:?}");
            }
        }
    }
}

#[test]
fn an_answer_that_fails_with_a_count_costs_what_was_counted() {
    let fake = FakeProvider::start();
    for kind in KINDS {
        fake.then(Behaviour { input: Some(12), ..Behaviour::fails(Fault::NoContent) });
        let failure = complete(&open(config(kind, &fake))).unwrap_err();
        let cache_write_tokens = if kind == ProviderKind::Anthropic { 2 } else { 0 };
        let usage = Usage { input_tokens: 12, cache_write_tokens, output_tokens: 4, ..Usage::default() };
        assert_eq!((failure.error.code(), failure.charge), ("provider_unavailable", Charge::Usage(usage)), "{kind:?}");
    }
}

#[test]
fn a_stream_that_breaks_gives_what_came_and_then_the_failure() {
    let fake = FakeProvider::start();
    for kind in KINDS {
        let provider = open(config(kind, &fake));
        for fault in [Fault::Truncated, Fault::EndsEarly, Fault::ErrorInside] {
            fake.then(Behaviour::fails(fault));
            let (chunks, failure) = run(pieces(&provider, &ctx(), &ask()));
            let failure = failure.unwrap();
            assert_eq!(
                (failure.error.code(), failure.charge),
                ("provider_unavailable", Charge::Unknown),
                "{kind:?} {fault:?}"
            );
            assert_eq!(folded(&chunks).message.plain_text(), "one two", "{kind:?} {fault:?}");
        }
    }
}

#[test]
fn silence_ends_with_a_timeout_of_unknown_cost() {
    let fake = FakeProvider::start();
    let short = Duration::from_millis(300);
    let checked = |failure: &LlmFailure, what: &str| {
        assert_eq!(
            (failure.error.kind(), failure.error.code()),
            (ErrorKind::Timeout, "provider_timeout"),
            "{what}: {failure:?}"
        );
        assert_eq!((failure.charge, failure.is_temporary()), (Charge::Unknown, false), "{what}");
    };
    for kind in KINDS {
        fake.usually(Behaviour::fails(Fault::Stall));
        let patient = open(config(kind, &fake));
        let soon = || ctx().with_timeout(short);
        checked(&run(patient.complete(&soon(), &ask())).unwrap_err(), "the deadline of the call");
        checked(&run(pieces(&patient, &soon(), &ask())).1.unwrap(), "the deadline of a stream");
        let hasty = open(ProviderConfig { timeout: short, silence: short, ..config(kind, &fake) });
        checked(&complete(&hasty).unwrap_err(), "the limit of the provider");
        checked(&run(pieces(&hasty, &ctx(), &ask())).1.unwrap(), "a stream that does not begin");
        fake.usually(Behaviour::fails(Fault::StallInStream));
        let (chunks, failure) = run(pieces(&hasty, &ctx(), &ask()));
        checked(&failure.unwrap(), "a stream that falls silent");
        assert_eq!(folded(&chunks).message.plain_text(), "one two", "{kind:?}");
    }
}

#[test]
fn what_was_never_sent_costs_nothing() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let fake = FakeProvider::start();
    for kind in KINDS {
        let nobody = open(ProviderConfig::new("fake", kind).key(KEY).at(format!("http://{closed}")));
        let failure = complete(&nobody).unwrap_err();
        assert_eq!((failure.error.code(), failure.charge), ("provider_unavailable", Charge::Nothing), "{failure:?}");
        assert!(failure.is_temporary());
        let late = ctx().with_timeout(Duration::ZERO);
        let failure = run(open(config(kind, &fake)).complete(&late, &ask())).unwrap_err();
        assert_eq!((failure.error.kind(), failure.charge), (ErrorKind::Timeout, Charge::Nothing));
        let empty = ChatRequest { messages: Vec::new(), ..ask() };
        let failure = run(open(config(kind, &fake)).complete(&ctx(), &empty)).unwrap_err();
        assert_eq!((failure.error.kind(), failure.charge), (ErrorKind::InvalidInput, Charge::Nothing));
    }
    assert!(fake.seen().is_empty());
}

#[test]
fn a_call_that_is_dropped_is_given_up_at_the_provider() {
    let fake = FakeProvider::start();
    for (i, kind) in KINDS.into_iter().enumerate() {
        let provider = open(config(kind, &fake));
        fake.then(Behaviour::fails(Fault::StallInStream)).then(Behaviour::fails(Fault::Stall));
        run(async {
            let mut stream = provider.stream(&ctx(), &ask()).await.unwrap();
            assert!(stream.next().await.unwrap().is_ok());
        });
        fake.wait_for_given_up(2 * i + 1);
        let soon = ctx().with_timeout(Duration::from_millis(200));
        assert!(run(provider.complete(&soon, &ask())).is_err());
        fake.wait_for_given_up(2 * i + 2);
    }
}

#[test]
fn what_the_clients_count_is_what_the_provider_charges() {
    let fake = FakeProvider::start();
    let mut sum = provider_support::Charged::default();
    for kind in KINDS {
        let provider = open(config(kind, &fake));
        for (i, text) in ["a", "a b c", "a b"].into_iter().enumerate() {
            fake.then(Behaviour { cached: i as u64, ..Behaviour::says(text) });
            let usage = match i {
                0 => complete(&provider).unwrap().usage,
                _ => folded(&run(pieces(&provider, &ctx(), &ask())).0).usage,
            };
            let usage = usage.unwrap();
            sum.requests += 1;
            sum.input += usage.input_tokens;
            sum.cached += usage.cached_input_tokens;
            sum.output += usage.output_tokens;
        }
    }
    assert_eq!(fake.charged(), sum);
}
