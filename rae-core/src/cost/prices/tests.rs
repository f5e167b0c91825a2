use super::*;
use crate::ErrorKind;
use proptest::prelude::*;
use serde_json::json;

fn at(day: &str) -> Timestamp {
    Timestamp::parse(day).unwrap()
}

fn today() -> Timestamp {
    at("2026-11-28T12:00:00Z")
}

fn built_in() -> PriceBook {
    PriceBook::built_in().unwrap()
}

/// A book without the built-in prices: one model a name, each at an input price of its own.
fn book(models: &[(&str, &str)]) -> PriceBook {
    let entry =
        |(provider, model): &(&str, &str)| json!({"provider": provider, "model": model, "input": "1", "output": "2"});
    let empty = PriceBook { prices: BTreeMap::new(), ceiling: None };
    empty.with_overrides(&json!({"models": models.iter().map(entry).collect::<Vec<_>>()}).to_string()).unwrap()
}

fn found(book: &PriceBook, provider: &str, model: &str) -> Option<String> {
    book.find(provider, model, today()).map(|price| price.model.clone())
}

fn code(result: Result<impl Sized>) -> String {
    let error = result.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    error.code().to_owned()
}

#[test]
fn a_name_is_priced_as_its_own_model_and_never_as_a_cheaper_relative() {
    let book = book(&[
        ("openai", "gpt-4o"),
        ("openai", "gpt-4o-mini"),
        ("openai", "gpt-4o-2024-05-13"),
        ("openai", "gpt-5"),
        ("openai", "o1"),
        ("anthropic", "claude-opus-4"),
        ("anthropic", "claude-sonnet-4-5"),
        ("google", "gemini-2.5-pro"),
        ("google", "gemini-2.5-flash"),
        ("google", "gemini-3-flash-preview"),
        ("ollama", "llama3:8b"),
    ]);
    for (provider, name, model) in [
        ("openai", "gpt-4o", Some("gpt-4o")),
        ("openai", "gpt-4o-2024-08-06", Some("gpt-4o")),
        ("openai", "gpt-4o-2024-05-13", Some("gpt-4o-2024-05-13")),
        ("openai", "gpt-4o-latest", Some("gpt-4o")),
        ("openai", "gpt-4o-mini", Some("gpt-4o-mini")),
        ("openai", "gpt-4o-mini-2024-07-18", Some("gpt-4o-mini")),
        ("openai", "GPT-4o-Mini-2024-07-18", Some("gpt-4o-mini")),
        ("openai", "gpt-4o-mini-tts", None),
        ("openai", "gpt-4o-mini-tts-2025-03-20", None),
        ("openai", "gpt-4o-audio-preview", None),
        ("openai", "gpt-4o-2024-08-06-mini", None),
        ("openai", "gpt-4o-2024-13-06", None),
        ("openai", "gpt-4o-2024-08", None),
        ("openai", "gpt-4o-", None),
        ("openai", "gpt-4o-x", None),
        ("openai", "gpt-4omega", None),
        ("openai", "gpt-4", None),
        ("openai", "gpt-4-32k", None),
        ("openai", "gpt-5-2025-08-07", Some("gpt-5")),
        ("openai", "gpt-5-0807", Some("gpt-5")),
        ("openai", "gpt-5-pro", None),
        ("openai", "gpt-5-pro-2025-10-06", None),
        ("openai", "gpt-5.1", None),
        ("openai", "gpt-5.1-2025-11-13", None),
        ("openai", "gpt-50", None),
        ("openai", "o1-2024-12-17", Some("o1")),
        ("openai", "o1-pro", None),
        ("openai", "ft:gpt-4o-2024-08-06:org::id", None),
        ("openai", "", None),
        ("openai", "-2024-08-06", None),
        ("anthropic", "claude-sonnet-4-5-20250929", Some("claude-sonnet-4-5")),
        ("anthropic", "claude-sonnet-4-5@20250929", Some("claude-sonnet-4-5")),
        ("anthropic", "claude-sonnet-4-5-20251399", None),
        ("anthropic", "claude-opus-4-20250514", Some("claude-opus-4")),
        // Another version is another model.
        ("anthropic", "claude-opus-4-8", None),
        ("anthropic", "claude-opus-4-1-20250805", None),
        ("anthropic", "claude-sonnet-4-6", None),
        ("google", "gemini-2.5-pro-preview-06-05", Some("gemini-2.5-pro")),
        ("google", "gemini-2.5-flash-preview-09-2025", Some("gemini-2.5-flash")),
        ("google", "gemini-2.5-flash-001", Some("gemini-2.5-flash")),
        ("google", "models/gemini-2.5-flash", Some("gemini-2.5-flash")),
        ("google", "gemini-2.5-flash-lite", None),
        ("google", "gemini-2.5-flash-preview-tts", None),
        ("google", "gemini-2.5-flash-native-audio-latest", None),
        ("google", "gemini-3-flash-preview", Some("gemini-3-flash-preview")),
        ("google", "gemini-3-flash", None),
        ("ollama", "llama3:8b", Some("llama3:8b")),
        ("ollama", "llama3", None),
        ("openai", "openai/gpt-4o-2024-08-06", Some("gpt-4o")),
        // The same name of another provider is another model.
        ("anthropic", "gpt-4o", None),
        ("nobody", "gpt-4o", None),
    ] {
        assert_eq!(found(&book, provider, name).as_deref(), model, "{name} of {provider}");
    }
    assert_eq!(found(&book, "openai", &"-2024-08-06".repeat(1_000)), None);
}

