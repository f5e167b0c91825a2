//! The word lists of the facts. English; docs/concepts/facts.md shows them to users.

/// A clause behind one of these says when, why or of whom, and not that something is so.
pub(super) const SUBORDINATE: &[&str] = &[
    "when", "while", "who", "whom", "whose", "which", "that", "where", "before", "after", "until", "till", "whenever", "than",
    "how", "what",
];
/// Here a new statement may begin.
pub(super) const APART: &[&str] = &["and", "but", "so", "because", "though", "although", "or", "then", "plus", "since", "why"];
/// What is planned or wanted is not so yet.
pub(super) const FUTURE: &[&str] = &[
    "will", "shall", "want", "wants", "wanted", "plan", "plans", "planning", "planned", "hoping", "hoped", "trying", "tried",
    "try", "need", "needs", "wishes", "wished", "gonna", "wanna", "thinking", "considering", "almost", "dream", "dreamed",
    "dreaming", "must", "tend", "applied", "applying", "looking", "kidding", "joking", "pretend", "pretended", "seems", "seem",
];
/// A sentence with one of these gives the words of another, or something read or made up.
pub(super) const QUOTING: &[&str] = &[
    "said", "says", "say", "saying", "told", "tells", "asked", "asks", "mentioned", "mentions", "heard", "claims", "claimed",
    "thinks", "thought", "believes", "believed", "wrote", "quote", "quoted", "lyrics", "example", "instance", "e.g", "according", "apparently", "reportedly", "rumour", "rumor", "joke",
];

/// What may stand before a subject.
pub(super) const FILLERS: &[&str] = &[
    "well", "oh", "yeah", "yes", "yep", "hey", "hi", "hello", "so", "actually", "btw", "also", "too", "now", "currently",
    "recently", "today", "anyway", "honestly", "personally", "wow", "thanks", "sure", "ok", "okay", "fyi", "still", "by", "the",
    "way", "update", "note", "please", "remember", "for", "your", "information", "ps", "just", "finally",
];
/// What may stand between a subject and its verb.
pub(super) const ADVERBS: &[&str] = &[
    "really", "also", "just", "still", "currently", "always", "now", "actually", "absolutely", "totally", "recently", "both",
    "finally", "do", "truly", "already", "presently", "definitely", "originally", "especially", "usually", "mostly", "only",
    "even", "officially", "happily", "proudly", "so", "alone", "together",
];

/// What follows a predicate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Slot {
    /// Capital words, perhaps behind "the".
    Name,
    /// The same, or a year or date.
    Birth,
    /// What one likes.
    Taste,
    /// An occupation of the list.
    Job,
    /// What one works as, in at most four words.
    Role,
    /// A thing, in at most four words.
    Thing,
    /// Years of age, said to be such.
    Age,
    /// The same behind "turned", where a number is enough.
    Turned,
    /// A way to eat.
    Diet,
    /// A game or an instrument.
    Play,
    /// Substances one cannot bear.
    Allergy,
}

/// Whether a statement begins a state, may say when it began, or ends one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sense {
    /// It is so.
    Is,
    /// It became so.
    Became,
    /// It is so no longer.
    Ended,
}

/// Words after the subject (alternatives by `|`), the relation, what follows, the sense, and how sure a match is.
pub(super) type Predicate = (&'static str, &'static str, Slot, Sense, f64);

