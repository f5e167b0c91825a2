//! Places that are known by name, and how a clause shows that something is a place.
//!
//! One moves to Slack, to Linux and to another team as well as to Oslo. What is not clearly a place is none.

use super::{
    clause::{Clause, Word},
    words::{KIN, KINS},
};

/// Countries, states and large or often named cities. Left out is what names a well-known product too.
const KNOWN: &str = "\
afghanistan|albania|algeria|andorra|angola|argentina|armenia|australia|austria|azerbaijan|bahrain|bangladesh|barbados|belarus|belgium|\
belize|bolivia|bosnia|botswana|brazil|bulgaria|cambodia|cameroon|canada|chile|china|colombia|costa rica|croatia|cyprus|\
czech republic|czechia|denmark|dominican republic|ecuador|egypt|el salvador|england|estonia|ethiopia|fiji|finland|france|germany|ghana|\
greece|greenland|guatemala|honduras|hungary|iceland|india|indonesia|iran|iraq|ireland|israel|italy|ivory coast|jamaica|japan|\
kazakhstan|kenya|kosovo|kuwait|kyrgyzstan|laos|latvia|lebanon|liechtenstein|lithuania|luxembourg|madagascar|malaysia|maldives|malta|\
mauritius|mexico|moldova|monaco|mongolia|montenegro|morocco|mozambique|myanmar|namibia|nepal|netherlands|new zealand|nicaragua|\
nigeria|north macedonia|northern ireland|norway|oman|pakistan|panama|paraguay|peru|philippines|poland|portugal|puerto rico|qatar|romania|russia|rwanda|\
saudi arabia|scotland|senegal|serbia|singapore|slovakia|slovenia|somalia|south africa|south korea|spain|sri lanka|sudan|sweden|\
switzerland|syria|taiwan|tanzania|thailand|tunisia|turkey|uganda|uk|ukraine|united arab emirates|united kingdom|united states|uruguay|\
usa|uzbekistan|venezuela|vietnam|wales|yemen|zambia|zimbabwe|\
alabama|alaska|arizona|arkansas|california|colorado|connecticut|delaware|florida|hawaii|idaho|illinois|indiana|iowa|kansas|kentucky|\
louisiana|maine|maryland|massachusetts|michigan|minnesota|mississippi|missouri|montana|nebraska|nevada|new hampshire|new jersey|\
new mexico|north carolina|north dakota|ohio|oklahoma|oregon|pennsylvania|rhode island|south carolina|south dakota|tennessee|texas|\
utah|vermont|virginia|west virginia|wisconsin|wyoming|ontario|quebec|british columbia|alberta|nova scotia|new south wales|queensland|\
tasmania|bavaria|catalonia|tuscany|sicily|brittany|normandy|\
aachen|aberdeen|abu dhabi|abuja|accra|addis ababa|adelaide|albuquerque|alexandria|algiers|almaty|amman|amsterdam|ankara|antwerp|athens|\
atlanta|auckland|austin|baghdad|baku|bali|baltimore|bangalore|bengaluru|bangkok|barcelona|basel|bath|beijing|beirut|belfast|belgrade|\
bergen|berkeley|berlin|bern|bilbao|birmingham|bogota|bogotá|bologna|bonn|bordeaux|boston|boulder|bratislava|bremen|brighton|brisbane|\
bristol|brooklyn|brno|bruges|brussels|bucharest|budapest|buenos aires|buffalo|cairo|calgary|cambridge|canberra|cape town|caracas|\
cardiff|casablanca|charlotte|chengdu|chennai|chicago|cincinnati|cleveland|cologne|columbus|copenhagen|cork|cracow|krakow|kraków|\
dakar|dallas|damascus|dar es salaam|delhi|denver|detroit|dhaka|doha|dortmund|dresden|dubai|dublin|durban|düsseldorf|dusseldorf|\
edinburgh|edmonton|eindhoven|essen|florence|frankfurt|fukuoka|galway|gdansk|gdańsk|geneva|genoa|ghent|glasgow|gothenburg|granada|graz|\
grenoble|groningen|guadalajara|guangzhou|haifa|halifax|hamburg|hanoi|hanover|hannover|harare|havana|heidelberg|helsinki|ho chi minh city|\
hong kong|honolulu|houston|hyderabad|indianapolis|innsbruck|istanbul|izmir|jakarta|jerusalem|johannesburg|kabul|kampala|kansas city|\
karachi|karlsruhe|kathmandu|kiel|kiev|kyiv|kigali|kingston|kolkata|kuala lumpur|kyoto|lagos|lahore|las vegas|lausanne|leeds|leicester|\
leiden|leipzig|leuven|lille|lima|limerick|linz|lisbon|liverpool|ljubljana|london|los angeles|luanda|lucerne|lund|lusaka|lviv|lyon|\
madison|madrid|malaga|málaga|malmö|malmo|manchester|manhattan|manila|mannheim|marrakesh|marseille|medellin|medellín|melbourne|\
mexico city|miami|milan|milwaukee|minneapolis|minsk|montevideo|montpellier|montreal|moscow|mumbai|munich|münster|muscat|nairobi|nantes|\
naples|nashville|new delhi|new orleans|new york|new york city|nyc|newcastle|nice|nottingham|nuremberg|oakland|odense|odessa|oklahoma city|\
orlando|osaka|oslo|ottawa|oxford|palermo|palo alto|panama city|paris|perth|philadelphia|phnom penh|pittsburgh|porto|portland|potsdam|\
prague|pretoria|pune|quito|rabat|raleigh|reykjavik|riga|rio de janeiro|riyadh|rome|rotterdam|sacramento|salt lake city|salzburg|\
san antonio|san diego|san francisco|san jose|san juan|santa barbara|santa cruz|santa fe|santiago|santo domingo|sao paulo|são paulo|\
sarajevo|seattle|seoul|seville|shanghai|sheffield|shenzhen|skopje|sofia|southampton|st louis|stavanger|st petersburg|stockholm|strasbourg|\
stuttgart|sydney|taipei|tallinn|tampa|tampere|tashkent|tbilisi|tehran|tel aviv|thessaloniki|tirana|tokyo|toronto|toulouse|tripoli|\
trondheim|tromsø|tucson|tunis|turin|turku|uppsala|utrecht|valencia|vancouver|venice|vienna|vilnius|warsaw|washington|washington dc|wellington|\
winnipeg|wroclaw|wrocław|yangon|yerevan|york|zagreb|zurich|zürich";
/// Stand before the name of a place as a part of it.
const PARTS: &[&str] =
    &["north", "south", "east", "west", "northern", "southern", "eastern", "western", "central", "downtown", "greater", "inner"];