#[test]
fn openrouter_passes_on_the_built_in_price_of_the_vendor() {
    let overrides = r#"{"models": [{"provider": "openai", "model": "gpt-4o", "input": "1", "output": "1"},
        {"provider": "openrouter", "model": "openai/gpt-5", "input": "7", "output": "9"},
        {"provider": "ollama", "model": "*", "input": "0", "output": "0"}]}"#;
    let book = built_in().with_overrides(overrides).unwrap();
    let input = |provider, model| book.find(provider, model, today()).map(|price| price.rates.unwrap().input);
    assert_eq!(input("openai", "gpt-4o"), Some(1_000_000));
    // What OpenAI charges this user says nothing about what OpenRouter charges.
    assert_eq!(input("openrouter", "openai/gpt-4o"), Some(2_500_000));
    assert_eq!(input("openrouter", "openrouter/openai/gpt-4o-2024-08-06"), Some(2_500_000));
    assert_eq!(input("openrouter", "openai/gpt-5"), Some(7_000_000));
    assert_eq!(input("openrouter", "anthropic/claude-sonnet-4.5"), Some(3_000_000));
    assert_eq!(input("openrouter", "anthropic/claude-sonnet-4.5:free"), None);
    assert_eq!(input("openrouter", "meta-llama/llama-3"), None);
    assert_eq!(input("openrouter", "gpt-4o"), None);
    // All models of a provider are those of that provider alone.
    assert_eq!(input("ollama", "qwen3:4b"), Some(0));
    assert_eq!(input("openrouter", "ollama/qwen3"), None);
}

