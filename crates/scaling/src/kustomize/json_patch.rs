//! JSON 6902 patches: `add`, `replace`, `remove` and `test` on a pointer.

use crate::read::{Entry, Node, Value};

/// Carries one operation out on `node`.
pub(super) fn apply(node: &mut Node, operation: &Node) -> Result<(), String> {
    let op = operation.text_at(&["op"]).unwrap_or("");
    let path = operation.text_at(&["path"]).unwrap_or("");
    let value = operation.entry("value").map(|entry| entry.value.clone());
    let steps: Vec<String> =
        path.split('/').skip(1).map(|step| step.replace("~1", "/").replace("~0", "~")).collect();
    let Some((last, parents)) = steps.split_last() else {
        return Err(format!("the path `{path}` names no field; begin it with /"));
    };
    let mut parent = node;
    for step in parents {
        parent =
            child(parent, step).ok_or_else(|| format!("nothing is at `{path}`: `{step}` does not exist"))?;
    }
    match (op, value) {
        ("add", Some(value)) => add(parent, last, value),
        ("replace", Some(value)) => match child(parent, last) {
            Some(old) => {
                *old = value;
                Ok(())
            }
            None => Err(format!("nothing is at `{path}` to replace; use add")),
        },
        ("remove", _) => remove(parent, last).ok_or_else(|| format!("nothing is at `{path}` to remove")),
        ("test", Some(value)) => match child(parent, last) {
            Some(found) if found.text() == value.text() => Ok(()),
            Some(_) | None => Err(format!("`{path}` is not what the patch tests for")),
        },
        _ => Err(format!("the operation `{op}` is not carried out; write it with add, replace and remove")),
    }
}

fn child<'a>(node: &'a mut Node, step: &str) -> Option<&'a mut Node> {
    match &mut node.value {
        Value::Map(entries) => {
            entries.iter_mut().find(|entry| entry.key == step).map(|entry| &mut entry.value)
        }
        Value::List(items) => step.parse::<usize>().ok().and_then(|index| items.get_mut(index)),
        Value::Null | Value::Scalar(_) => None,
    }
}

fn add(parent: &mut Node, last: &str, value: Node) -> Result<(), String> {
    match &mut parent.value {
        Value::Map(entries) => {
            match entries.iter_mut().find(|entry| entry.key == last) {
                Some(entry) => entry.value = value,
                None => {
                    entries.push(Entry { key: last.to_owned(), key_span: value.span, value });
                }
            }
            Ok(())
        }
        Value::List(items) if last == "-" => {
            items.push(value);
            Ok(())
        }
        Value::List(items) => match last.parse::<usize>() {
            Ok(index) if index <= items.len() => {
                items.insert(index, value);
                Ok(())
            }
            Ok(_) | Err(_) => Err(format!("`{last}` is no place in the list; use - to append")),
        },
        Value::Null | Value::Scalar(_) => Err(format!("`{last}` cannot be added to a single value")),
    }
}

fn remove(parent: &mut Node, last: &str) -> Option<()> {
    match &mut parent.value {
        Value::Map(entries) => {
            let index = entries.iter().position(|entry| entry.key == last)?;
            entries.remove(index);
        }
        Value::List(items) => {
            let index = last.parse::<usize>().ok().filter(|index| *index < items.len())?;
            items.remove(index);
        }
        Value::Null | Value::Scalar(_) => return None,
    }
    Some(())
}
