//! Which names mean one thing: likeness of spelling and, where vectors are given, of meaning; then clusters.

use std::collections::BTreeSet;

/// Share of the vectors in a likeness of meaning.
const MEANING: f64 = 0.6;
/// Likeness of an abbreviation with what it abbreviates.
const ABBREVIATED: f64 = 0.9;
/// Scale of the common start in Jaro-Winkler, and how many characters of it count.
const PREFIX_SCALE: f64 = 0.1;
const PREFIX_MAX: usize = 4;
/// Characters of a name that Jaro-Winkler looks at: its work grows with their square.
const LETTERS_MAX: usize = 64;

/// Names that mean one thing.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Cluster {
    /// The name to call it by: the longest, of equal ones the first.
    pub canonical: String,
    /// Places of the members in the list that was given, ascending.
    pub members: Vec<usize>,
    /// The least likeness of two members; 1 for one alone.
    pub score: f64,
}

/// Clusters of `names`, in the order of their first members. Within one, every two names are at least `threshold` alike (complete
/// linkage): a chain of small steps does not join what is far apart. `vectors` are unit vectors, one a name, or none at all; a name
/// without one is compared by spelling alone.
pub fn resolve_entities(names: &[&str], vectors: &[Option<Vec<f32>>], threshold: f64) -> Vec<Cluster> {
    let folded: Vec<Folded> = names.iter().map(|name| Folded::of(name)).collect();
    let vector = |i: usize| vectors.get(i).and_then(Option::as_deref);
    let count = names.len();
    let mut alike = vec![1.0; count * count];
    let mut pairs = Vec::new();
    for (i, a) in folded.iter().enumerate() {
        for (j, b) in folded.iter().enumerate().skip(i + 1) {
            let likeness = meet(a, b, vector(i), vector(j));
            if let Some(place) = alike.get_mut(place(count, i, j)) {
                *place = likeness;
            }
            if likeness >= threshold {
                pairs.push((likeness, i, j));
            }
        }
    }
    pairs.sort_by(|a, b| b.0.total_cmp(&a.0).then((a.1, a.2).cmp(&(b.1, b.2))));
    // The least likeness of two clusters, kept up to date: comparing their members at each pair would be work by the fourth power.
    let mut least = alike.clone();
    let mut clusters: Vec<BTreeSet<usize>> = (0..count).map(|i| BTreeSet::from([i])).collect();
    let mut of: Vec<usize> = (0..count).collect();
    for (_, i, j) in pairs {
        let (Some(&a), Some(&b)) = (of.get(i), of.get(j)) else { continue };
        if a == b || least.get(place(count, a, b)).is_none_or(|likeness| *likeness < threshold) {
            continue;
        }
        for other in (0..count).filter(|other| *other != a && *other != b) {
            let farther = least.get(place(count, b, other)).copied().unwrap_or(0.0);
            least
                .iter_mut()
                .skip(place(count, a, other))
                .take(1)
                .for_each(|likeness| *likeness = likeness.min(farther));
        }
        let moved = clusters.get_mut(b).map(std::mem::take).unwrap_or_default();
        moved.iter().for_each(|x| of.iter_mut().skip(*x).take(1).for_each(|place| *place = a));
        clusters.iter_mut().skip(a).take(1).for_each(|into| into.extend(moved.iter().copied()));
    }
    let likeness = |i: usize, j: usize| alike.get(place(count, i, j)).copied().unwrap_or(0.0);
    let mut out: Vec<Cluster> = clusters
        .iter()
        .filter(|members| !members.is_empty())
        .map(|members| {
            let least = |x: &usize| members.iter().filter(|y| *y > x).map(|y| likeness(*x, *y)).fold(1.0, f64::min);
            let mut canonical = "";
            for name in members.iter().filter_map(|i| names.get(*i)) {
                if name.chars().count() > canonical.chars().count() {
                    canonical = name;
                }
            }
            Cluster {
                canonical: canonical.to_owned(),
                members: members.iter().copied().collect(),
                score: members.iter().map(least).fold(1.0, f64::min),
            }
        })
        .collect();
    out.sort_by(|a, b| a.members.cmp(&b.members));
    out
}

