//! The ledger as CSV: RFC 4180, exact amounts, and no cell that a spreadsheet would take for a formula.

use axum::http::{HeaderMap, header};
use rae_core::model::{LedgerRow, Usd};

const HEAD: &str = "id,at,settled_at,project,provider,model,operation,user_id,request_id,attempt,status,input_tokens,\
                    cached_input_tokens,output_tokens,reasoning_tokens,estimated,cost_usd,saved_usd,error";

/// Whether the caller names CSV, and no JSON before it.
pub fn is_asked_for(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let kinds =
        accepted.flat_map(|value| value.split(',')).map(|kind| kind.split(';').next().unwrap_or_default().trim());
    let mut kinds = kinds.map(str::to_ascii_lowercase);
    kinds.find(|kind| kind == "text/csv" || kind == "application/json").is_some_and(|kind| kind == "text/csv")
}

/// A line of names, and a line for each row.
pub fn table(rows: &[LedgerRow]) -> String {
    let mut out = format!("{HEAD}\r\n");
    for row in rows {
        let (label, usage) = (&row.label, &row.usage);
        let cells = [
            row.id.to_string(),
            row.at.to_string(),
            row.settled_at.to_string(),
            text(&row.project),
            text(&label.provider),
            text(&label.model),
            text(&label.operation),
            text(label.user_id.as_deref().unwrap_or_default()),
            text(label.request_id.as_deref().unwrap_or_default()),
            row.attempt.to_string(),
            row.status.as_str().to_owned(),
            usage.input_tokens.to_string(),
            usage.cached_input_tokens.to_string(),
            usage.output_tokens.to_string(),
            usage.reasoning_tokens.to_string(),
            row.estimated.to_string(),
            dollars(row.cost_usd),
            dollars(row.saved_usd),
            text(row.error.as_deref().unwrap_or_default()),
        ];
        out.push_str(&cells.join(","));
        out.push_str("\r\n");
    }
    out
}

/// Dollars with all six decimals, from the integer.
fn dollars(usd: Usd) -> String {
    let (sign, micros) = (if usd.micros() < 0 { "-" } else { "" }, usd.micros().unsigned_abs());
    format!("{sign}{}.{:06}", micros / 1_000_000, micros % 1_000_000)
}

/// A word of a caller's. A spreadsheet obeys what begins like a formula: an apostrophe makes it text.
fn text(cell: &str) -> String {
    let obeyed = |c: char| matches!(c, '=' | '+' | '-' | '@' | '\t' | '\r' | '\n');
    let safe = if cell.trim_start_matches(' ').starts_with(obeyed) { format!("'{cell}") } else { cell.to_owned() };
    if safe.contains(['"', ',', '\r', '\n']) || safe.starts_with(' ') || safe.ends_with(' ') {
        format!("\"{}\"", safe.replace('"', "\"\""))
    } else {
        safe
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_quoted_where_it_must_be_and_never_a_formula() {
        for (given, written) in [
            ("gpt-4o", "gpt-4o"),
            ("a,b", "\"a,b\""),
            ("say \"hi\"", "\"say \"\"hi\"\"\""),
            ("=HYPERLINK(\"http://x\")", "\"'=HYPERLINK(\"\"http://x\"\")\""),
            ("+1", "'+1"),
            ("-1", "'-1"),
            ("@SUM(A1)", "'@SUM(A1)"),
            (" =1", "' =1"),
            ("\t=1", "'\t=1"),
            ("a\nb", "\"a\nb\""),
            ("", ""),
        ] {
            assert_eq!(text(given), written, "{given:?}");
        }
    }

    #[test]
    fn amounts_are_exact() {
        for (micros, written) in [(0, "0.000000"), (150, "0.000150"), (20_000_001, "20.000001"), (-1, "-0.000001")] {
            assert_eq!(dollars(Usd::from_micros(micros)), written);
        }
        assert_eq!(dollars(Usd::MAX), "1000000000.000000");
    }

    #[test]
    fn csv_is_given_to_who_names_it_first() {
        let asks = |accept: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, accept.parse().unwrap());
            is_asked_for(&headers)
        };
        assert!(asks("text/csv") && asks("Text/CSV;q=0.9, */*") && asks("text/html, text/csv, application/json"));
        assert!(!asks("application/json, text/csv") && !asks("*/*") && !asks("text/csvx") && !asks(""));
    }
}