/// The predicates. Longer ones stand before those that begin like them.
pub(super) const PREDICATES: &[Predicate] = &[
    ("live|lives|reside|resides in", "lives_in", Slot::Name, Sense::Is, 0.9),
    ("am|is|are living|based in", "lives_in", Slot::Name, Sense::Is, 0.9),
    ("have|has lived in", "lives_in", Slot::Name, Sense::Is, 0.8),
    ("have|has been living in", "lives_in", Slot::Name, Sense::Is, 0.85),
    ("have|has moved|relocated to", "lives_in", Slot::Name, Sense::Became, 0.85),
    ("moved|relocated back to", "lives_in", Slot::Name, Sense::Became, 0.85),
    ("moved|relocated to", "lives_in", Slot::Name, Sense::Became, 0.85),
    ("moved out of", "lives_in", Slot::Name, Sense::Ended, 0.8),
    ("moved away from", "lives_in", Slot::Name, Sense::Ended, 0.8),
    ("am|is|are originally from", "comes_from", Slot::Name, Sense::Is, 0.9),
    ("am|is|are from", "comes_from", Slot::Name, Sense::Is, 0.85),
    ("come|comes from", "comes_from", Slot::Name, Sense::Is, 0.8),
    ("was born on|in", "born", Slot::Birth, Sense::Is, 0.9),
    ("am|is|are working at|for", "works_at", Slot::Name, Sense::Is, 0.9),
    ("am|is employed at|by", "works_at", Slot::Name, Sense::Is, 0.9),
    ("have|has been working at|for", "works_at", Slot::Name, Sense::Is, 0.85),
    ("work|works at|for", "works_at", Slot::Name, Sense::Is, 0.9),
    ("started working at|for", "works_at", Slot::Name, Sense::Became, 0.9),
    ("started at", "works_at", Slot::Name, Sense::Became, 0.7),
    ("started|got|took a job at|with", "works_at", Slot::Name, Sense::Became, 0.9),
    ("started|got|took a|my new job at|with", "works_at", Slot::Name, Sense::Became, 0.9),
    ("was|got laid off from", "works_at", Slot::Name, Sense::Ended, 0.9),
    ("was|got fired from", "works_at", Slot::Name, Sense::Ended, 0.9),
    ("stopped|quit working at|for", "works_at", Slot::Name, Sense::Ended, 0.9),
    ("quit|left my job at", "works_at", Slot::Name, Sense::Ended, 0.9),
    ("left|quit", "works_at", Slot::Name, Sense::Ended, 0.7),
    ("work|works|working as a|an", "works_as", Slot::Role, Sense::Is, 0.9),
    ("am|is working as a|an", "works_as", Slot::Role, Sense::Is, 0.9),
    ("started working as a|an", "works_as", Slot::Role, Sense::Became, 0.9),
    ("am|is a|an", "works_as", Slot::Job, Sense::Is, 0.85),
    ("am|is married to", "married_to", Slot::Name, Sense::Is, 0.9),
    ("got married to", "married_to", Slot::Name, Sense::Became, 0.9),
    ("am|is engaged to", "engaged_to", Slot::Name, Sense::Is, 0.9),
    ("got engaged to", "engaged_to", Slot::Name, Sense::Became, 0.9),
    ("am|is|got divorced from", "married_to", Slot::Name, Sense::Ended, 0.9),
    ("am|is allergic to", "allergic_to", Slot::Allergy, Sense::Is, 0.9),
    ("have|has an allergy to", "allergic_to", Slot::Allergy, Sense::Is, 0.85),
    ("am|is|became|went", "diet", Slot::Diet, Sense::Is, 0.9),
    ("am|is", "age", Slot::Age, Sense::Is, 0.9),
    ("turned", "age", Slot::Turned, Sense::Is, 0.9),
    ("love|loves|like|likes|enjoy|enjoys|adore|adores", "likes", Slot::Taste, Sense::Is, 0.75),
    ("am|is a big|huge|massive|great fan of", "likes", Slot::Taste, Sense::Is, 0.8),
    ("am|is into", "likes", Slot::Taste, Sense::Is, 0.7),
    ("am|is a fan of", "likes", Slot::Taste, Sense::Is, 0.8),
    ("am|is fond of", "likes", Slot::Taste, Sense::Is, 0.8),
    ("hate|hates|dislike|dislikes", "dislikes", Slot::Taste, Sense::Is, 0.8),
    ("prefer|prefers", "prefers", Slot::Taste, Sense::Is, 0.85),
    ("speak|speaks", "speaks", Slot::Name, Sense::Is, 0.8),
    ("own|owns a|an", "owns", Slot::Thing, Sense::Is, 0.85),
    ("play|plays the", "plays", Slot::Play, Sense::Is, 0.85),
    ("play|plays", "plays", Slot::Play, Sense::Is, 0.85),
    ("graduated from", "graduated_from", Slot::Name, Sense::Became, 0.85),
    ("study|studies at", "studies_at", Slot::Name, Sense::Is, 0.85),
    ("am|is studying at", "studies_at", Slot::Name, Sense::Is, 0.85),
    ("went|travelled|traveled to a|an", "went_to", Slot::Thing, Sense::Became, 0.75),
    ("attended a|an", "attended", Slot::Thing, Sense::Became, 0.8),
    ("joined a|an", "joined", Slot::Thing, Sense::Became, 0.8),
    ("volunteer|volunteers at|for a|an|the", "volunteers_at", Slot::Thing, Sense::Is, 0.8),
    ("have|has a collection of", "collects", Slot::Taste, Sense::Is, 0.8),
    ("collect|collects", "collects", Slot::Taste, Sense::Is, 0.8),
    ("am|is learning", "learns", Slot::Taste, Sense::Is, 0.75),
    ("visited|visits", "visited", Slot::Name, Sense::Became, 0.75),
    ("went|travelled|traveled|flew to", "visited", Slot::Name, Sense::Became, 0.7),
    ("have|has been to", "visited", Slot::Name, Sense::Became, 0.8),
];

