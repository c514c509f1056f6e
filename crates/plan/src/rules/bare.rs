//! Which bare words may be a text that is looked for, without quotes.

use super::named;
use super::token::{Kind, Token};

/// Words that name a judgement rather than a text. A plural does, too.
const JUDGEMENTS: &[&str] = &[
    "bug",
    "issue",
    "problem",
    "vulnerability",
    "mistake",
    "typo",
    "duplicate",
    "secret",
    "malware",
    "virus",
    "leak",
    "flaw",
    "weakness",
    "clue",
    "answer",
    "information",
    "info",
    "data",
    "anything",
    "something",
    "everything",
    "nothing",
    "evidence",
    "meaning",
    "inspiration",
    "advice",
    "help",
    "me",
    "it",
    "them",
    "that",
    "this",
    "files",
    "folders",
    "file",
    "folder",
    "lines",
    "text",
    "any",
    "all",
    "the",
    "a",
    "an",
    "my",
    "new",
    "old",
    "code",
    "plagiarism",
    "trouble",
    "content",
    "stuff",
    "truth",
    "treasure",
    "love",
    "happiness",
    "life",
    "sensitive",
    "suspicious",
    "interesting",
    "unused",
    "dead",
    "what",
    "where",
    "who",
    "how",
    "why",
    "whatever",
    "corruption",
    "performance",
    "security",
    "quality",
    "syntax",
    "grammar",
    "spelling",
    "music",
    "song",
    "audio",
    "video",
    "movie",
    "film",
    "photo",
    "picture",
    "image",
    "book",
    "document",
    "spreadsheet",
    "software",
    "app",
    "program",
    "spam",
    "porn",
    "profanity",
    "recursion",
    "documentation",
    "whitespace",
    "punctuation",
];

/// Words that ask for a judgement where something is only to be found, and not looked for; in a log some are texts.
pub(super) const WORKED_OUT: &[&str] = &[
    "error",
    "warning",
    "exception",
    "failure",
    "fault",
    "crash",
    "cause",
    "reason",
    "solution",
    "title",
    "topic",
    "subject",
    "theme",
    "author",
    "name",
    "date",
    "pattern",
    "trend",
    "outlier",
    "anomaly",
    "difference",
    "change",
    "line",
    "word",
    "number",
    "character",
    "letter",
    "sentence",
    "paragraph",
    "max",
    "min",
    "maximum",
    "minimum",
    "average",
    "mean",
    "median",
    "mode",
    "sum",
    "total",
    "count",
    "length",
    "size",
    "value",
    "result",
    "root",
    "key",
    "winner",
    "conclusion",
    "summary",
    "gist",
    "point",
    "definition",
    "function",
    "class",
    "method",
    "variable",
    "loop",
    "leak",
    "injection",
    "password",
    "keyword",
    "quote",
    "section",
    "chapter",
    "heading",
    "longest",
    "shortest",
    "largest",
    "biggest",
    "smallest",
    "highest",
    "lowest",
    "latest",
    "newest",
    "oldest",
    "first",
    "last",
    "best",
    "worst",
    "most",
    "least",
    "next",
    "unique",
    "common",
    "similar",
    "same",
    "prime",
];

/// Names of characters and of what has no text, which may be said of the thing and not of the word.
pub(super) const CHARACTERS: &[&str] = &[
    "comma",
    "semicolon",
    "colon",
    "period",
    "dot",
    "tab",
    "digit",
    "vowel",
    "uppercase",
    "lowercase",
    "comment",
    "number",
    "letter",
    "blank",
    "empty",
    "space",
    "bracket",
    "quote",
    "capital",
    "underscore",
    "hyphen",
    "dash",
    "slash",
    "whitespace",
    "punctuation",
    "parenthesis",
    "umlaut",
    "accent",
    "emoji",
    "symbol",
];

/// Whether a bare word says which characters are meant: "spaces", "a digit".
pub(super) fn is_character(token: &Token) -> bool {
    let lower = token.lower.as_str();
    let known = |word: &str| CHARACTERS.contains(&word);
    let several = |end| lower.strip_suffix(end).is_some_and(known);
    token.kind == Kind::Word && (known(lower) || several("s") || several("es"))
}

/// What to say instead of one.
pub(super) const SAY_CHARACTERS: &str = "a kind of character is not looked for: put what is meant in quotes, such as ' ' for a \
                                         space, '_' for an underscore, or the word itself";

/// Whether a word names what is computed, also from a log.
pub(super) fn is_computed(word: &str) -> bool {
    !matches!(
        word.to_ascii_lowercase().as_str(),
        "error" | "warning" | "exception" | "failure" | "fault" | "crash" | "password"
    )
}

pub(super) fn is_article(token: &Token) -> bool {
    matches!(
        token.lower.as_str(),
        "the"
            | "a"
            | "an"
            | "in"
            | "of"
            | "for"
            | "my"
            | "all"
            | "any"
            | "with"
            | "and"
            | "or"
            | "that"
            | "not"
    )
}

/// Whether a bare word is meant as it stands: written like a name in a program or a log, or a
/// plain singular word that is no judgement.
pub(super) fn is_text(token: &Token) -> bool {
    let text = token.text.as_str();
    if named::ENDINGS.iter().any(|e| token.lower.ends_with(&format!(".{e}")))
        || text.contains(['*', '/', '\''])
        || text.starts_with('.')
    {
        return false;
    }
    let plural = token.lower.ends_with('s') && !token.lower.ends_with("ss");
    let plain = text.bytes().all(|b| b.is_ascii_alphabetic() || b == b'-') && !plural;
    is_written(text) || (plain && !JUDGEMENTS.contains(&token.lower.as_str()))
}

/// A bare word that is written as in a program or a log and cannot be English.
pub(super) fn is_code(token: &Token) -> bool {
    is_text(token) && is_written(&token.text)
}

/// `TODO`, `max_retries`, `Vec::new`, `PermitRootLogin`.
pub(super) fn is_written(text: &str) -> bool {
    let upper = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_' || b == b'-';
    let inner =
        text.as_bytes().windows(2).any(|two| two[0].is_ascii_lowercase() && two[1].is_ascii_uppercase());
    (text.len() > 1 && text.bytes().all(upper))
        || inner
        || text.contains('_')
        || text.contains("::")
        || text.bytes().any(|b| b.is_ascii_digit())
}
