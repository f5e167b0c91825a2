use super::*;
use crate::limits::{FACT_TEXT_BYTES_MAX, FACTS_PER_MEMORY_MAX};
use proptest::prelude::*;

/// A Sunday.
const SAID: &str = "2026-05-10T12:00:00Z";

fn said<'a>(text: &'a str, role: Option<&'a str>) -> Said<'a> {
    Said {
        text,
        speaker: Some("Ada"),
        role,
        user: None,
        session: None,
        sources: &[],
        at: Timestamp::parse(SAID).unwrap(),
    }
}

fn read(text: &str) -> Vec<String> {
    let all = drafts(&said(text, None)).unwrap_or_default();
    let shown = |d: &Draft| {
        let end = if d.is_end { " ended" } else { "" };
        format!("{} {} {}{end}", d.subject, d.relation, d.object)
    };
    all.iter().map(shown).collect()
}

#[test]
fn plain_statements_about_oneself_are_facts() {
    for (text, expected) in [
        ("I live in Oslo.", "Ada lives_in Oslo"),
        ("I'm from the Netherlands", "Ada comes_from Netherlands"),
        ("Actually, I now live in Bergen.", "Ada lives_in Bergen"),
        ("Hey, I work at Acme Corp these days!", "Ada works_at Acme Corp"),
        ("I started a new job at Initech two weeks ago", "Ada works_at Initech"),
        ("My name is Ada Lovelace.", "Ada is_named Ada Lovelace"),
        ("My favourite colour is blue", "Ada favourite_colour blue"),
        ("My favorite movie is Heat.", "Ada favourite_movie Heat"),
        ("I really love hiking in the mountains", "Ada likes hiking"),
        ("I'm a huge fan of Lord of the Rings!", "Ada likes Lord of the Rings"),
        ("I prefer tea to coffee", "Ada prefers tea"),
        ("I'm allergic to peanuts.", "Ada allergic_to peanuts"),
        ("I am vegan", "Ada diet vegan"),
        ("I'm 34 years old", "Ada age 34"),
        ("I was born on 3 May 1990.", "Ada birthday 1990-05-03"),
        ("My birthday is on 3 May", "Ada birthday 05-03"),
        ("Today is my birthday!", "Ada birthday 05-10"),
        ("My wedding is on 3 June", "Ada wedding_date 2026-06-03"),
        ("My exam is next Friday.", "Ada exam_date 2026-05-15"),
        ("My car is a Volvo", "Ada car Volvo"),
        ("My email is Ada@Example.com.", "Ada email ada@example.com"),
        ("My phone number is +49 30 1234567", "Ada phone +49 30 1234567"),
        ("I have two sisters", "Ada number_of_sisters 2"),
        ("I moved from Oslo to Berlin", "Ada lives_in Berlin"),
        ("My daughter is 5 years old", "Ada's daughter age 5"),
        ("I play the violin", "Ada plays violin"),
    ] {
        assert_eq!(read(text), [expected], "{text}");
    }
}

#[test]
fn relatives_pets_and_others_by_name_have_facts_of_their_own() {
    assert_eq!(
        read("My sister Anna lives in Bergen and works at Acme."),
        ["Ada has_sister Anna", "Anna lives_in Bergen", "Anna works_at Acme"]
    );
    assert_eq!(read("My sister, Anna, lives in Bergen."), ["Ada has_sister Anna", "Anna lives_in Bergen"]);
    assert_eq!(read("I have a dog named Rex."), ["Ada has_pet Rex", "Rex is_a dog"]);
    assert_eq!(read("My brother's name is Max"), ["Ada has_brother Max"]);
    assert_eq!(read("Alice Smith lives in New York City."), ["Alice Smith lives_in New York City"]);
    assert_eq!(read("Anna's favourite food is sushi"), ["Anna favourite_food sushi"]);
    assert_eq!(read("I work as a nurse at St Mary Hospital"), ["Ada works_as nurse", "Ada works_at St Mary Hospital"]);
}