/// Where the likeness of two stands in a table of `count` by `count`, of which the upper half is used.
fn place(count: usize, i: usize, j: usize) -> usize {
    i.min(j) * count + i.max(j)
}

/// How alike two names are spelled, from 0 to 1: 1 for the same letters and digits whatever their case and signs; 0.9 where one
/// abbreviates the other ("IBM", "J. Smith"); 0 where their numbers differ; else the likeness of Jaro and Winkler.
pub fn similarity(a: &str, b: &str) -> f64 {
    spelled(&Folded::of(a), &Folded::of(b))
}

fn meet(a: &Folded, b: &Folded, left: Option<&[f32]>, right: Option<&[f32]>) -> f64 {
    let spelling = spelled(a, b);
    let (Some(left), Some(right)) = (left, right) else { return spelling };
    // Models hold 2023 and 2024 for nearly the same.
    if a.digits != b.digits {
        return spelling;
    }
    let cosine: f64 = left.iter().zip(right).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum();
    let cosine = if cosine.is_finite() { cosine.clamp(0.0, 1.0) } else { 0.0 };
    spelling.max((1.0 - MEANING) * spelling + MEANING * cosine)
}

struct Folded {
    words: Vec<Vec<char>>,
    joined: Vec<char>,
    digits: String,
}

impl Folded {
    fn of(name: &str) -> Self {
        let mut words = Vec::new();
        // An apostrophe or a point does not end a word: "U.S.A." is one.
        let lower: String = name.to_lowercase().chars().filter(|c| !matches!(c, '\'' | '’' | '.')).collect();
        for word in lower.split(|c: char| !c.is_alphanumeric()).filter(|w| !w.is_empty()) {
            words.push(word.chars().collect::<Vec<char>>());
        }
        let joined: Vec<char> = words.concat();
        let digits = joined.iter().filter(|c| c.is_numeric()).collect();
        Self { words, joined, digits }
    }
}

fn spelled(a: &Folded, b: &Folded) -> f64 {
    if a.joined.is_empty() || b.joined.is_empty() {
        return 0.0;
    }
    if a.joined == b.joined {
        return 1.0;
    }
    if a.digits != b.digits {
        return 0.0;
    }
    let likeness = jaro_winkler(&a.joined, &b.joined);
    if abbreviates(a, b) || abbreviates(b, a) { likeness.max(ABBREVIATED) } else { likeness }
}

/// "IBM" for "International Business Machines"; "J. Smith" for "John Smith".
fn abbreviates(short: &Folded, long: &Folded) -> bool {
    let initials = long.words.iter().filter_map(|w| w.first());
    let is_acronym = || {
        let letters = short.words.first().map(Vec::as_slice).unwrap_or_default();
        short.words.len() == 1 && long.words.len() > 1 && letters.iter().eq(initials)
    };
    let is_initialed = || {
        let same = |s: &Vec<char>, l: &Vec<char>| s == l || (s.len() == 1 && s.first() == l.first());
        short.words.len() == long.words.len()
            && short.words.len() > 1
            && short.words.last() == long.words.last()
            && short.words.iter().zip(&long.words).all(|(s, l)| same(s, l))
    };
    is_acronym() || is_initialed()
}

