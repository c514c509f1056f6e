//! YAML and JSON text to a tree in which every value knows the bytes it came from.
//!
//! Promises: any byte string gives documents or an [`Unreadable`] with a place, never a panic; depth is
//! at most [`MAX_DEPTH`], aliases may not grow a document past its own number of bytes, so memory and
//! time are linear in the input; a key that stands twice is kept as a [`Duplicate`] and the last one wins
//! in the tree, as it does in the API server's decoder.
//!
//! Scalars keep their text and style: what `Off`, `010` or `1e3` mean is decided where the wanted type is
//! known ([`Scalar::plain_kind`] follows YAML 1.1 as Kubernetes' own decoder does). Knows no Kubernetes kind.

mod embedded;
mod json;
mod scalar;
mod tree;
mod yaml;

pub use scalar::{PlainKind, Scalar, Style};
pub use tree::{Entry, Node, Span, Value};

/// How deep lists and maps may nest. Real manifests stay under 30; the API server's own bound is 10,000,
/// which would let a hostile file overflow the stack of whoever walks the tree.
pub const MAX_DEPTH: usize = 100;

/// How large one file may be, in bytes: offsets are `u32`, and 64 MiB of manifests is no manifest.
pub const MAX_BYTES: usize = 64 << 20;

/// Which file of a [`Sources`] a span points into.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId(pub(crate) u32);

/// One input file: its path as the user named it and its text.
#[derive(Debug)]
pub struct Source {
    path: String,
    text: String,
    /// Byte offset at which each line begins; the first is 0.
    lines: Vec<u32>,
    /// How many characters begin before each [`BLOCK`]th byte.
    blocks: Vec<u32>,
}

/// The files that were read, so that a [`Span`] can be shown as file, line and column.
#[derive(Debug, Default)]
pub struct Sources {
    files: Vec<Source>,
}

/// Where a span begins, as people count: line and column from 1, the column in characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The path as the user named it.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// A key that stands twice in one map. The later value is the one in the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Duplicate {
    /// The key.
    pub key: String,
    /// Where it stands first.
    pub first: Span,
    /// Where it stands again.
    pub again: Span,
}

/// One document of a file.
#[derive(Debug, Clone)]
pub struct Document {
    /// The value of the document; [`Value::Null`] when it holds nothing.
    pub root: Node,
    /// Keys that stand twice, in the order of the text.
    pub duplicates: Vec<Duplicate>,
}

/// Why a file gave no documents at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// The bytes are not UTF-8.
    #[error("{place}: not UTF-8; save the file as UTF-8")]
    NotUtf8 {
        /// The first byte that does not fit.
        place: Place,
    },
    /// The text is not YAML (or, for `.json`, not JSON).
    #[error("{place}: not {language}: {detail}{hint}")]
    NotYaml {
        /// Where reading stopped.
        place: Place,
        /// `YAML` or `JSON`.
        language: &'static str,
        /// What stands there instead.
        detail: String,
        /// What to do, when that can be told; begins with `; `.
        hint: &'static str,
    },
    /// Lists and maps nest deeper than [`MAX_DEPTH`].
    #[error("{place}: nested deeper than {MAX_DEPTH} levels; flatten it")]
    TooDeep {
        /// The value that is one too deep.
        place: Place,
    },
    /// Aliases would grow the document beyond its own size.
    #[error("{place}: aliases expand to more values than the file has bytes; write the values out")]
    AliasBomb {
        /// The alias that went over the bound.
        place: Place,
    },
    /// Longer than [`MAX_BYTES`].
    #[error("{place}: longer than 64 MiB; split the file")]
    TooLong {
        /// The file.
        place: Place,
    },
}

impl Sources {
    /// Adds a file and reads its documents. A path that ends in `.json` is read as JSON, all else as YAML.
    ///
    /// # Errors
    /// [`Unreadable`] when the bytes give no documents; the file is kept for its path all the same.
    pub fn read(&mut self, path: &str, bytes: Vec<u8>) -> (FileId, Result<Vec<Document>, Unreadable>) {
        // At most as many files as there are inputs in memory, each with a path: far below u32::MAX.
        let id = FileId(u32::try_from(self.files.len()).unwrap_or(u32::MAX));
        let (text, refusal) = match String::from_utf8(bytes) {
            Ok(text) if text.len() <= MAX_BYTES => (text, None),
            Ok(_) => (String::new(), Some(Refusal::TooLong)),
            Err(error) => {
                let good = error.utf8_error().valid_up_to();
                let mut bytes = error.into_bytes();
                bytes.truncate(good);
                (String::from_utf8(bytes).unwrap_or_default(), Some(Refusal::NotUtf8))
            }
        };
        let (lines, blocks) = (line_starts(&text), character_blocks(&text));
        self.files.push(Source { path: path.to_owned(), text, lines, blocks });
        let source = &self.files[self.files.len() - 1];
        let end = Span::point(id, source.text.len());
        let documents = match refusal {
            Some(Refusal::TooLong) => Err(Unreadable::TooLong { place: self.place(Span::point(id, 0)) }),
            Some(Refusal::NotUtf8) => Err(Unreadable::NotUtf8 { place: self.place(end) }),
            None if path.ends_with(".json") => json::read(id, &source.text, &|at| at)
                .map(|document| vec![document])
                .map_err(|fault| self.unreadable(id, fault, "JSON")),
            None => {
                yaml::read(id, &source.text, &|at| at).map_err(|fault| self.unreadable(id, fault, "YAML"))
            }
        };
        (id, documents)
    }

