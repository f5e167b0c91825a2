//! What is known of the attributes: which have one value at a time, and how a fact is put in words.

use super::words::KIN_SINGLE;

/// Attributes with one value at a time.
const SINGLE: &[&str] = &[
    "lives_in",
    "works_at",
    "works_as",
    "is_named",
    "age",
    "birthday",
    "birth_year",
    "born_in",
    "married_to",
    "engaged_to",
    "diet",
    "email",
    "phone",
    "car",
    "bike",
    "bicycle",
    "motorbike",
    "motorcycle",
    "truck",
    "van",
    "boat",
    "laptop",
    "computer",
    "camera",
    "guitar",
    "piano",
    "watch",
    "scooter",
    "phone_model",
];

/// Whether an attribute has one value at a time, so that a new one ends the old.
pub fn is_single(relation: &str) -> bool {
    SINGLE.contains(&relation)
        || relation.starts_with("favourite_")
        || relation.starts_with("number_of_")
        || relation.ends_with("_date")
        || relation.ends_with("_email")
        || (relation.ends_with("_phone") && relation != "has_phone")
        || relation.strip_prefix("has_").is_some_and(|kin| KIN_SINGLE.contains(&kin))
}

/// A fact in words.
pub fn sentence(subject: &str, relation: &str, object: &str) -> String {
    match relation {
        "age" => format!("{subject} is {object} years old."),
        "diet" => format!("{subject} is {object}."),
        "is_named" => format!("{subject} is named {object}."),
        "is_a" => format!("{subject} is a {object}."),
        "works_as" => format!("{subject} works as {object}."),
        "born_in" => format!("{subject} was born in {object}."),
        "birth_year" => format!("{subject} was born in {object}."),
        "married_to" | "engaged_to" | "allergic_to" => format!("{subject} is {} {object}.", relation.replace('_', " ")),
        "birthday" | "email" | "phone" => format!("{subject}'s {relation} is {object}."),
        _ if relation.ends_with("_email") || relation.ends_with("_phone") => {
            format!("{subject}'s {} is {object}.", relation.replace('_', " "))
        }
        _ => {
            let words = relation.replace('_', " ");
            if let Some(kin) = words.strip_prefix("has ").filter(|kin| *kin != "pet") {
                format!("{subject}'s {kin} is {object}.")
            } else if let Some(event) = words.strip_suffix(" date") {
                format!("{subject}'s {event} is on {object}.")
            } else if words.starts_with("favourite ") || SINGLE.contains(&relation) && !relation.contains('_') {
                format!("{subject}'s {words} is {object}.")
            } else if let Some(what) = words.strip_prefix("number of ") {
                format!("{subject} has {object} {what}.")
            } else {
                format!("{subject} {words} {object}.")
            }
        }
    }
}
