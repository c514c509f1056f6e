//! YAML events to a tree, without recursion.
//!
//! Anchors and aliases copy, within a budget of one value a byte of input; merge keys (`<<`) are applied,
//! own keys first. The stack is bounded by [`super::MAX_DEPTH`].

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle};

use super::{Document, Duplicate, Entry, Fault, FileId, MAX_DEPTH, Node, Scalar, Span, Style, Value, Why};

const BYTE_ORDER_MARK: &str = "\u{feff}";

/// Reads all documents of `text`. `to_file` maps an offset in `text` to one in the file.
pub(super) fn read(
    file: FileId,
    text: &str,
    to_file: &dyn Fn(usize) -> usize,
) -> Result<Vec<Document>, Fault> {
    let body = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
    let shift = text.len() - body.len();
    let index = CharIndex::new(body, shift);
    let mut documents = Vec::new();
    let mut builder = Builder::new(file, to_file, text.len());
    let mut parser = Parser::new_from_str(body);
    while let Some(event) = parser.next_event() {
        let (event, span) = event.map_err(|error| Fault {
            at: to_file(index.byte(error.marker().index())),
            // The scanner has a bound of its own on brackets, beyond ours, that its look-ahead may meet first.
            why: match error.info() {
                "recursion limit exceeded" => Why::TooDeep,
                detail => Why::Syntax(detail.to_owned()),
            },
        })?;
        let (start, end) = (index.byte(span.start.index()), index.byte(span.end.index()));
        match event {
            Event::Nothing | Event::StreamStart | Event::StreamEnd => {}
            Event::DocumentStart(_) => builder.root = None,
            Event::DocumentEnd => documents.push(builder.finish(start)),
            Event::Alias(anchor) => builder.alias(anchor, start, end)?,
            Event::Scalar(content, style, anchor, tag) => {
                let is_string = tag.is_some_and(|tag| tag.is_yaml_core_schema() && tag.suffix == "str");
                let written = text.get(start..end).unwrap_or("");
                let end = start + written_len(written, style);
                builder.last_end = end;
                let node = Node {
                    span: builder.span(start, end),
                    value: scalar(content.into_owned(), style, is_string),
                };
                builder.add(node, anchor)?;
            }
            Event::SequenceStart(anchor, _) => builder.open(start, anchor, Kind::List(Vec::new()))?,
            Event::MappingStart(anchor, _) => builder.open(start, anchor, Kind::Map(OpenMap::default()))?,
            // A flow collection ends with its bracket; a block one has an empty end at the next token.
            Event::SequenceEnd | Event::MappingEnd => builder.close((end > start).then_some(end))?,
        }
    }
    Ok(documents)
}

/// How much of a scalar's span is the scalar: the span of a block runs to the next token, that of a quoted one
/// over the blanks and the comment after it.
fn written_len(written: &str, style: ScalarStyle) -> usize {
    match style {
        ScalarStyle::Plain | ScalarStyle::Literal | ScalarStyle::Folded => written.trim_end().len(),
        ScalarStyle::SingleQuoted => quoted_len(written, b'\'', None),
        ScalarStyle::DoubleQuoted => quoted_len(written, b'"', Some(b'\\')),
    }
}

/// The length up to the closing quote. In single quotes a doubled quote is a quote; in double quotes a backslash
/// escapes.
fn quoted_len(written: &str, quote: u8, escape: Option<u8>) -> usize {
    let bytes = written.as_bytes();
    let mut at = 1;
    while at < bytes.len() {
        if Some(bytes[at]) == escape {
            at += 1;
        } else if bytes[at] == quote {
            if escape.is_some() || bytes.get(at + 1) != Some(&quote) {
                return at + 1;
            }
            at += 1;
        }
        at += 1;
    }
    written.len()
}

fn scalar(text: String, style: ScalarStyle, is_string: bool) -> Value {
    let style = match style {
        ScalarStyle::Plain if is_string => Style::Quoted,
        ScalarStyle::Plain => Style::Plain,
        ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted => Style::Quoted,
        ScalarStyle::Literal => Style::Literal,
        ScalarStyle::Folded => Style::Folded,
    };
    match (style, text.as_str()) {
        (Style::Plain, "" | "~" | "null" | "Null" | "NULL") => Value::Null,
        _ => Value::Scalar(Scalar { text, style }),
    }
}

/// Character offsets, as the parser counts, to byte offsets in the text.
enum CharIndex {
    /// Every character is one byte.
    Ascii { shift: usize, len: usize },
    /// The byte offset of each character, and the end.
    Bytes(Vec<u32>),
}

impl CharIndex {
    fn new(body: &str, shift: usize) -> Self {
        if body.is_ascii() {
            return Self::Ascii { shift, len: body.len() };
        }
        let starts = body.char_indices().map(|(at, _)| at).chain([body.len()]);
        // The text is at most MAX_BYTES long.
        Self::Bytes(starts.map(|at| u32::try_from(at + shift).unwrap_or(u32::MAX)).collect())
    }

    fn byte(&self, character: usize) -> usize {
        match self {
            Self::Ascii { shift, len } => shift + character.min(*len),
            Self::Bytes(starts) => starts[character.min(starts.len() - 1)] as usize,
        }
    }
}

/// A list or map whose end has not come yet.
struct Open {
    start: usize,
    anchor: usize,
    kind: Kind,
}