/// One moves with or into these, to a place.
const HOMES: &[&str] = &[
    "house", "flat", "apartment", "condo", "city", "town", "village", "countryside", "suburb", "suburbs", "neighborhood",
    "neighbourhood", "abroad",
];
/// Programs and services at which people spend their days.
const TOOLS: &[&str] = &[
    "excel", "jira", "slack", "linux", "ubuntu", "debian", "windows", "macos", "android", "vim", "neovim", "emacs", "vscode",
    "intellij", "xcode", "notion", "confluence", "figma", "photoshop", "outlook", "gmail", "teams", "zoom", "discord", "powerpoint",
    "salesforce", "hubspot", "airtable", "asana", "trello", "github", "gitlab", "docker", "kubernetes", "aws", "azure", "gcp", "python",
    "javascript", "typescript", "matlab", "autocad", "blender", "tableau", "sap", "minecraft", "twitter", "instagram", "tiktok",
    "whatsapp", "chrome", "firefox", "obsidian", "evernote", "tmux", "postgres", "sql", "spreadsheets", "sheets",
];

/// Say that it was something else that moved.
const ELSEWHERE: &[&str] =
    &["team", "office", "release", "version", "data", "code", "servers", "server", "cluster", "workspace", "stack", "platform"];

/// Whether a name is that of a place.
pub(super) fn is_known(name: &str) -> bool {
    let low = name.to_lowercase();
    let known = |name: &str| KNOWN.split('|').any(|place| place == name);
    known(&low) || low.split_once(' ').is_some_and(|(part, rest)| PARTS.contains(&part) && known(rest))
}

/// Whether a name is that of something one "lives in" all day long, and has no home in.
pub(super) fn is_tool(name: &str) -> bool {
    let low = name.to_lowercase();
    low.split(' ').any(|word| TOOLS.contains(&word))
}

/// Whether a known place begins `words`.
pub(super) fn begins(words: &[Word]) -> bool {
    (1..=3).any(|len| {
        let run = words.get(..len).filter(|run| run.first().is_some_and(Word::is_upper));
        run.is_some_and(|run| is_known(&run.iter().map(|w| w.raw.as_str()).collect::<Vec<_>>().join(" ")))
    })
}

/// Whether what somebody moved to is clearly a place; `behind` is what follows its name.
pub(super) fn is_moved_to(name: &str, behind: &[Word], clause: &Clause) -> bool {
    let words = clause.words.as_slice();
    let at_work = words.windows(2).any(|w| matches!(w, [at, work] if at.low == "at" && work.low == "work"));
    if at_work || words.iter().any(|w| w.is(ELSEWHERE)) {
        return false;
    }
    let from_place = words.windows(2).enumerate().any(|(at, pair)| {
        matches!(pair, [from, _] if from.low == "from") && words.get(at + 1..).is_some_and(begins)
    });
    let with_kin = words.windows(3).any(|w| matches!(w, [with, my, kin] if with.low == "with" && my.is(&["my", "our"]) && (kin.is(KIN) || kin.is(KINS) || kin.is(&["family", "parents"]))));
    is_known(name) || begins(behind) || from_place || with_kin || words.iter().any(|w| w.is(HOMES))
}
