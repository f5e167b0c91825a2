//! Server-sent events: bytes in pieces of any length to whole events, within bounds. Pure.

use crate::limits::SSE_EVENT_BYTES_MAX;
use std::collections::VecDeque;

/// One event with data.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SseEvent {
    /// Its type, where it has one.
    pub event: Option<String>,
    /// Its data; several lines are joined by line breaks.
    pub data: String,
}

/// An event is longer than [`SSE_EVENT_BYTES_MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SseTooLong;

/// A reader of events. Comments, ids and retry times are passed over. An event that the stream ends in the middle of is none.
#[derive(Debug, Default)]
pub struct SseReader {
    /// The line that is being read.
    line: Vec<u8>,
    event: Option<String>,
    data: Option<String>,
    /// Whether the last byte was a carriage return: a line feed behind it belongs to the same line end.
    after_return: bool,
    /// Whether a line was read yet: before the first one there may be a byte order mark.
    begun: bool,
}

impl SseReader {
    /// Takes the next bytes, and adds the events that they complete to `out`.
    pub fn push(&mut self, bytes: &[u8], out: &mut VecDeque<SseEvent>) -> Result<(), SseTooLong> {
        let mut rest = bytes;
        while let Some(&first) = rest.first() {
            if std::mem::take(&mut self.after_return) && first == b'\n' {
                rest = &rest[1..];
                continue;
            }
            let end = rest.iter().position(|b| matches!(b, b'\n' | b'\r')).unwrap_or(rest.len());
            if self.held() + end > SSE_EVENT_BYTES_MAX {
                return Err(SseTooLong);
            }
            self.line.extend_from_slice(&rest[..end]);
            let Some(&terminator) = rest.get(end) else { return Ok(()) };
            self.after_return = terminator == b'\r';
            rest = &rest[end + 1..];
            self.end_line(out);
        }
        Ok(())
    }

    fn held(&self) -> usize {
        let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        self.line.len() + text(&self.event) + text(&self.data)
    }

    fn end_line(&mut self, out: &mut VecDeque<SseEvent>) {
        let line = String::from_utf8_lossy(&self.line).into_owned();
        self.line.clear();
        let line = if std::mem::replace(&mut self.begun, true) { &line } else { line.trim_start_matches('\u{feff}') };
        if line.is_empty() {
            let event = self.event.take();
            out.extend(self.data.take().map(|data| SseEvent { event, data }));
            return;
        }
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "event" => self.event = Some(value.to_owned()),
            "data" => match &mut self.data {
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
                None => self.data = Some(value.to_owned()),
            },
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(pieces: &[&[u8]]) -> Vec<(Option<String>, String)> {
        let (mut reader, mut out) = (SseReader::default(), VecDeque::new());
        for piece in pieces {
            reader.push(piece, &mut out).unwrap();
        }
        out.into_iter().map(|e| (e.event, e.data)).collect()
    }

    #[test]
    fn events_are_read_as_the_standard_says() {
        let text = "\u{feff}: hello\nretry: 5\nevent: a\ndata: one\ndata:two\r\n\rdata\n\nid: 7\n\ndata: {\"x\": \"ü\"}\n\ndata: lost";
        let events = read(&[text.as_bytes()]);
        let expected = [(Some("a"), "one\ntwo"), (None, ""), (None, "{\"x\": \"ü\"}")];
        let expected: Vec<_> = expected.map(|(event, data)| (event.map(str::to_owned), data.to_owned())).into();
        assert_eq!(events, expected);
    }

    #[test]
    fn an_event_without_end_is_refused() {
        let (mut reader, mut out) = (SseReader::default(), VecDeque::new());
        let piece = vec![b'x'; 1 << 20];
        let pushed = (0..=SSE_EVENT_BYTES_MAX >> 20).map(|_| reader.push(&piece, &mut out));
        assert_eq!(pushed.last(), Some(Err(SseTooLong)));
        let (mut reader, line) = (SseReader::default(), [b"data:", piece.as_slice(), b"\n"].concat());
        let pushed = (0..=SSE_EVENT_BYTES_MAX >> 20).map(|_| reader.push(&line, &mut out));
        assert_eq!(pushed.last(), Some(Err(SseTooLong)));
        assert!(out.is_empty());
    }

    proptest! {
        #[test]
        fn where_the_bytes_are_cut_changes_nothing(
            lines in prop::collection::vec("(data: ?|event: |: |id:|)[a-zü€\u{feff}:\\x00]{0,6}(\r\n|\n|\r)", 0..24),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
        ) {
            let text = lines.concat().into_bytes();
            let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
            at.extend([0, text.len()]);
            at.sort_unstable();
            let pieces: Vec<&[u8]> = at.windows(2).map(|w| &text[w[0]..w[1]]).collect();
            let bytes: Vec<&[u8]> = text.chunks(1).collect();
            let whole = read(&[&text]);
            prop_assert_eq!(&read(&pieces), &whole);
            prop_assert_eq!(&read(&bytes), &whole);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            read(&[&bytes]);
        }
    }
}