#[test]
fn a_people_or_a_language_is_no_name_and_what_leaves_out_its_verb_names_nobody() {
    for (text, expected) in [
        ("I speak English and my wife French.", vec!["Ada speaks English"]),
        ("I speak English, my wife French.", vec!["Ada speaks English"]),
        ("I speak English and my wife Anna French.", vec!["Ada speaks English"]),
        ("My wife is French.", vec![]),
        ("My cat is Persian", vec![]),
        ("I work at Acme and my brother Google.", vec!["Ada works_at Acme"]),
        ("I live in Oslo, my brother Paris.", vec!["Ada lives_in Oslo"]),
        ("I speak English and my wife speaks French.", vec!["Ada speaks English", "Ada's wife speaks French"]),
        ("My mother Anna and my father Bob.", vec!["Ada has_mother Anna", "Ada has_father Bob"]),
        ("I live in Oslo with my brother Tom and my sister Anna.", vec!["Ada lives_in Oslo", "Ada has_sister Anna"]),
        (
            "I work at Acme and my brother Tom works at Initech.",
            vec!["Ada works_at Acme", "Ada has_brother Tom", "Tom works_at Initech"],
        ),
        ("My sister's name is German", vec!["Ada has_sister German"]),
        ("My brother is called French", vec!["Ada has_brother French"]),
        ("I love hiking and my dog Rex.", vec!["Ada likes hiking", "Ada has_pet Rex", "Rex is_a dog"]),
    ] {
        assert_eq!(read(text), expected, "{text}");
    }
}

#[test]
fn a_number_is_an_age_only_where_it_is_said_to_be_one() {
    for text in ["I'm 5.", "I'm 34", "I am 34 today", "My brother is 5.", "I'm 34 kilometres away"] {
        assert_eq!(read(text), [""; 0], "{text}");
    }
    for text in ["I'm 34 years old", "I'm 34 yo.", "I'm 34yo", "I turned 34 yesterday", "I'm 34 years of age"] {
        assert_eq!(read(text), ["Ada age 34"], "{text}");
    }
}

#[test]
fn a_name_that_is_said_twice_is_the_full_one_and_whom_one_talks_to_is_somebody_else() {
    for text in ["My name is Bond, James Bond.", "My name is Bond. James Bond.", "My name's Bond - James Bond!"] {
        assert_eq!(read(text), ["Ada is_named James Bond"], "{text}");
    }
    assert_eq!(read("My name is Bond. James is my brother."), ["Ada is_named Bond"]);
    assert_eq!(read("My name is Bond, Tom Smith knows."), ["Ada is_named Bond"]);
    for text in ["You are Bob. I live in Oslo.", "You're Bob, and I live in Oslo."] {
        assert_eq!(read(text), ["Ada lives_in Oslo"], "{text}");
    }
}

#[test]
fn what_is_asked_supposed_planned_denied_quoted_or_cut_short_is_no_fact() {
    for text in [
        "Do I live in Oslo?",
        "If I lived in Oslo, I'd ski.",
        "Maybe I live in Oslo.",
        "I'm moving to Berlin next month.",
        "I want to live in Oslo.",
        "I don't live in Oslo.",
        "I never lived in Oslo.",
        "She said I live in Oslo.",
        "\"I live in Oslo\" is a line of it.",
        "You live in Oslo.",
        "When I was ten I lived in Oslo.",
        "I love the colours!",
        "I love it",
        "I love how you paint",
        "I love stories that end well.",
        "I love running my own studio.",
        "I am a good cook.",
        "I'm late",
        "I moved to Oslo a few years ago.",
        "I went to a place in town.",
        "My favourite part is the end.",
        "I work for myself",
        "Ich wohne in Berlin. 私は東京に住んでいます。 J'habite à Paris.",
        "",
    ] {
        assert_eq!(read(text), [""; 0], "{text}");
    }
}

