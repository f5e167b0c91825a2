//! The word lists of the contradiction check. English; docs/concepts/audit.md shows them to users.

use super::claim::Slots;

/// Values that a cue takes.
const NAME: Slots = Slots { name: true, number: false, date: false };
const NUMBER: Slots = Slots { name: false, number: true, date: false };
const TIME: Slots = Slots { name: false, number: true, date: true };
const PLACE: Slots = Slots { name: true, number: true, date: false };
pub(super) const ANY: Slots = Slots { name: true, number: true, date: true };

/// Two words, one of each list, after which comes a value that only one can be.
pub(super) const CUES: &[(&[&str], &[&str], Slots)] = &[
    (&["lives", "live", "resides", "reside", "based", "located"], &["in", "at"], PLACE),
    (&["works", "work"], &["at", "for"], NAME),
    (&["employed"], &["at", "by"], NAME),
    (&["born", "died", "founded"], &["in", "on"], ANY),
    (&["married"], &["to"], NAME),
    (&["starts", "begins", "ends", "opens", "closes", "expires", "due"], &["at", "on", "by"], TIME),
    (&["is"], &["in", "at", "on"], ANY),
    (&["is"], &["called", "named"], PLACE),
];

/// One word after which comes a number that only one can be.
pub(super) const MEASURES: &[&str] = &["costs", "cost", "weighs", "weigh", "measures"];
pub(super) const MEASURE: Slots = NUMBER;

/// What has one value: "the ... is VALUE". The first ones are compared by letters and digits alone.
pub(super) const CODES: &[&str] =
    &["code", "number", "phone", "telephone", "password", "pin", "id", "iban", "plate", "account", "username", "login"];
pub(super) const ATTRIBUTES: &[&str] = &[
    "name",
    "surname",
    "email",
    "e-mail",
    "mail",
    "address",
    "url",
    "website",
    "host",
    "port",
    "version",
    "birthday",
    "birthdate",
    "age",
    "height",
    "weight",
    "size",
    "length",
    "width",
    "price",
    "cost",
    "salary",
    "budget",
    "rent",
    "date",
    "deadline",
    "capital",
    "population",
    "ceo",
    "boss",
    "manager",
    "owner",
    "president",
    "director",
    "mayor",
    "employer",
    "headquarters",
    "hometown",
    "birthplace",
    "wife",
    "husband",
    "spouse",
    "timezone",
    "title",
];

/// Words with which a sentence says less than it seems to, or speaks of something that only its surroundings name.
pub(super) const VAGUE: &[&str] = &[
    "he",
    "she",
    "it",
    "it's",
    "they",
    "him",
    "her",
    "them",
    "his",
    "hers",
    "its",
    "their",
    "theirs",
    "this",
    "that",
    "these",
    "those",
    "here",
    "there",
    "now",
    "today",
    "tonight",
    "tomorrow",
    "yesterday",
    "sometimes",
    "often",
    "usually",
    "mostly",
    "maybe",
    "perhaps",
    "possibly",
    "probably",
    "about",
    "around",
    "approximately",
    "might",
    "may",
    "could",
    "would",
    "either",
    "neither",
    "another",
    "other",
    "also",
    "too",
    "some",
    "any",
    "each",
    "every",
    "one",
    "if",
    "when",
    "while",
    "unless",
    "or",
    "except",
    "between",
    "given",
    "so",
    "then",
    "thus",
    "therefore",
];

/// Words that make who speaks a part of what is said.
pub(super) const PERSONAL: &[&str] = &[
    "i", "i'm", "i've", "me", "my", "mine", "myself", "we", "we're", "us", "our", "ours", "you", "you're", "your",
    "yours",
];

/// Behind a value, these make it a list, a range or a part of something.
pub(super) const GOES_ON: &[&str] =
    &["and", "or", "&", "to", "through", "till", "until", "as", "plus", "of", "+", "-", "–"];

/// Inside a name: "Rio de Janeiro".
pub(super) const JOINERS: &[&str] =
    &["de", "da", "do", "dos", "del", "di", "la", "le", "of", "the", "van", "von", "der", "den"];

/// Behind "not" it denies less than the sentence.
pub(super) const SOFTENS: &[&str] = &[
    "only",
    "just",
    "merely",
    "yet",
    "until",
    "necessarily",
    "always",
    "all",
    "every",
    "quite",
    "really",
    "so",
    "very",
];

/// Denials that cannot be taken out word by word.
pub(super) const DENIES: &[&str] = &["no", "none", "nobody", "nothing", "nowhere", "nor", "without", "hardly", "ain't"];

/// Names of months and days; only their first three letters count.
pub(super) const CALENDAR: &[&str] = &[
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
    "jan",
    "feb",
    "mar",
    "apr",
    "jun",
    "jul",
    "aug",
    "sep",
    "sept",
    "oct",
    "nov",
    "dec",
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
    "sunday",
    "mon",
    "tue",
    "tues",
    "wed",
    "thu",
    "thur",
    "thurs",
    "fri",
    "sat",
    "sun",
];
