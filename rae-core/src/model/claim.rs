//! A relation that a memory states: who, how, whom. It is all that the knowledge graph is made of.

use crate::{
    error::{Error, Result},
    limits::{CLAIM_NAME_CHARS_MAX, CLAIM_RELATION_CHARS_MAX, CLAIM_WEIGHT_MAX},
};
use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization;
use unicode_properties::{GeneralCategory, GeneralCategoryGroup, UnicodeGeneralCategory};

/// Who speaks where nobody says who; in a session, this "of" the session.
pub(crate) const NAMELESS: &str = "user";

/// A relation in three parts: "Ada", "works_at", "Acme". Made by [`Claim::new`], which checks it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Claim {
    /// What it is about, as the caller spells it.
    pub subject: String,
    /// How the two stand to each other, in lower case with underscores.
    pub relation: String,
    /// The other end, as the caller spells it.
    pub object: String,
    /// How strong the relation is, more than 0; 1 where nobody says.
    pub weight: f64,
}

impl Claim {
    /// Checks the parts. Names lose the white space at their ends; the relation is brought to lower case, with white space and
    /// hyphens as underscores, so that "Works at" is `works_at`.
    pub fn new(subject: &str, relation: &str, object: &str, weight: f64) -> Result<Self> {
        if !(weight > 0.0 && weight <= CLAIM_WEIGHT_MAX) {
            return Err(Error::invalid(format!("weight must be more than 0 and at most {CLAIM_WEIGHT_MAX}")));
        }
        Ok(Self {
            subject: check_name("subject", subject)?,
            relation: Self::relation_key(relation)?,
            object: check_name("object", object)?,
            weight,
        })
    }