/// Attributes with many values, of which a sentence may list several.
pub(super) const LISTED: &[&str] =
    &["likes", "dislikes", "prefers", "allergic_to", "plays", "speaks", "visited", "collects", "learns"];
/// Stand before an item of a list.
pub(super) const ITEM_STARTS: &[&str] = &["a", "an", "little", "some", "bit", "of", "fluent", "basic", "also", "especially", "even", "the"];
/// Stand before a name that is a person's.
pub(super) const TITLES: &[&str] = &["dr", "mr", "mrs", "ms", "prof", "professor", "doctor"];
/// Say that what comes corrects what was said.
pub(super) const CORRECTS: &[&str] = &["actually", "no", "sorry", "correction", "wait", "oops", "rather"];
/// Tell one address of mail or telephone from another.
pub(super) const ADDRESS_KINDS: &[&str] =
    &["work", "business", "office", "private", "personal", "home", "school", "second", "secondary", "other", "old"];

/// Relatives and others one "has".
pub(super) const KIN: &[&str] = &[
    "mother", "mom", "mum", "father", "dad", "sister", "brother", "son", "daughter", "wife", "husband", "partner", "fiance",
    "fiancee", "fiancé", "fiancée", "girlfriend", "boyfriend", "friend", "uncle", "aunt", "cousin", "nephew", "niece", "grandma",
    "grandmother", "grandpa", "grandfather", "granddaughter", "grandson", "boss", "manager", "coworker", "colleague",
    "roommate", "flatmate", "neighbor", "neighbour", "kid", "child", "baby", "stepson", "stepdaughter", "teacher", "therapist",
    "doctor", "dentist", "coach", "mentor",
];
/// The same of which there are several.
pub(super) const KINS: &[&str] =
    &["sisters", "brothers", "siblings", "sons", "daughters", "kids", "children", "grandchildren", "cousins"];