#[test]
fn every_built_in_price_has_a_source_and_days_and_none_is_free() {
    let book = built_in();
    assert!(book.all().count() > 50);
    for price in book.all() {
        let name = format!("{} {}", price.provider, price.model);
        assert!(["openai", "anthropic", "google"].contains(&price.provider.as_str()), "{name}");
        let source = price.source.as_deref().unwrap();
        let pages = ["https://developers.openai.com/", "https://platform.claude.com/", "https://ai.google.dev/"];
        assert!(pages.iter().any(|page| source.starts_with(page)), "{name}: {source}");
        assert!(price.from > Day::FIRST && price.checked.unwrap() <= Day::of(today()), "{name}");
        assert_eq!(price.origin, Origin::BuiltIn, "{name}");
        assert_eq!(price.rates.is_some(), price.embedding.is_none(), "{name}");
        assert!(price.embedding.is_none_or(|rate| rate > 0), "{name}");
        let tiers = price.rates.iter().chain(price.long_prompt.iter().map(|long| &long.rates));
        for rates in tiers {
            assert!(rates.input > 0 && rates.output >= rates.input, "{name}");
            assert!(rates.cached_input.is_none_or(|rate| 0 < rate && rate < rates.input), "{name}");
            assert!(rates.cache_write.is_none_or(|rate| rate >= rates.input), "{name}");
            assert!(rates.batch_input.is_none_or(|rate| 0 < rate && rate < rates.input), "{name}");
            assert!(rates.batch_output.is_none_or(|rate| 0 < rate && rate < rates.output), "{name}");
        }
        if let (Some(short), Some(long)) = (&price.rates, &price.long_prompt) {
            assert!(long.above > 0 && long.rates.input > short.input && long.rates.output > short.output, "{name}");
            assert_eq!(long.rates.cached_input.is_some(), short.cached_input.is_some(), "{name}");
            assert_eq!(long.rates.cache_write.is_some(), short.cache_write.is_some(), "{name}");
        }
    }
    for (provider, model, input, output) in [
        ("openai", "gpt-4o", 2_500_000, 10_000_000),
        ("openai", "gpt-4o-mini-2024-07-18", 150_000, 600_000),
        ("anthropic", "claude-haiku-4-5-20251001", 1_000_000, 5_000_000),
        ("google", "gemini-2.5-pro", 1_250_000, 10_000_000),
    ] {
        let rates = book.find(provider, model, today()).unwrap().rates.unwrap();
        assert_eq!((rates.input, rates.output), (input, output), "{model}");
    }
}

#[test]
fn the_newest_price_that_has_begun_on_the_day_of_the_call_counts() {
    let book = built_in();
    let input = |day: &str| book.find("google", "gemini-4-argon", at(day)).map(|price| price.rates.unwrap().input);
    assert_eq!(input("2026-09-29T23:59:59Z"), None);
    assert_eq!(input("2026-09-30T00:00:00Z"), Some(2_000_000));
    assert_eq!(input("2026-11-30T23:59:59Z"), Some(2_000_000));
    assert_eq!(input("2026-12-01T00:00:00Z"), Some(4_000_000));
    // The day is that of UTC.
    assert_eq!(input("2026-12-01T01:00:00+02:00"), Some(2_000_000));
    // A name of its own that has not begun is not priced as the shorter one.
    let text = r#"{"models": [{"provider": "p", "model": "m", "input": "1", "output": "1"},
        {"provider": "p", "model": "m-2026-12-01", "from": "2026-12-01", "input": "9", "output": "9"}]}"#;
    let book = built_in().with_overrides(text).unwrap();
    assert_eq!(book.find("p", "m-2026-12-01", at("2026-11-30")), None);
    assert_eq!(book.find("p", "m-2026-12-01", at("2026-12-01")).unwrap().rates.unwrap().input, 9_000_000);
}

#[test]
fn an_override_wins_over_the_built_in_price_from_its_day_on_and_a_later_file_over_an_earlier() {
    let text = |input: &str| {
        json!({"models": [{"provider": "OpenAI", "model": "GPT-4o", "from": "2026-11-28", "input": input, "output": "4"}]})
            .to_string()
    };
    let book = built_in().with_overrides(&text("3")).unwrap().with_overrides(&text("2.000001")).unwrap();
    let before = book.find("openai", "gpt-4o-2024-08-06", at("2026-11-27")).unwrap();
    assert_eq!((before.origin, before.rates.unwrap().input), (Origin::BuiltIn, 2_500_000));
    let after = book.find("openai", "gpt-4o-2024-08-06", today()).unwrap();
    assert_eq!((after.origin, after.rates.unwrap().input), (Origin::Override, 2_000_001));
    // It says nothing of the cache, and the built-in price for that is gone with the rest.
    assert_eq!(after.rates.unwrap().cached_input, None);
    assert_eq!(found(&book, "openai", "gpt-4o-mini").as_deref(), Some("gpt-4o-mini"));
}