#[test]
fn one_moves_to_a_place_only_where_that_is_clearly_one() {
    for text in [
        "We finally moved to Slack from Teams at work.",
        "We moved to Kubernetes last month.",
        "I moved to Python 3.",
        "I moved to Linux.",
        "We moved to Linux at home.",
        "I moved from Google to Meta.",
        "Our team moved to Berlin.",
        "I've moved to Emacs",
    ] {
        assert_eq!(read(text), [""; 0], "{text}");
    }
    for (text, place) in [
        ("I moved to Oslo.", "Oslo"),
        ("We moved to Kotor with our kids.", "Kotor"),
        ("I moved to Ulm from Berlin", "Ulm"),
        ("I moved to Springfield, Illinois in 2015 for work.", "Springfield"),
        ("We moved to a flat. I moved to West Berlin", "West Berlin"),
        ("I live in the US.", "USA"),
        ("I live in Oslo (Norway).", "Oslo"),
        ("I live in the U.S.", "USA"),
    ] {
        assert_eq!(read(text), [format!("Ada lives_in {place}")], "{text}");
    }
    let since = drafts(&said("I moved to Berlin, Germany in 2015 for work.", None)).unwrap();
    assert_eq!(since[0].from.to_string(), "2015-01-01T00:00:00Z");
}

#[test]
fn what_is_quoted_shown_played_or_given_to_work_on_is_not_of_its_speaker() {
    for text in [
        "> I live in Quito. My name is Bob.\n\nInteresting email!",
        "```\n# comment\nI live in Havana.\n```",
        "    I live in Havana.",
        "Let's roleplay. I am a doctor and I live in Lima.",
        "Pretend this is true. I live in Cairo.",
        "Imagine: I live in Cairo.",
        "Write a story that begins: I live in Paris and my name is Claire.",
        "Please write a poem about me. I live in Paris.",
        "Please proofread this:\nDear Sir,\nI live in Leeds and work at Acme.\nMy name is Karl.",
        "I live in Leeds and work at Acme. Could you proofread that for me?",
        "My character's name is Zed. I live in Mordor.",
        "Lyrics:\nI live in Paris\nI love Paris",
        "Example: I work at Foo.",
        "For example, I live in Oslo.",
        "Translate to German: I live in Oslo.",
        "Bob: I live in Oslo.\nEve: I live in Rome.",
        "He said: I live in Oslo",
        "'I live in Oslo' is a song.",
        "\u{201c}I am tired. I live in Oslo. I work at Acme.\u{201d}",
        "On Monday Bob wrote:\nI live in Lima.",
    ] {
        assert_eq!(read(text), [""; 0], "{text}");
    }
    for text in [
        "Note: I live in Oslo.",
        "Ada: I live in Oslo.",
        "I live in Oslo. Please write a poem about rain.",
        "A bit about me: I live in Oslo",
    ] {
        assert_eq!(read(text), ["Ada lives_in Oslo"], "{text}");
    }
    let why = drafts(&said("> I live in Quito", None)).err();
    assert_eq!(why, Some(Skipped::Quoted));
}

#[test]
fn all_that_a_list_names_is_read_or_nothing_of_what_one_cannot_bear() {
    for (text, expected) in [
        ("I'm allergic to peanuts and shellfish.", vec!["allergic_to peanuts", "allergic_to shellfish"]),
        ("I'm allergic to peanuts and tree pollen.", vec![]),
        ("I'm allergic to peanuts, and I live in Oslo.", vec!["allergic_to peanuts", "lives_in Oslo"]),
        ("I like tea, coffee and cake.", vec!["likes tea", "likes coffee", "likes cake"]),
        ("I like both cats and dogs", vec!["likes cats", "likes dogs"]),
        ("I speak English, French and a little German.", vec!["speaks English", "speaks French", "speaks German"]),
        ("I play the guitar and the piano", vec!["plays guitar", "plays piano"]),
        ("I like parties and people came.", vec!["likes parties"]),
        ("I like hiking and Bob loves Rome.", vec!["likes hiking"]),
    ] {
        let mine: Vec<String> =
            read(text).into_iter().filter_map(|f| f.strip_prefix("Ada ").map(str::to_owned)).collect();
        assert_eq!(mine, expected, "{text}");
    }
    assert_eq!(
        read("I have a cat called Misty and a dog called Rex."),
        ["Ada has_pet Misty", "Misty is_a cat", "Ada has_pet Rex", "Rex is_a dog"]
    );
}

