//! "Sorted by size, smallest first", "from Z to A": in what order files are shown.

use super::cursor::{Cursor, Table};
use super::token::Kind;
use crate::SortBy;

pub(super) const ORDERS: &Table<SortBy> = &[
    ("largest", SortBy::Largest),
    ("biggest", SortBy::Largest),
    ("smallest", SortBy::Smallest),
    ("newest", SortBy::Newest),
    ("latest", SortBy::Newest),
    ("most recent", SortBy::Newest),
    ("most recently modified", SortBy::Newest),
    ("most recently changed", SortBy::Newest),
    ("most recently updated", SortBy::Newest),
    ("last modified", SortBy::Newest),
    ("oldest", SortBy::Oldest),
    ("least recently modified", SortBy::Oldest),
];

pub(super) const SORTED: &Table<SortBy> = &[
    ("by name", SortBy::Name),
    ("alphabetically", SortBy::Name),
    ("in alphabetical order", SortBy::Name),
    ("in order of name", SortBy::Name),
    ("by size", SortBy::Largest),
    ("in order of size", SortBy::Largest),
    ("in order of date", SortBy::Newest),
    ("by size largest first", SortBy::Largest),
    ("by size descending", SortBy::Largest),
    ("by size in descending order", SortBy::Largest),
    ("by descending size", SortBy::Largest),
    ("largest first", SortBy::Largest),
    ("biggest first", SortBy::Largest),
    ("from largest to smallest", SortBy::Largest),
    ("by size ascending", SortBy::Smallest),
    ("by size smallest first", SortBy::Smallest),
    ("by size in ascending order", SortBy::Smallest),
    ("by ascending size", SortBy::Smallest),
    ("smallest first", SortBy::Smallest),
    ("from smallest to largest", SortBy::Smallest),
    ("by date", SortBy::Newest),
    ("by time", SortBy::Newest),
    ("by modification time", SortBy::Newest),
    ("by modification date", SortBy::Newest),
    ("by date modified", SortBy::Newest),
    ("newest first", SortBy::Newest),
    ("latest first", SortBy::Newest),
    ("most recent first", SortBy::Newest),
    ("from newest to oldest", SortBy::Newest),
    ("oldest first", SortBy::Oldest),
    ("from oldest to newest", SortBy::Oldest),
    ("newest last", SortBy::Oldest),
    ("latest last", SortBy::Oldest),
    ("most recent last", SortBy::Oldest),
    ("oldest last", SortBy::Newest),
    ("largest last", SortBy::Smallest),
    ("biggest last", SortBy::Smallest),
    ("smallest last", SortBy::Largest),
];
/// The names from Z to A.
pub(super) const TURNED: &[&str] = &[
    "in reverse order of name",
    "in reverse order of names",
    "in reverse order by name",
    "in reverse order of their names",
    "in reverse alphabetical order",
    "reverse alphabetically",
    "by name in reverse",
    "by name in reverse order",
    "by name reversed",
    "by name descending",
    "by name in descending order",
    "by name from z to a",
    "by reverse name",
    "alphabetically in reverse",
    "alphabetically in reverse order",
    "in alphabetical order reversed",
    "from z to a",
];
/// Keys that say no direction, and their order from low to high; without a direction it is the other.
const KEYS: &Table<SortBy> = &[
    ("by size", SortBy::Smallest),
    ("in order of size", SortBy::Smallest),
    ("by date", SortBy::Oldest),
    ("in order of date", SortBy::Oldest),
    ("by time", SortBy::Oldest),
    ("by modification time", SortBy::Oldest),
    ("by modification date", SortBy::Oldest),
    ("by date modified", SortBy::Oldest),
];
/// Whether from low to high.
const DIRECTIONS: &Table<bool> = &[
    ("ascending", true),
    ("in ascending order", true),
    ("descending", false),
    ("in descending order", false),
];
const SORT_VERBS: &[&str] = &[
    "sorted",
    "ordered",
    "and sort them",
    "and order them",
    "then sort them",
    "sort",
    "sort them",
    "in order",
    "arranged",
];

/// An order that stands behind what is put in it.
pub(super) enum Order {
    By(SortBy),
    /// By name, from Z to A.
    Turned,
}

pub(super) fn order(c: &mut Cursor<'_>) -> Option<Order> {
    let turned = c.attempt(|c| {
        if !c.clone().accept(TURNED) {
            c.accept(SORT_VERBS);
        }
        c.need(TURNED)
    });
    if turned.is_some() {
        return Some(Order::Turned);
    }
    c.attempt(|c| {
        // "in order of size" is one phrase, "in order by size" is two.
        if c.clone().choose(SORTED).is_none() {
            c.accept(SORT_VERBS);
        }
        let key = c.clone().choose(KEYS);
        let order = c.choose(SORTED)?;
        // "by date, newest first" says the same twice, "by date, oldest first" says the direction.
        let direction = c.attempt(|c| {
            c.punctuation(Kind::Comma);
            let turned =
                key.and_then(|ascending| c.choose(DIRECTIONS).map(|up| if up { ascending } else { order }));
            turned.or_else(|| c.choose(SORTED).filter(|again| *again == order || key == Some(*again)))
        });
        Some(direction.unwrap_or(order))
    })
    .map(Order::By)
}
