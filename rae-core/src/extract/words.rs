//! The word lists of the triple patterns. English; docs/ml.md shows them to users.

/// A verb with its preposition (alternatives by `|`), its relation, and how sure a match is. Longer patterns stand before shorter
/// ones that begin like them.
pub(super) const VERBS: &[Verb] = &[
    ("works|worked|working at|for", "works_at", 0.9),
    ("is|was|are|were employed at|by", "works_at", 0.9),
    ("works|worked as", "works_as", 0.85),
    ("lives|lived|live|resides|resided in|at", "lives_in", 0.9),
    ("is|was born in|on|at", "born_in", 0.9),
    ("is|was|are|were located|based in|at", "located_in", 0.85),
    ("is|was|got married to", "married_to", 0.9),
    ("married", "married_to", 0.8),
    ("is|was|were founded|created|written|built|designed|made by", "created_by", 0.85),
    ("is|was|are called|named", "named", 0.85),
    ("is|are|was|were part of", "part_of", 0.85),
    ("founded|created|wrote|built|designed|invented", "created", 0.8),
    ("owns|owned|own", "owns", 0.8),
    ("manages|managed|leads|led|runs", "manages", 0.75),
    ("reports|reported to", "reports_to", 0.9),
    ("belongs|belonged|belong to", "belongs_to", 0.9),
    ("depends|depended|depend on|upon", "depends_on", 0.9),
    ("consists|consisted of", "contains", 0.85),
    ("contains|contained|contain|includes|included|include", "contains", 0.8),
    ("causes|caused|cause", "causes", 0.8),
    ("studied|studies|study at", "studied_at", 0.85),
    ("studied|studies|study", "studied", 0.75),
    ("moved to", "moved_to", 0.85),
    ("travelled|traveled|went to", "visited", 0.75),
    ("visited|visits", "visited", 0.85),
    ("joined", "joined", 0.8),
    ("left", "left", 0.5),
    ("met|meets", "met", 0.75),
    ("knows|knew|know", "knows", 0.7),
    ("speaks|spoke|speak", "speaks", 0.75),
    ("likes|liked|like|loves|loved|love|enjoys|enjoyed|enjoy", "likes", 0.75),
    ("prefers|preferred|prefer", "prefers", 0.85),
    ("dislikes|disliked|hates|hated|hate", "dislikes", 0.85),
    ("uses|used|use", "uses", 0.7),
    ("bought|buys", "bought", 0.8),
    ("plays|played|play", "plays", 0.7),
    ("teaches|taught|teach", "teaches", 0.8),
    ("is|are|was|were|am", "is", 0.6),
    ("has|have|had", "has", 0.6),
];

/// The words, the relation, and how sure a match is.
pub(super) type Verb = (&'static str, &'static str, f64);

/// A sentence with one of these is no statement of what is.
pub(crate) const DENIALS: &[&str] =
    &["not", "never", "no", "nobody", "none", "nothing", "neither", "nor", "cannot", "without"];
pub(crate) const SUPPOSES: &[&str] = &[
    "if", "unless", "whether", "maybe", "perhaps", "might", "may", "could", "would", "should", "suppose", "probably",
    "possibly", "wish", "hope", "hopes", "imagine",
];

/// Where a subject begins or an object ends.
pub(super) const BREAKS: &[&str] = &[
    "and", "but", "or", "because", "which", "who", "whom", "whose", "that", "when", "while", "since", "although",
    "though", "after", "before", "where", "so", "as", "then", "until",
];

/// What may stand before a subject.
pub(super) const LEADING: &[&str] = &[
    "the",
    "a",
    "an",
    "however",
    "also",
    "then",
    "now",
    "today",
    "yesterday",
    "later",
    "currently",
    "recently",
    "well",
    "yes",
    "oh",
    "so",
];

/// Subjects that only their surroundings name.
pub(super) const PRONOUNS: &[&str] = &["i", "he", "she", "it", "they", "we", "you", "this", "that", "these", "those"];
