//! `disk_use`: how many bytes lie in files and below folders; a file with several names counts once.

use super::{DATA_ENTRIES, Site};
use crate::{
    Undone,
    executor::{
        files::Faults,
        outcome::Found,
        reach::{Kind, Opened},
        text::{Sheet, counted, shown_path, size},
        walk::{Range, Tally, walk},
    },
};
use serde_json::{Value, json};
use std::collections::HashSet;

#[derive(Clone, Copy, Default)]
struct Use {
    bytes: u64,
    files: u64,
    folders: u64,
}

pub(super) fn disk_use(site: &Site, paths: &[String]) -> Result<Found, Undone> {
    let (mut faults, mut tally) = (Faults::default(), Tally::default());
    let mut seen: HashSet<(u64, u64)> = HashSet::new();
    let mut each: Vec<(String, Use)> = Vec::new();
    for path in paths {
        match site.reach.open(path) {
            Err(error) => faults.add(error),
            Ok((path, Opened::File(_, stat))) => {
                let bytes = u64::try_from(stat.st_size).unwrap_or(0);
                each.push((shown_path(&path), Use { bytes, files: 1, folders: 0 }));
            }
            Ok((path, Opened::Folder(folder))) => {
                let mut used = Use::default();
                let below = walk(folder, &path, Range::ALL, &site.stop, &mut |entry| {
                    match entry.kind {
                        Kind::Folder => used.folders += 1,
                        Kind::File => {
                            used.files += 1;
                            let once = entry.stat.st_nlink < 2
                                || seen.insert((entry.stat.st_dev, entry.stat.st_ino));
                            used.bytes += if once { entry.bytes() } else { 0 };
                        }
                        Kind::Link | Kind::Special(_) => {}
                    }
                    Ok(())
                })?;
                tally.add(below);
                each.push((shown_path(&path), used));
            }
        }
    }
    let remarks = faults.remarks(each.len() as u64)?;
    let total: u64 = each.iter().map(|(_, used)| used.bytes).sum();
    let mut sheet = Sheet::default();
    for (path, used) in &each {
        let (files, folders) = (counted(used.files, "file"), counted(used.folders, "folder"));
        sheet.line(format!("{path}: {} in {files} and {folders}", size(used.bytes)));
    }
    if each.len() > 1 {
        sheet.line(format!("{} in all", size(total)));
    }
    let mut sheet = sheet.end();
    sheet.remarks(&remarks);
    sheet.remarks(&tally.remarks());
    let row = |(path, used): &(String, Use)| json!({ "path": path, "bytes": used.bytes, "files": used.files, "folders": used.folders });
    let rows: Vec<Value> = each.iter().take(DATA_ENTRIES).map(row).collect();
    let data =
        json!({ "total_bytes": total, "entries": rows, "unreadable": faults.count() + tally.unreadable });
    let (text, body) = sheet.finish();
    Ok(Found { text, body, data, number: Some(total), ..Found::default() })
}