/// Those of whom one has one at a time.
pub(super) const KIN_SINGLE: &[&str] = &["mother", "father", "wife", "husband", "fiance", "boss", "manager"];
pub(super) const PETS: &[&str] = &[
    "dog", "puppy", "pup", "cat", "kitten", "kitty", "hamster", "rabbit", "bunny", "parrot", "turtle", "tortoise", "goldfish",
    "horse", "guinea pig", "snake", "lizard", "ferret", "gecko", "pet",
];
/// Words that may stand before a relative or a pet.
pub(super) const QUALITIES: &[&str] = &[
    "little", "big", "older", "younger", "elder", "oldest", "youngest", "best", "new", "old", "dear", "good", "close", "lovely",
    "beautiful", "cute", "adorable", "sweet", "late", "golden", "black", "white", "brown", "small", "young", "rescue", "twin",
    "amazing", "wonderful", "precious", "furry", "two-year-old",
];
/// Occupations by which a person is known.
pub(super) const JOBS: &[&str] = &[
    "accountant", "actor", "actress", "analyst", "architect", "artist", "attorney", "author", "baker", "barista", "bartender",
    "biologist", "carpenter", "chef", "chemist", "coach", "consultant", "cook", "counselor", "counsellor", "curator", "dancer",
    "dentist", "designer", "developer", "director", "doctor", "driver", "economist", "editor", "electrician", "engineer",
    "farmer", "firefighter", "florist", "gardener", "geologist", "hairdresser", "historian", "illustrator", "instructor",
    "interpreter", "journalist", "judge", "lawyer", "lecturer", "librarian", "manager", "mathematician", "mechanic", "midwife",
    "musician", "nurse", "nutritionist", "optician", "painter", "paralegal", "paramedic", "pharmacist", "photographer",
    "physicist", "physiotherapist", "pianist", "pilot", "plumber", "poet", "police officer", "producer", "professor",
    "programmer", "psychiatrist", "psychologist", "realtor", "receptionist", "researcher", "sailor", "scientist", "sculptor",
    "secretary", "singer", "soldier", "statistician", "surgeon", "tailor", "teacher", "technician", "therapist",
    "translator", "tutor", "veterinarian", "vet", "violinist", "waiter", "waitress", "welder", "writer",
];
pub(super) const DIETS: &[&str] = &["vegetarian", "vegan", "pescatarian", "pescetarian"];
pub(super) const PLAYS: &[&str] = &[
    "piano", "guitar", "violin", "cello", "viola", "flute", "clarinet", "drums", "trumpet", "saxophone", "harp", "ukulele",
    "bass", "banjo", "accordion", "chess", "tennis", "football", "soccer", "basketball", "baseball", "volleyball", "golf",
    "hockey", "cricket", "rugby", "badminton", "squash", "handball", "poker", "bridge", "pickleball",
];
pub(super) const ALLERGENS: &[&str] = &[
    "peanuts", "nuts", "gluten", "dairy", "milk", "lactose", "eggs", "shellfish", "fish", "soy", "wheat", "pollen", "cats",
    "dogs", "dust", "penicillin", "latex", "bees", "strawberries", "shrimp", "seafood", "aspirin", "animals", "reptiles", "fur",
    "cockroaches", "grass", "kiwi", "tomatoes", "sesame", "mold", "almonds", "hazelnuts", "walnuts", "ibuprofen", "wool",
];
/// Things whose make is told: "my car is a Volvo".
pub(super) const THINGS: &[&str] = &[
    "car", "bike", "bicycle", "motorbike", "motorcycle", "truck", "van", "boat", "phone", "laptop", "computer", "camera",
    "guitar", "piano", "watch", "scooter",
];
/// What happens on a day.
pub(super) const EVENTS: &[&str] = &[
    "wedding", "appointment", "exam", "interview", "flight", "surgery", "graduation", "deadline", "anniversary", "checkup",
    "operation", "recital", "marathon", "defense", "defence", "audition",
];
/// "My favourite part" is one of what is spoken of, not of all.
pub(super) const NO_FAVOURITES: &[&str] = &[
    "part", "thing", "things", "one", "ones", "memory", "memories", "moment", "moments", "way", "time", "times", "person",
    "aspect", "photo", "picture", "line", "quote", "scene", "piece", "shot", "pic", "bit", "among", "of",
];
/// Begin no thing that is liked, and no value of a favourite: what they mean stands elsewhere.
pub(super) const VAGUE: &[&str] = &[
    "it", "this", "that", "these", "those", "you", "your", "yours", "him", "her", "his", "hers", "them", "their", "theirs",
    "its", "us", "me", "my", "our", "mine", "ours", "one", "ones", "everything", "something", "anything", "nothing", "everyone",
    "someone", "all", "some", "such", "the", "a", "an", "how", "what", "when", "why", "being", "seeing", "hearing", "here",
    "there", "both", "each", "every", "any", "another", "other", "not", "no", "definitely", "probably", "always", "still",
    "actually", "also", "just", "so", "very", "too", "more", "most", "to", "in", "on", "at", "by", "from", "with", "about",
    "since", "getting", "having", "knowing", "looking", "going", "doing",
    "spending",
];
/// End what is liked.
pub(super) const TASTE_ENDS: &[&str] = &[
    "with", "for", "in", "on", "at", "during", "over", "to", "from", "about", "more", "most", "too", "very", "so", "it", "this",
    "that", "these", "those", "you", "your", "his", "her", "their", "my", "our", "its", "myself", "lately", "especially", "these",
    "every", "lot", "much", "best", "well", "by", "through", "rather", "instead", "a", "the", "are", "is", "am", "i", "we", "they",
    "he", "she", "them", "him", "me", "us", "again", "together", "there", "here", "now", "just", "cause", "cuz", "'cause", "up",
    "out", "into", "nowadays", "lots", "all", "check", "thanks", "though", "when", "like", "not",
];
/// What "the" may stand before in something liked at any time.
pub(super) const KNOWN_THINGS: &[&str] =
    &["beach", "ocean", "sea", "outdoors", "mountains", "rain", "snow", "countryside", "theatre", "theater", "opera", "sun"];