#[test]
fn a_wrong_file_of_prices_is_refused_as_a_whole_and_the_entry_named() {
    let good = json!({"provider": "p", "model": "m", "input": "1", "output": "2"});
    let with = |field: &str, value: serde_json::Value| {
        let mut entry = good.clone();
        entry[field] = value;
        entry
    };
    let mut no_output = good.clone();
    no_output.as_object_mut().unwrap().remove("output");
    for (entry, said) in [
        (with("input", json!(0.15)), "expected a string"),
        (with("input", json!("-1")), "input must be US dollars"),
        (with("input", json!("+1")), "input must be"),
        (with("input", json!("1e3")), "input must be"),
        (with("input", json!(" 1")), "input must be"),
        (with("input", json!("")), "input must be"),
        (with("input", json!(".5")), "input must be"),
        (with("input", json!("5.")), "input must be"),
        (with("input", json!("0.0000001")), "input must be"),
        (with("input", json!("1000000.000001")), "input must be"),
        (with("input", json!("99999999999999999999")), "input must be"),
        (with("cached_input", json!("free")), "cached_input must be"),
        (with("embedding", json!("x")), "embedding must be"),
        (with("from", json!("28.11.2026")), "from must be a day"),
        (with("from", json!("2026-02-30")), "from must be a day"),
        (with("from", json!("2026-11-28T00:00:00Z")), "from must be a day"),
        (with("checked", json!("soon")), "checked must be a day"),
        (with("provider", json!("")), "provider must be"),
        (with("model", json!("a b")), "model must be"),
        (with("model", json!("m".repeat(257))), "model must be"),
        (with("cached", json!("1")), "unknown field `cached`"),
        (with("long_prompt", json!({"above": 9, "input": "1"})), "long_prompt: input and output go together"),
        (with("long_prompt", json!({"above": 9})), "long_prompt has input and output"),
        (with("long_prompt", json!({"above": -9, "input": "1", "output": "1"})), "expected u64"),
        (no_output, "input and output go together"),
        (json!({"provider": "p", "model": "m"}), "a price has input and output, or embedding"),
        (json!({"provider": "p", "model": "m", "cached_input": "1"}), "go together"),
        (
            json!({"provider": "p", "model": "m", "embedding": "1", "long_prompt": {"above": 9, "input": "1", "output": "1"}}),
            "long_prompt goes with",
        ),
        (good.clone(), "a second price of m"),
    ] {
        let text = json!({"models": [good, entry]}).to_string();
        let error = built_in().with_overrides(&text).unwrap_err();
        assert_eq!((error.kind(), error.code()), (ErrorKind::InvalidInput, "invalid_prices"), "{text}");
        // What is no price at all is told with its line instead.
        let is_shape = said.starts_with("expected") || said.starts_with("unknown");
        let place = if is_shape { "line 1" } else { "entry 2" };
        assert!(error.message().contains(said) && error.message().contains(place), "{error}");
    }
    for text in ["", "[]", "{}", "{\"models\": {}}", "{\"models\": [], \"more\": 1}"] {
        assert_eq!(code(built_in().with_overrides(text)), "invalid_prices", "{text}");
    }
    assert_eq!(code(built_in().with_overrides(&" ".repeat(crate::limits::PRICES_BYTES_MAX + 1))), "invalid_prices");
    let many: Vec<_> = (0..=crate::limits::PRICES_MAX)
        .map(|n| json!({"provider": "p", "model": n.to_string(), "embedding": "1"}))
        .collect();
    assert_eq!(code(built_in().with_overrides(&json!({"models": many}).to_string())), "invalid_prices");
}

