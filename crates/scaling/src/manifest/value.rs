//! Typed values that keep their place, and the ways to take them out of a tree.

use crate::quantity::Quantity;
use crate::read::{Node, Span};

/// A value and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct At<T> {
    /// The value.
    pub value: T,
    /// Where it stands.
    pub span: Span,
}

impl<T> At<T> {
    pub(crate) fn new(value: T, span: Span) -> Self {
        Self { value, span }
    }
}

/// The text under `keys`.
pub(crate) fn text(node: &Node, keys: &[&str]) -> Option<At<String>> {
    let node = node.at(keys)?;
    node.text().map(|text| At::new(text.to_owned(), node.span))
}

/// The whole number under `keys`; `None` for what is none, which the field tables report.
pub(crate) fn integer(node: &Node, keys: &[&str]) -> Option<At<i64>> {
    let node = node.at(keys)?;
    node.scalar()?.integer().map(|value| At::new(value, node.span))
}

/// The quantity under `keys`; `None` for what is none.
pub(crate) fn quantity(node: &Node, keys: &[&str]) -> Option<At<Quantity>> {
    let node = node.at(keys)?;
    node.text()?.parse().ok().map(|value| At::new(value, node.span))
}

/// The texts of a list under `keys`.
pub(crate) fn texts(node: &Node, keys: &[&str]) -> Vec<At<String>> {
    let items = node.at(keys).map_or(&[][..], Node::items);
    items.iter().filter_map(|item| item.text().map(|text| At::new(text.to_owned(), item.span))).collect()
}

/// The keys and texts of a map under `keys`.
pub(crate) fn pairs(node: &Node, keys: &[&str]) -> Vec<(String, At<String>)> {
    let entries = node.at(keys).map_or(&[][..], Node::entries);
    entries
        .iter()
        .filter_map(|entry| {
            let text = entry.value.text()?;
            Some((entry.key.clone(), At::new(text.to_owned(), entry.value.span)))
        })
        .collect()
}