/// Capital words that name nobody and no place.
pub(super) const NO_NAMES: &[&str] = &[
    "i", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday", "january", "february", "march", "april",
    "june", "july", "august", "september", "october", "november", "december", "christmas", "easter", "thanksgiving", "halloween",
    "the", "a", "an", "it", "this", "that", "these", "those", "he", "she", "they", "we", "you", "my", "our", "your", "his", "her",
    "their", "its", "who", "what", "where", "when", "why", "how", "everyone", "everybody", "someone", "somebody", "nobody",
    "anyone", "people", "kids", "there", "here", "one", "none", "all", "some", "most", "many", "life", "love", "work", "home",
    "family", "nature", "music", "art", "thanks", "wow", "yes", "no", "not", "now", "and", "but", "so", "if", "or", "mom", "dad",
    "mum", "baby", "god", "ai", "ok", "nothing", "something", "everything", "anything", "just", "always", "never",
    "looks", "sounds", "hope", "glad", "happy", "great", "good", "nice", "day", "time", "today", "tomorrow", "yesterday", "mine",
    "me", "him", "them", "us", "at", "in", "on", "from", "to", "with", "hey", "hi", "hello", "dogs", "cats", "friends",
];
/// What people, languages and breeds are called: "my wife is French" gives no name. Left out is what is a first name as well.
pub(super) const PEOPLES: &[&str] = &[
    "afghan", "african", "albanian", "algerian", "american", "arab", "arabic", "argentine", "argentinian", "armenian", "asian",
    "australian", "austrian", "bangladeshi", "basque", "belarusian", "belgian", "bengali", "bosnian", "brazilian", "british",
    "buddhist", "bulgarian", "canadian", "cantonese", "catalan", "catholic", "chilean", "chinese", "colombian", "croatian", "cuban",
    "czech", "danish", "dutch", "egyptian", "english", "estonian", "ethiopian", "european", "farsi", "filipina", "filipino",
    "finnish", "flemish", "french", "georgian", "german", "ghanaian", "greek", "hebrew", "hindi", "hindu", "hungarian",
    "icelandic", "indian", "indonesian", "iranian", "iraqi", "irish", "israeli", "italian", "jamaican", "japanese", "jewish",
    "kenyan", "korean", "kurdish", "latina", "latino", "latvian", "lebanese", "lithuanian", "macedonian", "malay", "malaysian",
    "maltese", "mandarin", "mexican", "mongolian", "moroccan", "mormon", "muslim", "nepali", "nigerian", "norwegian",
    "pakistani", "palestinian", "persian", "peruvian", "polish", "portuguese", "protestant", "punjabi", "romanian", "russian",
    "scottish", "serbian", "siamese", "slovak", "slovenian", "spanish", "swahili", "swedish", "swiss", "syrian", "taiwanese",
    "tamil", "thai", "tunisian", "turkish", "ukrainian", "urdu", "venezuelan", "vietnamese", "welsh", "yiddish",
];
/// Small words inside a name: "Bay of Fundy".
pub(super) const NAME_JOINERS: &[&str] = &["of", "the", "de", "del", "la", "der", "van", "von", "da", "al", "du", "st"];
/// What may follow a name or a noun that is whole.
pub(super) const FOLLOWERS: &[&str] = &[
    "last", "yesterday", "today", "tomorrow", "this", "next", "in", "on", "at", "with", "for", "to", "as", "since", "two",
    "three", "four", "five", "six", "a", "an", "again", "now", "too", "these", "right", "from", "during", "about", "over",
    "years", "many", "by", "ago", "once", "twice", "recently", "anymore", "any", "longer", "full-time", "part-time", "currently",
    "several", "some", "every", "lately", "most", "back", "together", "near", "is", "was", "just", "already", "permanently", "alone",
];
/// Say how good somebody is at something, not that it is an occupation.
pub(super) const NO_JOB_QUALITIES: &[&str] =
    &["good", "great", "bad", "terrible", "huge", "big", "natural", "decent", "better", "fellow", "true", "real", "born", "bit"];
/// What one does for its own sake.
pub(super) const ACTIVITIES: &[&str] = &[
    "painting", "running", "hiking", "camping", "swimming", "reading", "writing", "cooking", "baking", "dancing", "singing",
    "gardening", "skiing", "surfing", "cycling", "biking", "fishing", "climbing", "gaming", "drawing", "sewing", "knitting",
    "travelling", "traveling", "volunteering", "sailing", "shopping",
];