/// Jaro's likeness with Winkler's credit for a common start.
fn jaro_winkler(a: &[char], b: &[char]) -> f64 {
    let (a, b) = (&a[..a.len().min(LETTERS_MAX)], &b[..b.len().min(LETTERS_MAX)]);
    let window = (a.len().max(b.len()) / 2).saturating_sub(1);
    let mut taken = vec![false; b.len()];
    let mut left = Vec::new();
    for (i, c) in a.iter().enumerate() {
        let (from, to) = (i.saturating_sub(window), (i + window + 1).min(b.len()));
        let free = (from..to).find(|&j| b.get(j) == Some(c) && taken.get(j) == Some(&false));
        if let Some(place) = free.and_then(|j| taken.get_mut(j)) {
            *place = true;
            left.push(*c);
        }
    }
    if left.is_empty() {
        return 0.0;
    }
    let right = b.iter().zip(&taken).filter(|(_, taken)| **taken).map(|(c, _)| c);
    let moved = left.iter().zip(right).filter(|(x, y)| x != y).count() as f64 / 2.0;
    let met = left.len() as f64;
    let jaro = (met / a.len() as f64 + met / b.len() as f64 + (met - moved) / met) / 3.0;
    let start = a.iter().zip(b).take(PREFIX_MAX).take_while(|(x, y)| x == y).count() as f64;
    jaro + start * PREFIX_SCALE * (1.0 - jaro)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn clusters(names: &[&str]) -> Vec<Vec<usize>> {
        resolve_entities(names, &[], 0.85).into_iter().map(|c| c.members).collect()
    }

    #[test]
    fn the_likeness_is_that_of_the_papers() {
        for (a, b, expected) in
            [("MARTHA", "MARHTA", 0.961_1), ("DIXON", "DICKSONX", 0.813_3), ("DWAYNE", "DUANE", 0.84)]
        {
            assert!((similarity(a, b) - expected).abs() < 1e-4, "{a} {b}: {}", similarity(a, b));
        }
        assert_eq!(similarity("Café-Bar", "café bar"), 1.0);
        assert_eq!(similarity("Report 2023", "Report 2024"), 0.0);
        assert_eq!(similarity("IBM", "International Business Machines"), 0.9);
        assert_eq!(similarity("U.S.A.", "USA"), 1.0);
        assert_eq!(similarity("", "x"), 0.0);
    }

    #[test]
    fn names_of_one_thing_come_together_and_others_stay_apart() {
        let names = [
            "John Smith",
            "IBM",
            "J. Smith",
            "PostgreSQL",
            "International Business Machines",
            "Postgres",
            "Mary Jones",
        ];
        assert_eq!(clusters(&names), [vec![0, 2], vec![1, 4], vec![3, 5], vec![6]]);
        assert_eq!(resolve_entities(&names, &[], 0.85)[1].canonical, "International Business Machines");
    }

    #[test]
    fn a_chain_does_not_join_its_ends() {
        // "J. Smith" may be either; the first pair in order takes it.
        assert_eq!(clusters(&["John Smith", "J. Smith", "Jacqueline Smith"]), [vec![0, 1], vec![2]]);
    }

    #[test]
    fn likeness_of_meaning_joins_what_spelling_does_not_but_never_numbers() {
        let unit = Some(vec![1.0, 0.0]);
        let vectors = [unit.clone(), unit.clone(), unit];
        let names = ["car", "automobile", "car 2"];
        assert_eq!(resolve_entities(&names, &vectors, 0.7)[0].members, [0, 1]);
        assert_eq!(resolve_entities(&names, &[], 0.7).len(), 3);
        let bad = [Some(vec![f32::NAN]), Some(vec![1.0]), None];
        assert_eq!(resolve_entities(&names, &bad, 0.7).len(), 3);
    }

    proptest! {
        #[test]
        fn every_name_is_in_one_cluster_and_likeness_is_bounded(names in prop::collection::vec("\\PC{0,12}|[ab]{0,3}", 0..12)) {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let all = resolve_entities(&names, &[], 0.8);
            let mut members: Vec<usize> = all.iter().flat_map(|c| c.members.clone()).collect();
            members.sort_unstable();
            prop_assert_eq!(members, (0..names.len()).collect::<Vec<_>>());
            for a in &names {
                for b in &names {
                    prop_assert!((0.0..=1.0 + 1e-9).contains(&similarity(a, b)));
                }
            }
        }
    }
}
