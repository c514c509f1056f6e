//! `list`: the entries of a folder, one name a line, folders with a `/`.

use super::{Row, Site, exact_paths, not_looked_into, rows_data, sort, wants};
use crate::{
    Undone,
    executor::{
        outcome::Found,
        reach::Kind,
        text::{Sheet, counted, shown_path},
        walk::{DEPTH_MAX, Range, walk},
    },
};
use octollm_plan::{FindKind, SortBy};

pub(super) struct Wish {
    pub(super) hidden: bool,
    pub(super) recursive: bool,
    pub(super) kind: FindKind,
    pub(super) sort: SortBy,
    pub(super) limit: Option<u32>,
    pub(super) details: bool,
}

pub(super) fn list(site: &Site, path: &str, wish: &Wish) -> Result<Found, Undone> {
    let (path, folder) = site.reach.folder(path).map_err(|e| Undone::for_good(e.to_string()))?;
    let mut rows: Vec<Row> = Vec::new();
    let mut folders = 0;
    let range = Range { depth: if wish.recursive { DEPTH_MAX } else { 1 }, hidden: wish.hidden };
    let tally = walk(folder, &path, range, &site.stop, &mut |entry| {
        if wants(wish.kind, entry.kind) {
            rows.push(Row::of(entry));
        }
        folders += u64::from(entry.kind == Kind::Folder);
        Ok(())
    })?;
    sort(&mut rows, wish.sort);
    let total = rows.len() as u64;
    rows.truncate(wish.limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX)));

    let mut sheet = Sheet::default();
    for row in &rows {
        let name = row.path.strip_prefix(&path).unwrap_or(&row.path);
        sheet.line(row.line(name, wish.details, &site.zone));
    }
    let mut sheet = sheet.end();
    if total == 0 {
        sheet.remark(nothing(&shown_path(&path), wish));
    } else if (rows.len() as u64) < total {
        sheet.remark(format!("(the first {} of {})", rows.len(), counted(total, "entry")));
    }
    // "The largest file" may lie deeper.
    let first_of = wish.limit.is_some() && wish.sort != SortBy::Name && wish.kind == FindKind::File;
    let shallow = first_of && !wish.recursive;
    not_looked_into(folders).filter(|_| shallow).iter().for_each(|remark| sheet.remark(remark));
    sheet.remarks(&tally.remarks());
    if tally.cut {
        sheet.not_whole();
    }
    let (text, body) = sheet.finish();
    let data = rows_data(&rows, total, tally.unreadable == 0 && !tally.cut);
    Ok(Found {
        text,
        body,
        data,
        paths: (!tally.cut).then(|| exact_paths(&rows)),
        number: Some(total),
        ..Found::default()
    })
}

fn nothing(path: &str, wish: &Wish) -> String {
    let besides = if wish.hidden { "" } else { " (names that begin with a dot are not shown)" };
    match wish.kind {
        FindKind::Any => format!("{path} is empty{besides}"),
        FindKind::File => format!("{path} has no files{besides}"),
        FindKind::Folder => format!("{path} has no folders{besides}"),
    }
}
