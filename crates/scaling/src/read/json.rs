//! JSON to the same tree as YAML, with the same bounds.
//!
//! Dashboards come as JSON with escapes and tabs that a YAML reader refuses. RFC 8259, without recursion
//! beyond [`super::MAX_DEPTH`]. Strings are quoted scalars, numbers and booleans plain ones.

use std::collections::HashMap;

use super::{Document, Duplicate, Entry, Fault, FileId, MAX_DEPTH, Node, Scalar, Span, Style, Value, Why};

/// Reads the one value of `text`. `to_file` maps an offset in `text` to one in the file.
pub(super) fn read(file: FileId, text: &str, to_file: &dyn Fn(usize) -> usize) -> Result<Document, Fault> {
    let at = if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
    let mut reader = Reader { file, text, at, to_file, duplicates: Vec::new() };
    reader.skip_space();
    let root = reader.value(0)?;
    reader.skip_space();
    if reader.at < text.len() {
        return Err(reader.fault("text after the value"));
    }
    Ok(Document { root, duplicates: reader.duplicates })
}

struct Reader<'a> {
    file: FileId,
    text: &'a str,
    at: usize,
    to_file: &'a dyn Fn(usize) -> usize,
    duplicates: Vec<Duplicate>,
}

impl Reader<'_> {
    fn fault(&self, detail: &str) -> Fault {
        Fault { at: (self.to_file)(self.at), why: Why::Syntax(detail.to_owned()) }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn span(&self, start: usize) -> Span {
        let last = if self.at > start { (self.to_file)(self.at - 1) + 1 } else { (self.to_file)(start) };
        Span::new(self.file, (self.to_file)(start), last)
    }

    fn value(&mut self, depth: usize) -> Result<Node, Fault> {
        if depth >= MAX_DEPTH {
            return Err(Fault { at: (self.to_file)(self.at), why: Why::TooDeep });
        }
        let start = self.at;
        let value = match self.peek() {
            Some(b'{') => self.map(depth)?,
            Some(b'[') => self.list(depth)?,
            Some(b'"') => Value::Scalar(Scalar { text: self.string()?, style: Style::Quoted }),
            Some(b'-' | b'0'..=b'9' | b't' | b'f' | b'n') => self.word()?,
            Some(_) => return Err(self.fault("a character that begins no value")),
            None => return Err(self.fault("the end where a value should begin")),
        };
        Ok(Node { span: self.span(start), value })
    }

    fn word(&mut self) -> Result<Value, Fault> {
        let start = self.at;
        while matches!(self.peek(), Some(b'-' | b'+' | b'.' | b'0'..=b'9' | b'a'..=b'z' | b'E')) {
            self.at += 1;
        }
        let word = &self.text[start..self.at];
        match word {
            "null" => Ok(Value::Null),
            "true" | "false" => Ok(plain(word)),
            _ if word.parse::<f64>().is_ok() && !word.contains(['i', 'n', 'N', 'I']) => Ok(plain(word)),
            _ => {
                self.at = start;
                Err(self.fault("a word that is no value"))
            }
        }
    }

    fn list(&mut self, depth: usize) -> Result<Value, Fault> {
        let mut items = Vec::new();
        self.at += 1;
        self.skip_space();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(Value::List(items));
        }
        loop {
            self.skip_space();
            items.push(self.value(depth + 1)?);
            self.skip_space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => {
                    self.at += 1;
                    return Ok(Value::List(items));
                }
                Some(_) | None => return Err(self.fault("neither `,` nor `]` after a value")),
            }
        }
    }

    fn map(&mut self, depth: usize) -> Result<Value, Fault> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut seen: HashMap<String, usize> = HashMap::new();
        self.at += 1;
        self.skip_space();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(Value::Map(entries));
        }
        loop {
            self.skip_space();
            let start = self.at;
            if self.peek() != Some(b'"') {
                return Err(self.fault("no key in double quotes"));
            }
            let key = self.string()?;
            let key_span = self.span(start);
            self.skip_space();
            if self.peek() != Some(b':') {
                return Err(self.fault("no `:` after a key"));
            }
            self.at += 1;
            self.skip_space();
            let value = self.value(depth + 1)?;
            match seen.get(&key) {
                Some(index) => {
                    let first = entries[*index].key_span;
                    self.duplicates.push(Duplicate { key, first, again: key_span });
                    entries[*index].key_span = key_span;
                    entries[*index].value = value;
                }
                None => {
                    seen.insert(key.clone(), entries.len());
                    entries.push(Entry { key, key_span, value });
                }
            }
            self.skip_space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    self.at += 1;
                    return Ok(Value::Map(entries));
                }
                Some(_) | None => return Err(self.fault("neither `,` nor `}` after a value")),
            }
        }
    }

    fn string(&mut self) -> Result<String, Fault> {
        self.at += 1;
        let mut out = String::new();
        loop {
            let rest = &self.text[self.at..];
            let Some(stop) = rest.find(['"', '\\']) else { return Err(self.fault("a string without end")) };
            out.push_str(&rest[..stop]);
            self.at += stop + 1;
            if rest.as_bytes()[stop] == b'"' {
                return Ok(out);
            }
            let escape = self.peek();
            self.at += 1;
            match escape {
                Some(b'n') => out.push('\n'),
                Some(b't') => out.push('\t'),
                Some(b'r') => out.push('\r'),
                Some(b'b') => out.push('\u{8}'),
                Some(b'f') => out.push('\u{c}'),
                Some(c @ (b'"' | b'\\' | b'/')) => out.push(char::from(c)),
                Some(b'u') => out.push(self.unicode()?),
                Some(_) | None => {
                    self.at -= 1;
                    return Err(self.fault("an unknown escape"));
                }
            }
        }
    }

    /// The character after `\u`; half a surrogate pair becomes the replacement character.
    fn unicode(&mut self) -> Result<char, Fault> {
        let first = self.hex4()?;
        let low_follows = self.text[self.at..].starts_with("\\u");
        if (0xd800..0xdc00).contains(&first) && low_follows {
            self.at += 2;
            let second = self.hex4()?;
            let code = 0x10000 + ((first - 0xd800) << 10) + second.wrapping_sub(0xdc00);
            return Ok(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
        }
        Ok(char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER))
    }

    fn hex4(&mut self) -> Result<u32, Fault> {
        let digits = self.text.get(self.at..self.at + 4);
        let code = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
        let code = code.ok_or_else(|| self.fault("no four hexadecimal digits after `\\u`"))?;
        self.at += 4;
        Ok(code)
    }
}

fn plain(word: &str) -> Value {
    Value::Scalar(Scalar { text: word.to_owned(), style: Style::Plain })
}
