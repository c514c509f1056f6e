//! Strategic merge patches: maps merge, null removes, lists merge by the key that the field tables name.

use crate::manifest::table::{Shape, table};
use crate::read::{Entry, Node, Value};

/// Patches `node`; `false` when the patch deletes the object. With an explicit target, the patch's own kind
/// and name only say how to read it.
pub(super) fn object(node: &mut Node, patch: &Node, has_target: bool) -> bool {
    if patch.text_at(&["$patch"]) == Some("delete") {
        return false;
    }
    let shape = match (node.text_at(&["apiVersion"]), node.text_at(&["kind"])) {
        (Some(version), Some(kind)) => table().kind(version, kind).map_or(Shape::Any, Shape::Type),
        _ => Shape::Any,
    };
    let name = node.at(&["metadata", "name"]).cloned();
    let kind = node.at(&["kind"]).cloned();
    merge(node, patch, &shape);
    if has_target {
        if let Some(name) = name {
            super::set(node, &["metadata", "name"], name);
        }
        if let Some(kind) = kind {
            super::set(node, &["kind"], kind);
        }
    }
    true
}

fn merge(node: &mut Node, patch: &Node, shape: &Shape) {
    match (&mut node.value, &patch.value) {
        (Value::Map(entries), Value::Map(changes)) if patch.text_at(&["$patch"]) != Some("replace") => {
            for change in changes.iter().filter(|change| change.key != "$patch") {
                entry(entries, change, &inner(shape, &change.key));
            }
        }
        (Value::List(items), Value::List(changes)) => {
            let Shape::List(item, Some(key)) = shape else {
                items.clone_from(changes);
                return;
            };
            for change in changes {
                let same = |item: &Node| item.text_at(&[key]) == change.text_at(&[key]);
                match items.iter().position(same) {
                    Some(index) if change.text_at(&["$patch"]) == Some("delete") => {
                        items.remove(index);
                    }
                    Some(index) => merge(&mut items[index], change, item),
                    None => items.push(change.clone()),
                }
            }
        }
        _ => {
            *node = patch.clone();
            if let Value::Map(entries) = &mut node.value {
                entries.retain(|entry| entry.key != "$patch");
            }
        }
    }
}

fn entry(entries: &mut Vec<Entry>, change: &Entry, shape: &Shape) {
    let index = entries.iter().position(|entry| entry.key == change.key);
    match (index, change.value.is_null()) {
        (Some(index), true) => {
            entries.remove(index);
        }
        (None, true) => {}
        (Some(index), false) => {
            if !matches!(change.value.value, Value::Map(_) | Value::List(_)) {
                entries[index].key_span = change.key_span;
            }
            merge(&mut entries[index].value, &change.value, shape);
        }
        (None, false) => entries.push(change.clone()),
    }
}

fn inner(shape: &Shape, key: &str) -> Shape {
    match shape {
        Shape::Type(name) => table()
            .fields(name)
            .iter()
            .find(|field| field.name == key)
            .map_or(Shape::Any, |field| field.shape.clone()),
        Shape::Map(value) => (**value).clone(),
        _ => Shape::Any,
    }
}
