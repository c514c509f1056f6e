//! A place in the row of tokens, and the few moves that every grammar rule is made of.
//!
//! Promises: a rule that gives up leaves the cursor where it was; the furthest token that any
//! rule understood is remembered, so that a refusal can name the words behind it.

use super::named;
use super::place::Place;
use super::token::{Kind, Token};
use std::cell::Cell;

/// A table of phrases and what each means.
pub(super) type Table<T> = [(&'static str, T)];

#[derive(Clone)]
pub(super) struct Cursor<'t> {
    goal: &'t str,
    tokens: &'t [Token],
    place: &'t Place,
    at: usize,
    furthest: &'t Cell<usize>,
}

impl<'t> Cursor<'t> {
    pub(super) fn new(
        goal: &'t str,
        tokens: &'t [Token],
        place: &'t Place,
        furthest: &'t Cell<usize>,
    ) -> Self {
        Cursor { goal, tokens, place, at: 0, furthest }
    }

    /// What paths mean here.
    pub(super) fn place(&self) -> &'t Place {
        self.place
    }

    /// A folder that lies here and is the furthest token or the one before, the last one or before a joint.
    pub(super) fn folder_at_furthest(&self) -> Option<(usize, &'t str)> {
        let furthest = self.furthest.get().max(self.at);
        [Some(furthest), furthest.checked_sub(1)].into_iter().flatten().find_map(|at| {
            let token = self.tokens.get(at)?;
            let last = self.tokens.get(at + 1).is_none_or(|t| !matches!(t.kind, Kind::Word | Kind::Quoted));
            (last && named::is_folder(&token.text, self.place)).then_some((at, token.text.as_str()))
        })
    }

    /// A bare word at the furthest token, where only a path would do: behind one of `before` and
    /// in front of nothing or of one of `behind`.
    pub(super) fn bare_at_furthest(&self, before: &[&str], behind: &[&str]) -> Option<&'t str> {
        let furthest = self.furthest.get().max(self.at);
        // A quote was read before it turned out to be no path.
        let read =
            furthest.checked_sub(1).filter(|at| self.tokens.get(*at).is_some_and(|t| t.kind == Kind::Quoted));
        let at = read.unwrap_or(furthest);
        let token = self.tokens.get(at).filter(|t| matches!(t.kind, Kind::Word | Kind::Quoted))?;
        let announced = self.tokens.get(at.checked_sub(1)?)?;
        let ends = self.tokens.get(at + 1).is_none_or(|t| match t.kind {
            Kind::Word => behind.contains(&t.lower.as_str()),
            Kind::Quoted => false,
            Kind::Comma | Kind::Semicolon | Kind::Stop | Kind::Newline => true,
        });
        let quoted = token.kind == Kind::Quoted && !token.text.contains(char::is_control);
        let plain = quoted || token.text.chars().all(|c| c.is_alphanumeric() || matches!(c, '-' | '_' | '/'));
        let led = announced.kind == Kind::Word && before.contains(&announced.lower.as_str());
        (plain && led && ends && !named::is_grammar(token)).then_some(token.text.as_str())
    }

    pub(super) fn at(&self) -> usize {
        self.at
    }

    pub(super) fn peek(&self) -> Option<&'t Token> {
        self.tokens.get(self.at)
    }

    pub(super) fn is_done(&self) -> bool {
        self.at >= self.tokens.len()
    }

    /// The words behind the furthest token that was understood, or from the cursor on when none
    /// are left there, or the whole goal.
    pub(super) fn unclear_from_furthest(&self) -> &'t str {
        let furthest = self.text_from(self.furthest.get().max(self.at));
        let own = self.text_from(self.at);
        [furthest, own].into_iter().find(|text| text.contains(char::is_alphanumeric)).unwrap_or(self.goal)
    }

    /// Whether one of `words` stands here or further on.
    pub(super) fn has_ahead(&self, words: &[&str]) -> bool {
        let ahead = self.tokens.get(self.at..).unwrap_or_default();
        ahead.iter().any(|token| token.kind == Kind::Word && words.contains(&token.lower.as_str()))
    }

    /// The goal's own text from the cursor on.
    pub(super) fn rest(&self) -> &'t str {
        self.text_from(self.at)
    }

    fn text_from(&self, at: usize) -> &'t str {
        self.tokens.get(at).map_or("", |token| &self.goal[token.start..])
    }

    /// Whether the tokens from `from` up to `to` are quoted names without a slash.
    pub(super) fn all_quoted(&self, from: usize, to: usize) -> bool {
        let tokens = self.tokens.get(from..to).unwrap_or_default();
        !tokens.is_empty() && tokens.iter().all(|t| t.kind == Kind::Quoted && !t.text.contains('/'))
    }

    /// The goal's own text from the token at `from` up to the cursor.
    pub(super) fn since(&self, from: usize) -> &'t str {
        match (self.tokens.get(from), self.at.checked_sub(1).and_then(|last| self.tokens.get(last))) {
            (Some(first), Some(last)) if first.start < last.end => &self.goal[first.start..last.end],
            _ => "",
        }
    }

    pub(super) fn bump(&mut self) {
        self.at += 1;
        self.furthest.set(self.furthest.get().max(self.at));
    }

    /// Runs `rule`; when it gives up, the cursor is where it was.
    pub(super) fn attempt<T>(&mut self, rule: impl FnOnce(&mut Self) -> Option<T>) -> Option<T> {
        let before = self.at;
        let found = rule(self);
        if found.is_none() {
            self.at = before;
        }
        found
    }

    /// Like [`Cursor::attempt`], for a rule of last resort: what it understood before it gave up is
    /// not remembered.
    pub(super) fn last_resort<T>(&mut self, rule: impl FnOnce(&mut Self) -> Option<T>) -> Option<T> {
        let furthest = self.furthest.get();
        let found = self.attempt(rule);
        if found.is_none() {
            self.furthest.set(furthest);
        }
        found
    }

    /// Runs `rule` on a copy, for comparing several readings: where it ended and what it read.
    pub(super) fn attempt_from<T>(&self, rule: impl FnOnce(&mut Self) -> Option<T>) -> Option<(Self, T)> {
        let mut copy = self.clone();
        rule(&mut copy).map(|read| (copy, read))
    }

    /// Takes one token that `fits`.
    pub(super) fn take(&mut self, fits: impl FnOnce(&Token) -> bool) -> Option<&'t Token> {
        let token = self.peek().filter(|token| fits(token))?;
        self.bump();
        Some(token)
    }

    /// Takes a comma with no space on either side, as in `sed -n 1,2p`.
    pub(super) fn glued_comma(&mut self) -> bool {
        let around =
            (self.at.checked_sub(1).and_then(|at| self.tokens.get(at)), self.tokens.get(self.at + 1));
        let (Some(before), Some(after)) = around else { return false };
        self.take(|t| t.kind == Kind::Comma && before.end == t.start && t.end == after.start).is_some()
    }

    /// Takes `option` with a comma right behind it, in front of another argument: `-d,` in `cut -d, -f1 a.csv`.
    pub(super) fn option_with_comma(&mut self, option: &str) -> bool {
        self.attempt(|c| {
            let word = c.word(|t| t.text == option)?;
            c.take(|t| t.kind == Kind::Comma && t.start == word.end)?;
            c.peek().filter(|t| matches!(t.kind, Kind::Word | Kind::Quoted)).map(|_| ())
        })
        .is_some()
    }

    pub(super) fn word(&mut self, fits: impl FnOnce(&Token) -> bool) -> Option<&'t Token> {
        self.take(|token| token.kind == Kind::Word && fits(token))
    }

    pub(super) fn punctuation(&mut self, kind: Kind) -> bool {
        self.take(|token| token.kind == kind).is_some()
    }

    /// Takes the longest of `phrases` that stands here.
    pub(super) fn accept(&mut self, phrases: &[&str]) -> bool {
        let Some(letter) = self.letter() else { return false };
        let near = phrases.iter().filter(|phrase| phrase.as_bytes().first() == Some(&letter));
        let longest = near.filter_map(|phrase| self.length_of(phrase)).max();
        longest.is_some_and(|words| self.skip(words))
    }

    /// Like [`Cursor::accept`], as an `Option` to be used with `?`.
    pub(super) fn need(&mut self, phrases: &[&str]) -> Option<()> {
        self.accept(phrases).then_some(())
    }

    /// Takes the longest phrase of `table` that stands here, for what it means.
    pub(super) fn choose<T: Copy>(&mut self, table: &Table<T>) -> Option<T> {
        let letter = self.letter()?;
        let near = table.iter().filter(|(phrase, _)| phrase.as_bytes().first() == Some(&letter));
        let fitting = near.filter_map(|(phrase, value)| Some((self.length_of(phrase)?, *value)));
        let (words, value) = fitting.max_by_key(|(words, _)| *words)?;
        self.skip(words);
        Some(value)
    }

    fn skip(&mut self, words: usize) -> bool {
        (0..words).for_each(|_| self.bump());
        true
    }

    /// The first byte of the word that stands here. A goal is held against thousands of phrases, and
    /// nearly all part from it there.
    fn letter(&self) -> Option<u8> {
        let word = self.peek().filter(|token| token.kind == Kind::Word)?;
        word.lower.as_bytes().first().copied()
    }

    /// How many tokens `phrase` covers, if it stands here.
    fn length_of(&self, phrase: &str) -> Option<usize> {
        let mut left = phrase.as_bytes();
        for (words, token) in (1..).zip(self.tokens.get(self.at..)?) {
            if token.kind != Kind::Word {
                return None;
            }
            // `-L` is another option than `-l`.
            let word = if left.first() == Some(&b'-') { &token.text } else { &token.lower };
            match left.strip_prefix(word.as_bytes())?.split_first() {
                None => return Some(words),
                Some((b' ', rest)) => left = rest,
                Some(_) => return None,
            }
        }
        None
    }
}
