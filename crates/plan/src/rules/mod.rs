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
mod lacking;
mod lines;
mod list;
mod machine;
mod named;
mod orders;
mod pattern;
mod place;
mod read;
mod reference;
mod refusal;
mod run;
mod scope;
mod search;
mod sought;
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

/// What a goal writes with a slash: the paths of which [`Place`] may say what they are.
#[must_use]
pub fn paths(goal: &str) -> Vec<String> {
    let tokens = token::tokens(goal).unwrap_or_default().into_iter();
    let texts = tokens.map(|token| token.text).filter(|text| text.contains('/') && !token::is_url(text));
    texts.collect()
}

/// A name of more parts than this stands in quotes.
const MAX_PARTS: usize = 8;

/// `a,b.txt` without a space is one name where it lies, or where no file ends before the comma: `a.txt,b.txt` are
/// two.
fn with_commas(tokens: Vec<token::Token>, place: &Place) -> Vec<token::Token> {
    let mut joined: Vec<token::Token> = Vec::with_capacity(tokens.len());
    let mut left = tokens.as_slice();
    while let [first, behind @ ..] = left {
        match longest_name(left, place) {
            Some((name, taken)) => {
                joined.push(name);
                left = left.get(taken..).unwrap_or_default();
            }
            None => {
                joined.push(first.clone());
                left = behind;
            }
        }
    }
    joined
}

/// The name with commas that the tokens begin with, and how many of them it takes. What is known to lie here goes
/// before what looks like one name, and the longer before the shorter.
fn longest_name(tokens: &[token::Token], place: &Place) -> Option<(token::Token, usize)> {
    let first = tokens.first().filter(|token| token.kind == token::Kind::Word)?;
    let mut runs: Vec<(token::Token, usize)> = Vec::new();
    let (mut name, mut last) = (first.clone(), first);
    // With a slash behind the comma a path of its own begins there.
    for pair in tokens.get(1..)?.chunks_exact(2).take(MAX_PARTS - 1) {
        let [comma, part] = pair else { break };
        let glued = last.end == comma.start && comma.end == part.start;
        let is_part = comma.kind == token::Kind::Comma && part.kind == token::Kind::Word;
        if !glued || !is_part || part.text.contains('/') {
            break;
        }
        let text = format!("{},{}", name.text, part.text);
        let lower = text.to_ascii_lowercase();
        name = token::Token { text, lower, end: part.end, ..name };
        last = part;
        runs.push((name.clone(), 2 * runs.len() + 3));
    }
    let lies = |name: &str| place.cwd.is_some() && place.entries.contains(name);
    let is_none = |part: &str| {
        let name = part.rsplit('/').next().unwrap_or_default();
        !name.is_empty() && !name.contains('.') && !lies(part)
    };
    let looks = |taken: usize| {
        let mut parts = tokens.get(..taken).unwrap_or_default().iter().step_by(2);
        !first.text.starts_with('-')
            && parts.next_back().is_some_and(named::is_bare_file)
            && parts.all(|part| is_none(&part.text))
    };
    let known = runs.iter().rposition(|(name, _)| lies(&name.text));
    let at = known.or_else(|| runs.iter().rposition(|(_, taken)| looks(*taken)))?;
    Some(runs.swap_remove(at))
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