#[test]
fn a_number_ends_a_sentence_and_what_is_taken_back_is_not_read() {
    assert_eq!(read("My address is Domstrasse 3. My email is ada@example.org."), ["Ada email ada@example.org"]);
    assert_eq!(read("I live in Oslo. Actually no, I live in Rome."), ["Ada lives_in Rome"]);
    assert_eq!(read("I live in Oslo. Sorry, I live in Rome."), ["Ada lives_in Rome"]);
    for text in [
        "I live in Oslo. No wait, Rome.",
        "I live in Oslo - sorry, Rome.",
        "I live in Oslo. Scratch that, I live in Rome.",
        "I live in Oslo, no, Rome!",
        "I live in Rome. I work at Acme. Just kidding.",
        "I live in Rome. Sorry, Anna.",
        "I live in Rome. Wait, Bergen is nicer.",
        "I live in Rome. I live in Excel.",
        "I live in Jira these days. I live in Rome.",
        "I moved to Linux with my family. I live in Rome.",
    ] {
        assert_eq!(read(text), ["Ada lives_in Rome"], "{text}");
    }
    assert_eq!(read("I work at Acme. No wait, Initech."), ["Ada works_at Initech"]);
    assert_eq!(
        read("My work email is a@example.org. My email is b@example.org."),
        ["Ada work_email a@example.org", "Ada email b@example.org"]
    );
    for text in ["I visited Dr. Smith", "I'm a student at UCLA"] {
        assert_eq!(read(text), [""; 0], "{text}");
    }
}

#[test]
fn an_end_is_read_as_one() {
    for (text, expected) in [
        ("I no longer work at Acme.", "Ada works_at Acme ended"),
        ("I don't work at Acme anymore.", "Ada works_at Acme ended"),
        ("I'm no longer working at Acme.", "Ada works_at Acme ended"),
        ("I used to live in Oslo.", "Ada lives_in Oslo ended"),
        ("We moved out of Oslo", "Ada lives_in Oslo ended"),
        ("I left Acme last month", "Ada works_at Acme ended"),
        ("Bob no longer lives in Rome.", "Bob lives_in Rome ended"),
    ] {
        assert_eq!(read(text), [expected], "{text}");
    }
    assert_eq!(read("I can't stand olives"), ["Ada dislikes olives", "Ada likes olives ended"]);
    assert_eq!(read("I don't like coffee"), ["Ada dislikes coffee", "Ada likes coffee ended"]);
}

#[test]
fn a_fact_begins_when_it_is_said_to() {
    let times = |text: &str| {
        let all = drafts(&said(text, None)).unwrap();
        let first = all.first().unwrap();
        (first.from.to_string(), first.latest.to_string())
    };
    let is = |from: &str, latest: &str| (from.to_owned(), latest.to_owned());
    assert_eq!(times("I live in Oslo"), is(SAID, SAID));
    assert_eq!(times("I moved to Oslo last month"), is("2026-04-01T00:00:00Z", "2026-05-01T00:00:00Z"));
    assert_eq!(times("Yesterday I moved to Oslo"), is("2026-05-09T00:00:00Z", "2026-05-10T00:00:00Z"));
    assert_eq!(times("I've lived in Oslo since 2019"), is("2019-01-01T00:00:00Z", "2020-01-01T00:00:00Z"));
    assert_eq!(times("I moved to Oslo this year"), is("2026-01-01T00:00:00Z", SAID));
}

