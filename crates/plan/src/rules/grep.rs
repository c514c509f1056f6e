//! `grep -rn PATTERN PLACE`, as on a command line, and "grep for TODO in PLACE".
//!
//! Promises: a pattern means what it means to `grep`; an option that changes what is found is
//! honoured, and one that is not known here refuses the goal.

use super::bare::is_article;
use super::clause::Clause;
use super::cursor::Cursor;
use super::pattern;
use super::search;
use super::sought::Sought;
use super::token::{Kind, Token};

/// How a pattern is written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Syntax {
    /// A basic regular expression.
    Basic,
    /// `-E`
    Extended,
    /// `-F`
    Fixed,
}

pub(super) fn clause(c: &mut Cursor<'_>) -> Option<Clause> {
    let syntax =
        c.choose(&[("grep", Syntax::Basic), ("egrep", Syntax::Extended), ("fgrep", Syntax::Fixed)])?;
    let (mut ignore_case, mut syntax, mut unclear) = (false, syntax, None);
    while let Some(options) = c.word(is_known) {
        for option in options.text.chars() {
            match option {
                'i' => ignore_case = true,
                'E' => syntax = Syntax::Extended,
                'F' => syntax = Syntax::Fixed,
                // Folders are always searched below, and the numbers of lines are always given.
                _ => {}
            }
        }
    }
    let spoken = c.accept(&["for"]) || c.peek().is_some_and(|t| t.lower == "the");
    let mut sought = match c.attempt(|c| if spoken { search::marked(c) } else { None }) {
        Some(sought) => sought,
        None => {
            let quoted = c.take(|t| t.kind == Kind::Quoted);
            // `grep a notes.txt`: what stands behind the program is looked for.
            let letter = |t: &Token| t.lower == "a" && !spoken;
            let token =
                quoted.or_else(|| c.word(|t| (!is_article(t) || letter(t)) && !t.text.starts_with('-')))?;
            let meant = match syntax {
                _ if spoken => Ok((token.text.clone(), false)),
                Syntax::Fixed => Ok((token.text.clone(), false)),
                Syntax::Extended => pattern::extended(&token.text).map(|regex| (regex, true)),
                Syntax::Basic => pattern::basic(&token.text),
            };
            let (pattern, regex) = meant.unwrap_or_else(|why| {
                unclear = Some(why);
                (token.text.clone(), false)
            });
            // What `grep` takes is no matter of doubt.
            Sought { regex, told: !spoken, ..search::sought(&pattern, false)? }
        }
    };
    sought.ignore_case = ignore_case;
    search::case(c, &mut sought);
    c.accept(&["recursively"]);
    c.accept(search::INSIDE);
    let of = search::place(c)?;
    let clause = search::finish(c, sought, of)?;
    Some(unclear.map_or(clause, Clause::Unclear))
}

/// `-rn`, of options that this file knows.
fn is_known(token: &Token) -> bool {
    is_option(&token.text)
}

pub(super) fn is_option(word: &str) -> bool {
    let options = word.strip_prefix('-').unwrap_or_default();
    !options.is_empty()
        && options.chars().all(|option| matches!(option, 'i' | 'E' | 'F' | 'r' | 'R' | 'n' | 'H'))
}
