//! `rae-server prices`: what models cost, as a table or as JSON.

use clap::{Arg, ArgAction, ArgMatches};
use rae_core::{
    Error, Result,
    cost::{Price, PriceBook},
    limits::PRICES_BYTES_MAX,
    ports::{Clock as _, SystemClock},
};
use serde_json::Value;
use std::{fmt::Write as _, fs::File, io::Read as _, path::Path};

const HEAD: [&str; 7] = ["provider", "model", "input", "cached", "output", "since", "source"];

/// The arguments of this role alone.
pub fn arguments() -> Vec<Arg> {
    let named = |name: &'static str, help: &'static str| Arg::new(name).long(name).value_name("NAME").help(help);
    vec![
        named("provider", "Those of one provider: openai, anthropic, google, ..."),
        named("model", "The price that a call of this model has now"),
        named("file", "Prices of your own, over the built-in ones").value_name("FILE"),
        Arg::new("json").long("json").action(ArgAction::SetTrue).help("Print JSON"),
    ]
}

/// The prices that were asked for, as they are printed.
pub fn listed(flags: &ArgMatches) -> Result<String> {
    let given = |name: &str| flags.get_one::<String>(name).map(String::as_str);
    let mut book = PriceBook::built_in()?;
    if let Some(path) = given("file") {
        book = book.with_overrides(&read(Path::new(path))?)?;
    }
    let found = book.select(given("provider"), given("model"), SystemClock.now())?;
    let prices: Vec<Value> = found.into_iter().map(Price::to_json).collect();
    if flags.get_flag("json") {
        let text = serde_json::to_string_pretty(&prices);
        return text.map(|text| text + "\n").map_err(|e| Error::internal("prices are no JSON").with_source(e));
    }
    Ok(table(&prices))
}

/// At most one byte more than the engine takes, so that it can say so.
pub(crate) fn read(path: &Path) -> Result<String> {
    let mut text = String::new();
    let file = File::open(path).and_then(|file| file.take(PRICES_BYTES_MAX as u64 + 1).read_to_string(&mut text));
    let shown = path.display();
    file.map_err(|e| Error::invalid(format!("{shown} cannot be read: {e}")).with_source(e))?;
    Ok(text)
}

fn table(prices: &[Value]) -> String {
    let mut rows = vec![HEAD.map(str::to_owned)];
    for price in prices {
        let source = if price["override"] == true { "your file" } else { "" };
        let source = price["source"].as_str().unwrap_or(source);
        let text = |name: &str| price[name].as_str().unwrap_or_default();
        rows.push(row([text("provider"), text("model")], price, [text("from"), source]));
        let long = &price["long_prompt"];
        if let Some(above) = long["above"].as_u64() {
            rows.push(row(["", &format!("  input above {above}")], long, ["", ""]));
        }
    }
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths: [usize; 7] = std::array::from_fn(width);
    let mut out = String::new();
    for row in &rows {
        let mut line = String::new();
        for (column, (cell, width)) in row.iter().zip(widths).enumerate() {
            // Numbers end at the same place.
            let _ = match column {
                2..=4 => write!(line, "{cell:>width$}  "),
                _ => write!(line, "{cell:<width$}  "),
            };
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

/// An embedder has a price for input alone.
fn row(name: [&str; 2], rates: &Value, rest: [&str; 2]) -> [String; 7] {
    let rate = |name: &str| rates[name].as_str().unwrap_or_default();
    let input = if rates["input"].is_null() { rate("embedding") } else { rate("input") };
    let cells = [name[0], name[1], input, rate("cached_input"), rate("output"), rest[0], rest[1]];
    // A file may hold what a terminal would obey.
    cells.map(|cell| cell.replace(char::is_control, "\u{fffd}"))
}