#[test]
fn prices_are_read_to_the_micro_dollar_and_written_as_they_were_read() {
    for (text, micros, written) in [
        ("0.15", 150_000, "0.15"),
        ("0.000001", 1, "0.000001"),
        ("0", 0, "0.00"),
        ("2", 2_000_000, "2.00"),
        ("0.0375", 37_500, "0.0375"),
        ("1000000", 1_000_000_000_000, "1000000.00"),
    ] {
        let file = json!({"models": [{"provider": "p", "model": "m", "input": text, "output": "1"}]}).to_string();
        let book = built_in().with_overrides(&file).unwrap();
        let price = book.find("p", "m", today()).unwrap();
        assert_eq!(price.rates.unwrap().input, micros);
        let expected = json!({"provider": "p", "model": "m", "override": true, "input": written, "output": "1.00"});
        assert_eq!(price.to_json(), expected);
    }
    let argon = built_in();
    let shown = argon.find("google", "gemini-2.5-pro", today()).unwrap().to_json();
    assert_eq!((&shown["from"], &shown["checked"]), (&json!("2025-06-17"), &json!("2026-10-07")));
    assert_eq!(shown["long_prompt"]["above"], 200_000);
    assert_eq!(shown["long_prompt"]["cached_input"], "0.25");
}

#[test]
fn a_model_without_a_price_is_refused_or_costs_the_ceiling_and_is_never_free() {
    let error = built_in().price("openai", "gpt-9", today()).unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::InvalidInput, "unknown_model_price"));
    assert!(error.message().contains("gpt-9 of openai") && error.message().contains("\"models\""), "{error}");
    let long = "m".repeat(100_000);
    assert!(built_in().price("openai", &long, today()).unwrap_err().message().len() < 1_000);

    let ceiling = UnknownModel::Ceiling { input: 20_000_000, output: 100_000_000 };
    let book = built_in().with_unknown_model(ceiling).unwrap();
    let price = book.price("openai", "gpt-9", today()).unwrap();
    assert_eq!(price.cost(&Tokens { input: 10, cached_input: 10, output: 1, ..Tokens::default() }).unwrap(), 300);
    assert_eq!((price.worst_cost(10, 1).unwrap(), price.embedding_cost(10).unwrap()), (300, 200));
    assert_eq!(book.find("openai", "gpt-9", today()), None);
    // A model with a price keeps it.
    assert_eq!(book.price("openai", "gpt-4o", today()).unwrap().rates.unwrap().input, 2_500_000);
    assert!(book.with_unknown_model(UnknownModel::Reject).unwrap().price("openai", "gpt-9", today()).is_err());
    for (input, output) in [(0, 1), (1, 0), (1_000_000_000_001, 1), (1, u64::MAX)] {
        let policy = UnknownModel::Ceiling { input, output };
        assert_eq!(code(built_in().with_unknown_model(policy)), "invalid_prices");
    }
}

#[test]
fn a_model_that_embeds_does_not_answer_for_free_and_the_other_way_round() {
    let book = built_in();
    let embedder = book.find("openai", "text-embedding-3-small", today()).unwrap();
    assert_eq!(embedder.embedding_cost(1_000_000).unwrap(), 20_000);
    assert_eq!(embedder.embedding_cost(1).unwrap(), 1);
    assert_eq!(code(embedder.cost(&Tokens { input: 1, ..Tokens::default() })), "unknown_model_price");
    assert_eq!(code(embedder.worst_cost(1, 1)), "unknown_model_price");
    assert_eq!(code(book.find("openai", "gpt-4o", today()).unwrap().embedding_cost(1)), "unknown_model_price");
}

