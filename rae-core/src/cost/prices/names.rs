//! Which names are releases of a model, and which are other models.

/// The names of which `name` is a release, longest first: `gpt-4o-2024-08-06` is one of `gpt-4o`. What follows a `-` or an `@` must
/// be dates, revisions, `latest` or `preview` to its end. Any other word (`-mini`, `-pro`, `-audio`) makes another model, which may
/// cost more, and so does a bare version: `claude-opus-4-8` is no release of `claude-opus-4`.
pub(super) fn releases(name: &str) -> impl Iterator<Item = &str> {
    let cuts = name.char_indices().rev().filter(|(_, c)| matches!(c, '-' | '@'));
    cuts.filter(|(at, _)| *at > 0 && says_release(&name[at + 1..])).map(|(at, _)| &name[..at])
}

fn says_release(rest: &str) -> bool {
    let mut parts: &[&str] = &rest.split('-').collect::<Vec<_>>();
    while !parts.is_empty() {
        let taken = match parts {
            ["latest" | "preview", ..] => 1,
            [year, month, day, ..] if is_year(year) && is_month(month) && is_day(day) => 3,
            [month, year, ..] if is_month(month) && is_year(year) => 2,
            [month, day, ..] if is_month(month) && is_day(day) => 2,
            [one, ..] if is_one(one) => 1,
            _ => return false,
        };
        parts = &parts[taken..];
    }
    true
}

/// `20250929`, `0613` or `001`.
fn is_one(part: &str) -> bool {
    match (part.len(), part.is_ascii()) {
        (8, true) => is_year(&part[..4]) && is_month(&part[4..6]) && is_day(&part[6..]),
        (4, true) => is_month(&part[..2]) && is_day(&part[2..]),
        (3, true) => part.bytes().all(|b| b.is_ascii_digit()),
        _ => false,
    }
}

fn number(part: &str, digits: usize) -> Option<u32> {
    (part.len() == digits && part.bytes().all(|b| b.is_ascii_digit())).then(|| part.parse().ok())?
}

fn is_year(part: &str) -> bool {
    number(part, 4).is_some_and(|n| (2020..2100).contains(&n))
}

fn is_month(part: &str) -> bool {
    number(part, 2).is_some_and(|n| (1..=12).contains(&n))
}

fn is_day(part: &str) -> bool {
    number(part, 2).is_some_and(|n| (1..=31).contains(&n))
}