#[test]
fn places_lie_in_the_text_and_the_speaker_is_who_is_known() {
    let text = "Hello there. I live in Oslo now.";
    let all = drafts(&said(text, Some("user"))).unwrap();
    assert_eq!(text.get(all[0].start..all[0].end), Some("I live in Oslo now"));
    let of = |said: Said<'_>| drafts(&said).unwrap().first().map(|d| d.subject.clone());
    assert_eq!(of(Said { speaker: None, user: Some("u-7"), ..said(text, None) }), Some("u-7".to_owned()));
    assert_eq!(of(Said { speaker: None, ..said(text, None) }), Some("user".to_owned()));
    let nameless = |session| of(Said { speaker: None, session: Some(session), ..said(text, None) }).unwrap();
    assert_eq!(nameless("chat-7"), "user of chat-7");
    // What no name can hold is told apart all the same.
    let (long, line) = ("x".repeat(250), "a\nb");
    assert!(nameless(&long) != nameless(line) && nameless(line).starts_with("user of session "));
}

#[test]
fn junk_is_kept_out_with_a_reason() {
    let why = |text: &str, role: Option<&str>| drafts(&said(text, role)).err();
    assert_eq!(why("ok thanks!", None), Some(Skipped::Acknowledgement));
    assert_eq!(why("I live in Oslo.", Some("assistant")), Some(Skipped::Machine));
    assert_eq!(why("# AGENTS.md\nI live in Oslo.", None), Some(Skipped::BootFile));
    assert_eq!(why(&"I live in Oslo. ".repeat(2_000), None), Some(Skipped::TooLong));
    assert_eq!(why("I live in Oslo.", Some("user")), None);
}

#[test]
fn facts_are_put_in_words() {
    for (relation, object, expected) in [
        ("lives_in", "Oslo", "Ada lives in Oslo."),
        ("favourite_colour", "blue", "Ada's favourite colour is blue."),
        ("has_sister", "Anna", "Ada's sister is Anna."),
        ("has_pet", "Rex", "Ada has pet Rex."),
        ("wedding_date", "2026-06-03", "Ada's wedding is on 2026-06-03."),
        ("age", "34", "Ada is 34 years old."),
        ("car", "Volvo", "Ada's car is Volvo."),
        ("number_of_sisters", "2", "Ada has 2 sisters."),
        ("likes", "tea", "Ada likes tea."),
    ] {
        assert_eq!(sentence("Ada", relation, object), expected);
    }
}

/// With work that grows by the square these take long.
#[test]
fn the_longest_text_of_any_kind_is_read_to_its_end() {
    for piece in ["I live in Oslo and ", "my ", "I ", "May 3 ", "not ", "東", "x - ", "x. ", "moved from ", "Ann the "]
    {
        let text = piece.repeat(FACT_TEXT_BYTES_MAX / piece.len());
        assert!(drafts(&said(&text, None)).is_ok_and(|all| all.len() <= FACTS_PER_MEMORY_MAX), "{piece}");
    }
}

proptest! {
    #[test]
    fn any_text_gives_facts_within_their_bounds(
        text in "\\PC{0,120}|((I|my|Ann|the|is|am|a|works at|live in|Oslo|sister|dog|named|,|\\.|é|and|no longer|3|May|since|2019|東京) ){0,30}"
    ) {
        if let Ok(all) = drafts(&said(&text, None)) {
            for d in all {
                prop_assert!(d.start < d.end && text.get(d.start..d.end).is_some());
                prop_assert!((0.0..=1.0).contains(&d.confidence) && d.from <= d.latest);
                prop_assert!(!d.subject.is_empty() && !d.object.is_empty());
            }
        }
    }
}
