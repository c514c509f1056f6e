//! "Find lines not containing 'x' in FILE", "count the lines of FILE without 'x'".
//!
//! Promises: the text is looked for as it stands, and what it lacks is told by `grep -v` in the locked room.

use super::bare::{CHARACTERS, WORKED_OUT, is_article, is_text, is_written};
use super::clause::Clause;
use super::cursor::Cursor;
use super::named::{self, Called};
use super::search;
use super::token::Token;

/// Say that a text is not there.
pub(super) const LACKING: &[&str] = &[
    "not containing",
    "that do not contain",
    "that don't contain",
    "that does not contain",
    "that doesn't contain",
    "which do not contain",
    "which don't contain",
    "do not contain",
    "don't contain",
    "not including",
    "that do not include",
    "that don't include",
    "not mentioning",
    "that do not mention",
    "that don't mention",
    "that do not have",
    "that don't have",
    "lacking",
    "that lack",
    "without",
];
const LINES: &[&str] = &[
    "lines",
    "line",
    "all lines",
    "the lines",
    "all the lines",
    "every line",
    "each line",
    "all of the lines",
    "any lines",
];
/// Begin the counting of lines.
const NUMBER: &[&str] =
    &["count", "how many", "the number of", "number of", "count how many", "tell me how many"];

pub(super) fn clause(c: &mut Cursor<'_>) -> Option<Clause> {
    let counted = c.accept(NUMBER);
    if !counted {
        search::shows(c);
    }
    c.need(LINES)?;
    c.accept(&["are there", "there are"]);
    let before = c.attempt(|c| {
        c.need(&["in", "of", "from"])?;
        named::file(c)
    });
    let without = c.clone().accept(&["without"]);
    c.need(LACKING)?;
    let sought = search::marked(c).or_else(|| {
        let named = |t: &Token| CHARACTERS.contains(&t.lower.as_str()) || (without && is_manner(t));
        let token = c.word(|t| !is_article(t) && is_text(t) && !named(t))?;
        search::sought(&token.text, false)
    });
    let mut sought = sought.filter(|sought| !sought.regex && !sought.pattern.contains('\n'))?;
    search::case(c, &mut sought);
    let of = match before {
        Some(of) => of,
        None => {
            c.need(&["in", "from", "of", "inside", "within"])?;
            let place = c.place();
            let folder = |c: &mut Cursor<'_>| named::folder(c).filter(|of| named::is_folder(&of.path, place));
            named::file(c).or_else(|| c.attempt(folder))?
        }
    };
    search::case(c, &mut sought);
    if named::looks(&of) == Some(Called::Folder) || c.place().is_folder(&of.path) == Some(true) {
        return Some(Clause::Unclear("lines without a text are told of one file: name it"));
    }
    // In the locked room only ASCII has upper and lower case.
    if sought.ignore_case && !sought.pattern.is_ascii() {
        return Some(Clause::Unclear("upper and lower case of such letters is not known here: leave it out"));
    }
    let mut argv = vec!["grep", "-a", "-v", "-F"];
    argv.extend(counted.then_some("-c"));
    argv.extend(sought.ignore_case.then_some("-i"));
    argv.extend(["-e", &sought.pattern]);
    Some(Clause::Program { argv: argv.into_iter().map(str::to_owned).collect(), of: vec![of] })
}

/// Whether lines "with" it hold the word, and no character, manner or judgement is meant.
pub(super) fn is_held(token: &Token) -> bool {
    let lower = token.lower.as_str();
    let named = CHARACTERS.contains(&lower) || WORKED_OUT.contains(&lower) || is_manner(token);
    is_text(token) && (is_written(&token.text) || !named)
}

/// "without numbering" says how lines are shown.
fn is_manner(token: &Token) -> bool {
    const MANNER: &[&str] = &["color", "colour", "wrap", "context", "markup", "style", "order"];
    let ends = ["ing", "tion", "ment", "ity", "ness"];
    MANNER.contains(&token.lower.as_str()) || ends.iter().any(|end| token.lower.ends_with(end))
}