    /// Reads the text that a scalar holds as documents of its own (a ConfigMap's `config.yaml`), with spans
    /// into the file where the scalar is a literal block, and at the scalar's start otherwise.
    ///
    /// # Errors
    /// [`Unreadable`] as for a file.
    pub fn read_embedded(&self, node: &Node, language: Embedded) -> Result<Vec<Document>, Unreadable> {
        let Value::Scalar(scalar) = &node.value else { return Ok(Vec::new()) };
        let id = node.span.file;
        let map = embedded::offsets(&self.file(id).text, node.span, scalar);
        let to_file = |at: usize| map.to_file(at);
        match language {
            Embedded::Yaml => {
                yaml::read(id, &scalar.text, &to_file).map_err(|fault| self.unreadable(id, fault, "YAML"))
            }
            Embedded::Json => json::read(id, &scalar.text, &to_file)
                .map(|document| vec![document])
                .map_err(|fault| self.unreadable(id, fault, "JSON")),
        }
    }

    fn unreadable(&self, id: FileId, fault: Fault, language: &'static str) -> Unreadable {
        let place = self.place(Span::point(id, fault.at));
        match fault.why {
            Why::Syntax(detail) => {
                let templated = self.file(id).text.contains("{{");
                let hint = if templated {
                    "; this looks like a Helm template: lint the output of `helm template`"
                } else if detail.contains('\t') || detail.contains("tabs") {
                    "; indent with spaces"
                } else {
                    ""
                };
                Unreadable::NotYaml { place, language, detail, hint }
            }
            Why::TooDeep => Unreadable::TooDeep { place },
            Why::AliasBomb => Unreadable::AliasBomb { place },
        }
    }

    /// File, line and column at which `span` begins.
    pub fn place(&self, span: Span) -> Place {
        let source = self.file(span.file);
        let line = source.lines.partition_point(|start| *start <= span.start).max(1);
        let begin = source.lines[line - 1] as usize;
        let before = |at: usize| source.characters_before(at);
        let column = before(span.start as usize).saturating_sub(before(begin));
        Place { file: source.path.clone(), line, column: column + 1 }
    }

    /// The line, from 1, at which `span` begins.
    pub fn line(&self, span: Span) -> usize {
        self.file(span.file).lines.partition_point(|start| *start <= span.start).max(1)
    }

    /// How many lines a file has.
    pub fn line_count(&self, file: FileId) -> usize {
        let source = self.file(file);
        source.lines.len() - usize::from(source.text.is_empty() || source.text.ends_with('\n'))
    }

    /// The path of a file as the user named it.
    pub fn path(&self, file: FileId) -> &str {
        &self.file(file).path
    }

    /// The text of a file (what is valid UTF-8 of it).
    pub fn text(&self, file: FileId) -> &str {
        &self.file(file).text
    }

    /// The bytes `start..end` of the line (from 1) without its line break, clamped to the file.
    pub fn line_range(&self, file: FileId, line: usize) -> std::ops::Range<usize> {
        let source = self.file(file);
        let Some(start) = line.checked_sub(1).and_then(|index| source.lines.get(index)) else {
            return source.text.len()..source.text.len();
        };
        let start = *start as usize;
        let end = source.lines.get(line).map_or(source.text.len(), |next| *next as usize);
        let end = start + source.text[start..end].trim_end_matches(['\n', '\r']).len();
        start..end
    }

    fn file(&self, id: FileId) -> &Source {
        &self.files[id.0 as usize]
    }
}

/// What language a scalar's text is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Embedded {
    /// YAML, possibly several documents.
    Yaml,
    /// One JSON value.
    Json,
}

enum Refusal {
    TooLong,
    NotUtf8,
}

/// A reading failure inside one text, before its place is known. `at` is a byte offset into the file.
#[derive(Debug)]
struct Fault {
    at: usize,
    why: Why,
}

#[derive(Debug)]
enum Why {
    Syntax(String),
    TooDeep,
    AliasBomb,
}

/// Bytes a block: the most that are counted to tell a column, however long its line is.
const BLOCK: usize = 1024;

impl Source {
    fn characters_before(&self, at: usize) -> usize {
        let at = at.min(self.text.len());
        let block = at / BLOCK;
        self.blocks[block] as usize + characters(&self.text.as_bytes()[block * BLOCK..at])
    }
}

/// How many characters begin in these bytes of a text.
fn characters(bytes: &[u8]) -> usize {
    bytes.iter().filter(|byte| **byte & 0b1100_0000 != 0b1000_0000).count()
}

fn character_blocks(text: &str) -> Vec<u32> {
    let mut before = 0;
    let mut blocks = vec![0];
    for block in text.as_bytes().chunks_exact(BLOCK) {
        // Fits: a text has at most MAX_BYTES characters.
        before += u32::try_from(characters(block)).unwrap_or(0);
        blocks.push(before);
    }
    blocks
}

fn line_starts(text: &str) -> Vec<u32> {
    let breaks = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
    // Offsets fit: longer texts were replaced by the empty one.
    std::iter::once(0).chain(breaks.map(|(at, _)| u32::try_from(at + 1).unwrap_or(u32::MAX))).collect()
}

#[cfg(test)]
mod tests;
