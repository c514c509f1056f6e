//! The rules planner: plans without a model for goals that need only tools.
//!
//! A goal is cut into tokens, the tokens into clauses by a grammar of English phrasings, and
//! the clauses become the steps of a plan, with what "it" and "them" mean as typed references.
//!
//! Promises: P10, it never guesses: every word of the goal is accounted for by a rule or the
//! whole goal is refused, and the refusal names the words. It is a function of its arguments,
//! takes time linear in the goal and a few kilobytes of it at most. The steps ask for exactly
//! the paths, the host and the program that the goal names.
//!
//! Must not know: the file system, the environment, what a policy allows.
//!
//! `docs/offline-goals.md` is printed by [`reference()`] from the tables that the rules use.

mod argv;
mod back;
mod bare;
mod build;
mod clause;
mod compare;
mod conditions;
mod count;
mod cursor;
mod disk;
mod entries;
mod extent;
mod fetch;
mod globbed;
mod grep;
mod hash;
mod kinds;
mod lines;
mod list;
mod machine;
mod named;
mod pattern;
mod place;
mod read;
mod reference;
mod refusal;
mod run;
mod scope;
mod search;
mod state;
mod summary;
mod token;
mod url;
mod whom;
mod words;

pub use place::Place;
pub use reference::reference;
pub use refusal::NotUnderstood;

use crate::Plan;

/// Plans `goal`, or says which of its words are not understood. `place` says what `~` and
/// relative paths mean.
pub fn plan(goal: &str, place: &Place) -> Result<Plan, NotUnderstood> {
    let tokens = with_commas(token::tokens(goal)?, place);
    no_name_in_two_words(&tokens, place)?;
    let clauses = clause::clauses(goal, &tokens, place)?;
    build::plan(&clauses, place)
}

/// `a,b.txt` without a space is one name where it lies, or where its first part is none: `a.txt,b.txt` are two.
fn with_commas(tokens: Vec<token::Token>, place: &Place) -> Vec<token::Token> {
    let mut joined: Vec<token::Token> = Vec::with_capacity(tokens.len());
    for token in tokens {
        if let [.., first, comma] = joined.as_slice()
            && [first, &token].iter().all(|part| part.kind == token::Kind::Word)
            && comma.kind == token::Kind::Comma
            && first.end == comma.start
            && comma.end == token.start
        {
            let text = format!("{},{}", first.text, token.text);
            let name = first.text.rsplit('/').next().unwrap_or_default();
            let is_none = !name.is_empty() && !name.contains('.') && !place.knows(&first.text);
            if place.knows(&text) || (is_none && !first.text.starts_with('-') && named::is_bare_file(&token))
            {
                let lower = text.to_ascii_lowercase();
                let whole = token::Token { text, lower, start: first.start, ..token };
                joined.truncate(joined.len() - 2);
                joined.push(whole);
                continue;
            }
        }
        joined.push(token);
    }
    joined
}

/// Where `my notes.md` lies, "read my notes.md" is not taken to speak of `notes.md`: a name with white space
/// stands in quotes.
fn no_name_in_two_words(tokens: &[token::Token], place: &Place) -> Result<(), NotUnderstood> {
    for pair in tokens.windows(2) {
        let [first, second] = pair else { continue };
        let bare = [first, second].iter().all(|token| token.kind == token::Kind::Word);
        let part = second.text.split('/').next().unwrap_or_default();
        let name = format!("{} {part}", first.text);
        if bare && place.entries.contains(&name) {
            return Err(NotUnderstood::unclear(
                &name,
                "something of that name lies here: put it in quotes, or leave out the first word",
            ));
        }
    }
    Ok(())
}
