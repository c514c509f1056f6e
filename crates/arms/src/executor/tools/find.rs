//! `find`: entries below a folder that fit every condition, one path a line.

use super::{Row, Site, exact_paths, rows_data, sort, wants};
use crate::{
    Undone,
    executor::{
        glob::Glob,
        outcome::Found,
        reach::Kind,
        text::{Sheet, counted, shown_path},
        walk::{DEPTH_MAX, Range, walk},
    },
};
use octollm_contract::Millis;
use octollm_plan::{FindKind, SizeBound, SortBy};

pub(super) struct Wish {
    pub(super) name: Option<String>,
    pub(super) max_depth: Option<u32>,
    pub(super) kind: FindKind,
    pub(super) newer_than: Option<Millis>,
    pub(super) older_than: Option<Millis>,
    pub(super) size: SizeBound,
    pub(super) sort: SortBy,
    pub(super) limit: Option<u32>,
}

pub(super) fn find(site: &Site, path: &str, wish: &Wish) -> Result<Found, Undone> {
    let (path, folder) = site.reach.folder(path).map_err(|e| Undone::for_good(e.to_string()))?;
    let glob = Glob::of(wish.name.as_deref())?;
    let moment =
        |age: Millis| site.now.as_millis().saturating_sub(i64::try_from(age.get()).unwrap_or(i64::MAX));
    let (after, before) = (wish.newer_than.map(moment), wish.older_than.map(moment));
    let sized = wish.size.at_least.is_some() || wish.size.at_most.is_some();
    let mut rows: Vec<Row> = Vec::new();
    let range = Range { depth: wish.max_depth.unwrap_or(DEPTH_MAX).clamp(1, DEPTH_MAX), hidden: true };
    let tally = walk(folder, &path, range, &site.stop, &mut |entry| {
        let fits = wants(wish.kind, entry.kind)
            && glob.as_ref().is_none_or(|glob| glob.fits(entry.name()))
            && after.is_none_or(|after| entry.modified() >= after)
            && before.is_none_or(|before| entry.modified() < before)
            // Only files have a size that means something to people.
            && (!sized || entry.kind == Kind::File)
            && wish.size.at_least.is_none_or(|least| entry.bytes() >= least)
            && wish.size.at_most.is_none_or(|most| entry.bytes() <= most);
        if fits {
            rows.push(Row::of(entry));
        }
        Ok(())
    })?;
    sort(&mut rows, wish.sort);
    let total = rows.len() as u64;
    rows.truncate(wish.limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX)));

    let mut sheet = Sheet::default();
    for row in &rows {
        let name = shown_path(&row.path);
        sheet.line(if row.kind == Kind::Folder { format!("{name}/") } else { name });
    }
    let mut sheet = sheet.end();
    if total == 0 {
        sheet.remark(format!(
            "nothing found below {} ({} looked at)",
            shown_path(&path),
            counted(tally.seen, "entry")
        ));
    } else if (rows.len() as u64) < total {
        sheet.remark(format!("(the first {} of {})", rows.len(), counted(total, "entry")));
    }
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
        paths: if tally.cut { None } else { exact_paths(&rows) },
        number: Some(total),
        ..Found::default()
    })
}
