//! Server-sent events (HTML Living Standard §9.2) from bytes, in whatever pieces they come.
//!
//! Promises: the same events wherever the bytes are cut, inside a character too; a line or an
//! event beyond the bound is an error, so memory is bounded; arbitrary bytes never panic. Differs
//! from the standard in one thing: what stands at the end without its empty line is an event
//! ([`Decoder::end`]), because servers leave the line out; whoever reads it must expect half of one.

use crate::lenient;

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// `event:`, empty when it was not given.
    pub name: String,
    /// The lines of `data:`.
    pub data: String,
}

/// What no stream of events has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadStream {
    /// More bytes in one line or event than are taken.
    #[error("a line or an event of the stream is too long")]
    TooLong,
}

/// Reads a stream.
#[derive(Debug)]
pub struct Decoder {
    bytes_max: usize,
    line: Vec<u8>,
    name: String,
    data: Option<String>,
    begun: bool,
    after_return: bool,
}

impl Decoder {
    /// A decoder that takes lines and events of at most `bytes_max` bytes.
    #[must_use]
    pub const fn new(bytes_max: usize) -> Self {
        Decoder {
            bytes_max,
            line: Vec::new(),
            name: String::new(),
            data: None,
            begun: false,
            after_return: false,
        }
    }

    /// Takes the next bytes and adds the events that they complete to `events`.
    pub fn push(&mut self, mut bytes: &[u8], events: &mut Vec<Event>) -> Result<(), BadStream> {
        while let [first, ..] = bytes {
            if std::mem::take(&mut self.after_return) && *first == b'\n' {
                bytes = &bytes[1..];
                continue;
            }
            let end = bytes.iter().position(|b| matches!(b, b'\n' | b'\r'));
            let piece = &bytes[..end.unwrap_or(bytes.len())];
            if self.line.len() + piece.len() > self.bytes_max {
                return Err(BadStream::TooLong);
            }
            self.line.extend_from_slice(piece);
            let Some(end) = end else { return Ok(()) };
            self.after_return = bytes[end] == b'\r';
            bytes = &bytes[end + 1..];
            self.line_ended(events)?;
        }
        Ok(())
    }

    /// The stream has ended: what stood there without its end.
    pub fn end(mut self) -> Option<Event> {
        let mut events = Vec::new();
        // A last line that is cut inside a character is nothing.
        let cut = std::str::from_utf8(&self.line).is_err();
        if cut || (!self.line.is_empty() && self.line_ended(&mut events).is_err()) {
            self.data = None;
        }
        self.dispatch()
    }

    fn line_ended(&mut self, events: &mut Vec<Event>) -> Result<(), BadStream> {
        let line = std::mem::take(&mut self.line);
        let line = lenient::text(&line);
        let line = if std::mem::replace(&mut self.begun, true) {
            line.as_ref()
        } else {
            line.trim_start_matches('\u{feff}')
        };
        if line.is_empty() {
            events.extend(self.dispatch());
            return Ok(());
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.name),
            "data" => match &mut self.data {
                None => self.data = Some(value.to_owned()),
                Some(data) if data.len() + value.len() >= self.bytes_max => return Err(BadStream::TooLong),
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
            },
            // Comments have an empty name; ids and retry times mean nothing here.
            _ => {}
        }
        Ok(())
    }

    fn dispatch(&mut self) -> Option<Event> {
        let name = std::mem::take(&mut self.name);
        self.data.take().map(|data| Event { name, data })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(pieces: &[&[u8]]) -> Result<Vec<Event>, BadStream> {
        let (mut decoder, mut events) = (Decoder::new(1000), Vec::new());
        for piece in pieces {
            decoder.push(piece, &mut events)?;
        }
        events.extend(decoder.end());
        Ok(events)
    }

    fn event(name: &str, data: &str) -> Event {
        Event { name: name.into(), data: data.into() }
    }

    #[test]
    fn all_three_line_ends_and_comments_are_taken() {
        let text =
            "\u{feff}: hello\r\nevent: a\rdata: 1\ndata:2\n\n\n\r\ndata\n\nid: 7\ndata:  x\n\n: ping\n\n";
        assert_eq!(read(&[text.as_bytes()]), Ok(vec![event("a", "1\n2"), event("", ""), event("", " x")]));
    }

    #[test]
    fn an_event_without_its_empty_line_is_given_at_the_end() {
        assert_eq!(read(&[b"data: 1\n\ndata: [DONE]"]), Ok(vec![event("", "1"), event("", "[DONE]")]));
        assert_eq!(read(&[b"data: 1\n\ndata: \xc3"]), Ok(vec![event("", "1")]));
    }

    #[test]
    fn what_is_too_long_is_refused_and_what_is_not_utf8_is_replaced() {
        assert_eq!(read(&[&[b'x'; 1001]]), Err(BadStream::TooLong));
        assert_eq!(read(&[&[b'x'; 600], &[b'x'; 600]]), Err(BadStream::TooLong));
        assert_eq!(read(&[b"data: 0123456789\n".repeat(100).as_slice()]), Err(BadStream::TooLong));
        assert_eq!(read(&[b"data: a\xff\n"]), Ok(vec![event("", "a\u{fffd}")]));
    }

    proptest! {
        #[test]
        fn where_the_bytes_are_cut_does_not_matter(
            text in "(data: |event: |: |\n|\r|\r\n|é|\u{1f600}|[a-z]){0,60}", cuts in proptest::collection::vec(0usize..200, 0..8),
        ) {
            let bytes = text.as_bytes();
            let mut cuts: Vec<usize> = cuts.into_iter().filter(|cut| *cut <= bytes.len()).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|w| &bytes[w[0]..w[1]]).collect();
            prop_assert_eq!(read(&pieces), read(&[bytes]));
        }

        #[test]
        fn arbitrary_bytes_never_panic(pieces: Vec<Vec<u8>>) {
            let pieces: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
            let _events = read(&pieces);
        }
    }
}