#[test]
fn a_cost_counts_each_sort_of_token_once_and_is_rounded_up_once() {
    let book = built_in();
    let price = |provider, model| book.find(provider, model, today()).unwrap();
    let mini = price("openai", "gpt-4o-mini");
    let cost = |price: &Price, input, cached_input, cache_write, output| {
        price.cost(&Tokens { input, cached_input, cache_write, output, batch: false }).unwrap()
    };
    assert_eq!(cost(mini, 1_000_000, 0, 0, 1_000_000), 150_000 + 600_000);
    assert_eq!(cost(mini, 1_000_000, 400_000, 0, 0), 90_000 + 30_000);
    assert_eq!(cost(mini, 0, 0, 0, 0), 0);
    assert_eq!(cost(mini, 1, 0, 0, 0), 1);
    // 0.15 and 0.60 micro-dollars: one rounding, not two.
    assert_eq!(cost(mini, 1, 0, 0, 1), 1);
    let haiku = price("anthropic", "claude-haiku-4-5");
    assert_eq!(cost(haiku, 1_000_000, 200_000, 300_000, 0), 500_000 + 20_000 + 375_000);
    // No price for writing to a cache: it costs what input costs.
    assert_eq!(cost(mini, 1_000_000, 0, 1_000_000, 0), 150_000);
    // More from the cache than there was input: what was reported is charged.
    assert_eq!(cost(mini, 0, 1_000_000, 0, 0), 75_000);
    assert_eq!(cost(haiku, 10, 1_000_000, 1_000_000, 0), 100_000 + 1_250_000);
}

#[test]
fn a_long_prompt_costs_more_as_a_whole_from_the_first_token_above_the_threshold() {
    let book = built_in();
    let gemini = book.find("google", "gemini-2.5-pro", today()).unwrap();
    let cost = |input, cached_input| {
        gemini.cost(&Tokens { input, cached_input, output: 1_000_000, ..Tokens::default() }).unwrap()
    };
    assert_eq!(cost(200_000, 0), 250_000 + 10_000_000);
    assert_eq!(cost(200_001, 0), 500_003 + 15_000_000);
    assert_eq!(cost(400_000, 400_000), 100_000 + 15_000_000);
    assert_eq!(gemini.worst_cost(200_000, 1_000_000).unwrap(), 250_000 + 10_000_000);
    assert_eq!(gemini.worst_cost(200_001, 1_000_000).unwrap(), 500_003 + 15_000_000);
    // Where all of the prompt may be written to a cache, that is the worst.
    let haiku = book.find("anthropic", "claude-haiku-5-5", today()).unwrap();
    assert_eq!(haiku.worst_cost(100_000, 0).unwrap(), 12_500);
    assert_eq!(haiku.worst_cost(100_001, 0).unwrap(), 62_501);
}

#[test]
fn a_batch_costs_its_own_price_without_a_discount_for_the_cache() {
    let book = built_in();
    let price = |model| book.find("openai", model, today()).unwrap();
    let tokens =
        Tokens { input: 1_000_000, cached_input: 500_000, output: 1_000_000, batch: true, ..Tokens::default() };
    assert_eq!(price("gpt-4o").cost(&tokens).unwrap(), 1_250_000 + 5_000_000);
    // Without a price for batches a batch costs what other calls do.
    assert_eq!(price("o4-mini").cost(&tokens).unwrap(), 1_100_000 + 4_400_000);
}