enum Kind {
    List(Vec<Node>),
    Map(OpenMap),
}

#[derive(Default)]
struct OpenMap {
    entries: Vec<Entry>,
    /// Where each key stands in `entries`.
    seen: HashMap<String, usize>,
    /// A key whose value has not come yet.
    key: Option<(String, Span)>,
    /// The values of `<<`.
    merges: Vec<Node>,
}

struct Builder<'a> {
    file: FileId,
    to_file: &'a dyn Fn(usize) -> usize,
    stack: Vec<Open>,
    anchors: HashMap<usize, Node>,
    duplicates: Vec<Duplicate>,
    root: Option<Node>,
    /// How many more values may be made by copying.
    copies_left: usize,
    /// One past the last byte of the last value that ended.
    last_end: usize,
}

impl<'a> Builder<'a> {
    fn new(file: FileId, to_file: &'a dyn Fn(usize) -> usize, copies_left: usize) -> Self {
        Self {
            file,
            to_file,
            stack: Vec::new(),
            anchors: HashMap::new(),
            duplicates: Vec::new(),
            root: None,
            copies_left,
            last_end: 0,
        }
    }

    fn span(&self, start: usize, end: usize) -> Span {
        let first = (self.to_file)(start);
        // The byte after the last may lie on another line of the file: map the last one.
        let last = if end > start { (self.to_file)(end - 1) + 1 } else { first };
        Span::new(self.file, first, last)
    }

    fn finish(&mut self, at: usize) -> Document {
        let empty = Node { span: self.span(at, at), value: Value::Null };
        self.anchors.clear();
        Document { root: self.root.take().unwrap_or(empty), duplicates: std::mem::take(&mut self.duplicates) }
    }

    fn open(&mut self, start: usize, anchor: usize, kind: Kind) -> Result<(), Fault> {
        if self.stack.len() >= MAX_DEPTH {
            return Err(Fault { at: (self.to_file)(start), why: Why::TooDeep });
        }
        self.last_end = start;
        self.stack.push(Open { start, anchor, kind });
        Ok(())
    }

    fn close(&mut self, bracket_end: Option<usize>) -> Result<(), Fault> {
        let Some(open) = self.stack.pop() else { return Ok(()) };
        let end = bracket_end.unwrap_or(self.last_end);
        self.last_end = end;
        let value = match open.kind {
            Kind::List(items) => Value::List(items),
            Kind::Map(map) => Value::Map(map.finish()),
        };
        self.add(Node { span: self.span(open.start, end), value }, open.anchor)
    }

    fn alias(&mut self, anchor: usize, start: usize, end: usize) -> Result<(), Fault> {
        self.last_end = end;
        let span = self.span(start, end);
        // An alias inside its own anchor has no value yet; the API server's decoder refuses it too.
        let Some(node) = self.anchors.get(&anchor) else {
            let why = Why::Syntax("this alias stands inside its own anchor".to_owned());
            return Err(Fault { at: span.start as usize, why });
        };
        let copy = Node { span, value: node.value.clone() };
        self.pay_for(&copy)?;
        self.add(copy, 0)
    }

    fn pay_for(&mut self, copy: &Node) -> Result<(), Fault> {
        match self.copies_left.checked_sub(copy.count()) {
            Some(left) => {
                self.copies_left = left;
                Ok(())
            }
            None => Err(Fault { at: copy.span.start as usize, why: Why::AliasBomb }),
        }
    }

    fn add(&mut self, node: Node, anchor: usize) -> Result<(), Fault> {
        if anchor != 0 {
            self.pay_for(&node)?;
            self.anchors.insert(anchor, node.clone());
        }
        match self.stack.last_mut().map(|open| &mut open.kind) {
            None => self.root = Some(node),
            Some(Kind::List(items)) => items.push(node),
            Some(Kind::Map(map)) => map.add(node, &mut self.duplicates),
        }
        Ok(())
    }
}

impl OpenMap {
    fn add(&mut self, node: Node, duplicates: &mut Vec<Duplicate>) {
        let Some((key, key_span)) = self.key.take() else {
            let key = match node.value {
                Value::Scalar(scalar) => scalar.text,
                Value::Null => "null".to_owned(),
                // No Kubernetes field has such a key; the tables will call it unknown.
                Value::List(_) | Value::Map(_) => "(not a scalar)".to_owned(),
            };
            self.key = Some((key, node.span));
            return;
        };
        if key == "<<" {
            self.merges.push(node);
            return;
        }
        match self.seen.get(&key) {
            Some(index) => {
                let first = self.entries[*index].key_span;
                duplicates.push(Duplicate { key, first, again: key_span });
                self.entries[*index].key_span = key_span;
                self.entries[*index].value = node;
            }
            None => {
                self.seen.insert(key.clone(), self.entries.len());
                self.entries.push(Entry { key, key_span, value: node });
            }
        }
    }

    fn finish(mut self) -> Vec<Entry> {
        for merged in self.merges {
            let sources = match merged.value {
                Value::List(items) => items,
                Value::Map(_) | Value::Null | Value::Scalar(_) => vec![merged],
            };
            for source in sources {
                let Value::Map(entries) = source.value else { continue };
                for entry in entries {
                    if !self.seen.contains_key(&entry.key) {
                        self.seen.insert(entry.key.clone(), self.entries.len());
                        self.entries.push(entry);
                    }
                }
            }
        }
        self.entries
    }
}
