//! `disk_use`: how many bytes lie in files and below folders, and what they take on the disk, as `du` has it; a
//! file with several names counts once.

use super::{DATA_ENTRIES, Site};
use crate::{
    Undone,
    executor::{
        files::{Faults, Paths},
        outcome::Found,
        reach::{Kind, Opened},
        text::{Sheet, counted, shown_path, size},
        walk::{Range, Tally, walk},
    },
};
use rustix::fs::Stat;
use serde_json::{Value, json};
use std::collections::HashSet;

#[derive(Clone, Copy, Default)]
struct Use {
    bytes: u64,
    /// With what folders and links take themselves.
    on_disk: u64,
    files: u64,
    folders: u64,
}

/// `stat` counts in blocks of 512 bytes, whatever those of the file system are.
fn on_disk(stat: &Stat) -> u64 {
    u64::try_from(stat.st_blocks).unwrap_or(0).saturating_mul(512)
}

pub(super) fn disk_use(site: &Site, paths: &Paths) -> Result<Found, Undone> {
    let (mut faults, mut tally) = (Faults::default(), Tally::default());
    let mut seen: HashSet<(u64, u64)> = HashSet::new();
    let mut each: Vec<(String, Use)> = Vec::new();
    for path in paths.all() {
        match site.reach.open(path) {
            Err(error) => paths.fault(&mut faults, error),
            Ok((path, Opened::File(_, stat))) => {
                let bytes = u64::try_from(stat.st_size).unwrap_or(0);
                each.push((shown_path(&path), Use { bytes, on_disk: on_disk(&stat), files: 1, folders: 0 }));
            }
            Ok((path, Opened::Folder(folder))) => {
                let own = rustix::fs::fstat(&folder).map_or(0, |stat| on_disk(&stat));
                let mut used = Use { on_disk: own, ..Use::default() };
                let below = walk(folder, &path, Range::ALL, &site.stop, &mut |entry| {
                    let once = entry.kind == Kind::Folder
                        || entry.stat.st_nlink < 2
                        || seen.insert((entry.stat.st_dev, entry.stat.st_ino));
                    used.on_disk += if once { on_disk(&entry.stat) } else { 0 };
                    match entry.kind {
                        Kind::Folder => used.folders += 1,
                        Kind::File => {
                            used.files += 1;
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
    let total_on_disk: u64 = each.iter().map(|(_, used)| used.on_disk).sum();
    let mut sheet = Sheet::default();
    for (path, used) in &each {
        let (files, folders) = (counted(used.files, "file"), counted(used.folders, "folder"));
        let (bytes, disk) = (size(used.bytes), size(used.on_disk));
        sheet.line(format!("{path}: {bytes} in {files} and {folders}; {disk} on the disk"));
    }
    if each.len() > 1 {
        sheet.line(format!("{} in all; {} on the disk", size(total), size(total_on_disk)));
    }
    let mut sheet = sheet.end();
    sheet.remarks(&remarks);
    sheet.remarks(&tally.remarks());
    let row = |(path, used): &(String, Use)| json!({ "path": path, "bytes": used.bytes, "on_disk_bytes": used.on_disk, "files": used.files, "folders": used.folders });
    let rows: Vec<Value> = each.iter().take(DATA_ENTRIES).map(row).collect();
    let data = json!({ "total_bytes": total, "total_on_disk_bytes": total_on_disk, "entries": rows, "unreadable": faults.count() + tally.unreadable });
    let (text, body) = sheet.finish();
    faults.settle(Found { text, body, data, number: Some(total), ..Found::default() })
}