#[test]
fn a_cost_beyond_all_counting_is_an_error_and_never_wraps() {
    let book = built_in().with_overrides(r#"{"models": [{"provider": "p", "model": "m", "input": "1000000", "output": "1000000", "embedding": "1000000"}]}"#).unwrap();
    let price = book.find("p", "m", today()).unwrap();
    let most =
        Tokens { input: u64::MAX, cached_input: u64::MAX, cache_write: u64::MAX, output: u64::MAX, batch: false };
    assert_eq!(code(price.cost(&most)), "cost_out_of_range");
    assert_eq!(code(price.worst_cost(u64::MAX, u64::MAX)), "cost_out_of_range");
    assert_eq!(code(price.embedding_cost(u64::MAX)), "cost_out_of_range");
    assert_eq!(price.embedding_cost(9_223_372_036_854).unwrap(), 9_223_372_036_854_000_000);
}

#[test]
fn prices_are_selected_by_provider_and_by_what_a_call_would_find() {
    let book = built_in();
    let names = |prices: Vec<&Price>| prices.iter().map(|price| price.model.clone()).collect::<Vec<_>>();
    assert_eq!(book.select(None, None, today()).unwrap().len(), book.all().count());
    let google = book.select(Some("Google"), None, today()).unwrap();
    assert!(!google.is_empty() && google.iter().all(|price| price.provider == "google"));
    assert_eq!(names(book.select(None, Some("gpt-4o-2024-08-06"), today()).unwrap()), ["gpt-4o"]);
    assert_eq!(names(book.select(None, Some("openai/gpt-4o"), today()).unwrap()), ["gpt-4o"]);
    assert_eq!(names(book.select(Some("openai"), Some("gpt-4o-mini"), today()).unwrap()), ["gpt-4o-mini"]);
    assert_eq!(code(book.select(Some("google"), Some("gpt-4o"), today())), "unknown_model_price");
    assert_eq!(code(book.select(None, Some("gpt-9"), today())), "unknown_model_price");
    assert!(book.select(Some("nobody"), None, today()).unwrap().is_empty());
}

fn tokens() -> impl Strategy<Value = Tokens> {
    let count = || prop_oneof![0_u64..20, 0_u64..2_000_000];
    (count(), count(), count(), count(), any::<bool>()).prop_map(|(input, cached_input, cache_write, output, batch)| {
        Tokens { input, cached_input, cache_write, output, batch }
    })
}

proptest! {
    #[test]
    fn a_cost_is_never_negative_never_falls_with_more_tokens_and_stays_below_the_worst(
        tokens in tokens(),
        more in 0_u64..300_000,
        sort in 0_usize..4,
        pick in any::<prop::sample::Index>(),
    ) {
        let book = built_in();
        let prices: Vec<&Price> = book.all().filter(|price| price.rates.is_some()).collect();
        let price = *pick.get(&prices);
        let cost = price.cost(&tokens).unwrap();
        prop_assert!(cost >= 0);
        prop_assert!(cost > 0 || tokens.input + tokens.cached_input + tokens.cache_write + tokens.output == 0);
        let input = tokens.input.max(tokens.cached_input + tokens.cache_write);
        prop_assert!(cost <= price.worst_cost(input, tokens.output).unwrap());
        // More input that is plain, cached or newly cached, or more output.
        let mut grown = tokens;
        match sort {
            0 => grown.input += more,
            1 => (grown.input, grown.cached_input) = (input + more, grown.cached_input + more),
            2 => (grown.input, grown.cache_write) = (input + more, grown.cache_write + more),
            _ => grown.output += more,
        }
        prop_assert!(price.cost(&grown).unwrap() >= cost);
    }

    #[test]
    fn the_cost_of_two_calls_is_at_most_a_micro_dollar_apart_from_that_of_both_in_one(first in tokens(), second in tokens()) {
        let book = built_in();
        let price = book.find("openai", "gpt-4o-mini", today()).unwrap();
        let plain = |tokens: Tokens| Tokens { cached_input: 0, cache_write: 0, batch: false, ..tokens };
        let (first, second) = (plain(first), plain(second));
        let both = Tokens { input: first.input + second.input, output: first.output + second.output, ..first };
        let apart = price.cost(&first).unwrap() + price.cost(&second).unwrap();
        let joined = price.cost(&both).unwrap();
        prop_assert!(joined <= apart && apart <= joined + 1);
    }

    #[test]
    fn any_name_and_any_text_is_answered_without_a_panic(provider in ".{0,12}", model in "(gpt-4o|claude-opus-5)?[-@/:.a-z0-9é]{0,40}", text in ".{0,60}") {
        let book = built_in();
        let found = book.find(&provider, &model, today());
        prop_assert!(found.is_none() || found.unwrap().rates.is_some() || found.unwrap().embedding.is_some());
        if let Some(price) = book.find("openai", &model, today()) {
            let known = price.model.as_str();
            prop_assert!(model.contains(known) || model.contains('/'));
        }
        let _ = book.with_overrides(&text);
    }
}