    /// The name of an entity as it is compared: compatibility forms, case, invisible characters and runs of white space do not
    /// count. Accents and punctuation do: they tell names apart.
    pub fn name_key(name: &str) -> String {
        let mut out = String::with_capacity(name.len());
        let is_plain = name.is_ascii();
        for word in name.split_whitespace() {
            if !out.is_empty() {
                out.push(' ');
            }
            if is_plain { out.extend(word.chars().map(|c| c.to_ascii_lowercase())) } else { out.push_str(word) }
        }
        if is_plain {
            return out;
        }
        let visible = out.nfkc().filter(|c| c.general_category() != GeneralCategory::Format);
        // By way of upper case, which joins what lower case alone keeps apart ("ß" and "ss", "ς" and "σ").
        let lower = visible.flat_map(char::to_lowercase);
        let folded: String = lower.flat_map(char::to_uppercase).flat_map(char::to_lowercase).nfkc().collect();
        // Compatibility forms of signs can bring blanks of their own.
        folded.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// A relation as it is kept and compared; InvalidInput for what is no relation.
    pub fn relation_key(relation: &str) -> Result<String> {
        let folded = Self::name_key(relation);
        let mut key = String::with_capacity(folded.len());
        for part in folded.split(['_', '-', ' ']).filter(|part| !part.is_empty()) {
            if !key.is_empty() {
                key.push('_');
            }
            key.push_str(part);
        }
        let is_word =
            |c: char| c == '_' || c.is_alphanumeric() || c.general_category_group() == GeneralCategoryGroup::Mark;
        if !key.starts_with(char::is_alphabetic) || !key.chars().all(is_word) {
            let text = "relation must be a name of letters, digits and underscores, such as works_at";
            return Err(Error::invalid(text));
        }
        let length = key.chars().count();
        if length > CLAIM_RELATION_CHARS_MAX {
            let text = format!("relation has {length} characters; at most {CLAIM_RELATION_CHARS_MAX} are allowed");
            return Err(Error::invalid(text));
        }
        Ok(key)
    }

    /// What claims about the same subject and relation share: the key under which stores find them.
    pub fn key(&self) -> [u8; 16] {
        Self::key_of(&self.subject, &self.relation)
    }

    /// The [`key`](Self::key) of claims with this subject and this relation, which is one of [`Claim::relation_key`].
    pub fn key_of(subject: &str, relation: &str) -> [u8; 16] {
        let subject = Self::name_key(subject);
        let mut hash = blake3::Hasher::new();
        // The length keeps two pairs of texts from reading the same.
        hash.update(&(subject.len() as u64).to_le_bytes());
        hash.update(subject.as_bytes());
        hash.update(relation.as_bytes());
        let mut key = [0; 16];
        hash.finalize_xof().fill(&mut key);
        key
    }

    /// The claim in words: "Ada works at Acme".
    pub fn sentence(&self) -> String {
        format!("{} {} {}", self.subject, self.relation.replace('_', " "), self.object)
    }

    /// Takes in the same claim said again: the greater weight stays.
    pub fn absorb(&mut self, other: &Claim) {
        self.weight = self.weight.max(other.weight);
    }
}

fn check_name(what: &str, name: &str) -> Result<String> {
    let name = name.trim();
    if name.chars().any(char::is_control) {
        return Err(Error::invalid(format!("{what} must not contain control characters")));
    }
    if Claim::name_key(name).is_empty() {
        return Err(Error::invalid(format!("{what} must not be empty")));
    }
    let length = name.chars().count();
    if length > CLAIM_NAME_CHARS_MAX {
        let text = format!("{what} has {length} characters; at most {CLAIM_NAME_CHARS_MAX} are allowed");
        return Err(Error::invalid(text));
    }
    Ok(name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn claim(subject: &str, relation: &str, object: &str) -> Result<Claim> {
        Claim::new(subject, relation, object, 1.0)
    }

    #[test]
    fn case_width_spacing_and_invisible_characters_of_a_name_do_not_count() {
        for (a, b) in [
            ("Ada Lovelace", " ADA\u{a0} \tlovelace"),
            ("Straße", "STRASSE"),
            ("ΟΔΟΣ", "οδος"),
            ("ＡＣＭＥ", "acme"),
            ("Zoe\u{308}", "ZO\u{cb}"),
            ("so\u{ad}ft", "soft"),
        ] {
            assert_eq!(Claim::name_key(a), Claim::name_key(b), "{a} / {b}");
        }
        for (a, b) in [("C", "C#"), ("resume", "résumé"), ("A. B.", "A B"), ("日本", "日木")] {
            assert_ne!(Claim::name_key(a), Claim::name_key(b), "{a} / {b}");
        }
    }

    #[test]
    fn folding_any_one_character_twice_changes_nothing() {
        for c in '\0'..=char::MAX {
            let once = Claim::name_key(&format!("a{c}b"));
            assert_eq!(Claim::name_key(&once), once, "{c:?}");
        }
    }

    #[test]
    fn a_relation_is_kept_in_lower_case_with_underscores() {
        for text in ["works_at", "Works at", " works-at ", "WORKS__AT", "works \t at"] {
            assert_eq!(claim("Ada", text, "Acme").unwrap().relation, "works_at", "{text}");
        }
        assert_eq!(claim("Ada", "arbeitet für", "Acme").unwrap().relation, "arbeitet_für");
        for text in ["", " ", "_", "2x", "a.b", "a/b", "works at!", "a\0b", &"r".repeat(65)] {
            assert!(claim("Ada", text, "Acme").is_err(), "{text}");
        }
        assert!(claim("Ada", &"r".repeat(64), "Acme").is_ok());
    }

    #[test]
    fn names_are_trimmed_bounded_and_without_control_characters() {
        let long = "é".repeat(200);
        let kept = claim(" Ada  L. ", "knows", &format!("\t{long} ")).unwrap();
        assert_eq!((kept.subject.as_str(), kept.object.as_str()), ("Ada  L.", long.as_str()));
        for name in ["", " ", "\u{200b}", "a\nb", "a\0", &"é".repeat(201)] {
            assert!(claim(name, "knows", "Bob").is_err(), "{name:?}");
            assert!(claim("Ada", "knows", name).is_err(), "{name:?}");
        }
    }

    #[test]
    fn a_weight_is_more_than_nothing_and_bounded() {
        for weight in [0.0, -1.0, 1_000.1, f64::NAN, f64::INFINITY] {
            assert!(Claim::new("Ada", "knows", "Bob", weight).is_err(), "{weight}");
        }
        for weight in [f64::MIN_POSITIVE, 1.0, 1_000.0] {
            assert_eq!(Claim::new("Ada", "knows", "Bob", weight).unwrap().weight, weight);
        }
    }

    #[test]
    fn the_key_is_of_subject_and_relation() {
        let key = |s: &str, r: &str, o: &str| claim(s, r, o).unwrap().key();
        assert_eq!(key("Ada", "works_at", "Acme"), key(" ADA ", "Works at", "Initech"));
        assert_ne!(key("Ada", "works_at", "Acme"), key("Ada", "owns", "Acme"));
        assert_ne!(key("Ada", "works_at", "Acme"), key("Bob", "works_at", "Acme"));
        assert_ne!(key("ab", "c", "x"), key("a", "bc", "x"));
        // Stored in every store: it never changes.
        let hex: String = key("Ada", "works_at", "Acme").iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(hex, "9d0b4490cca9a9fcf601f057ac2846ad");
    }

    #[test]
    fn the_sentence_has_blanks_for_underscores() {
        assert_eq!(claim("Ada", "works_at", "Acme").unwrap().sentence(), "Ada works at Acme");
    }

    proptest! {
        #[test]
        fn folding_a_name_twice_changes_nothing(name in "\\PC{0,24}|[a-zA-Z \u{300}\u{200d}\u{345}ΣςßİıK-]{0,24}") {
            let once = Claim::name_key(&name);
            prop_assert_eq!(Claim::name_key(&once), once.clone());
            prop_assert!(!once.starts_with(' ') && !once.ends_with(' ') && !once.contains("  "));
        }

        #[test]
        fn a_checked_claim_passes_the_check_again(s in "\\PC{1,8}", r in "[a-zA-Z][a-zA-Z0-9 _-]{0,12}", o in "\\PC{1,8}") {
            if let Ok(once) = Claim::new(&s, &r, &o, 2.5) {
                prop_assert_eq!(Claim::new(&once.subject, &once.relation, &once.object, once.weight).unwrap(), once);
            }
        }
    }
}
