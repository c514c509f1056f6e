//! `disk_use`: how many bytes lie in files and below folders, and what they take on the disk, as `du` has it; a
//! file with several names counts once, and so does what is named twice, in what all take together.

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

/// Which files and folders have been counted, by device and inode.
#[derive(Default)]
struct Seen {
    counted: HashSet<(u64, u64)>,
    /// Something was met again.
    again: bool,
}

impl Seen {
    fn first(&mut self, stat: &Stat) -> bool {
        let first = self.counted.insert((stat.st_dev, stat.st_ino));
        self.again |= !first;
        first
    }
}

/// What lies in several folders is known by all that was met: at most so much of it, 16 bytes each.
const MET_MAX: usize = 4_000_000;

pub(super) fn disk_use(site: &Site, paths: &[String]) -> Result<Found, Undone> {
    let (mut faults, mut tally) = (Faults::default(), Tally::default());
    // Whether one lies in another, or has another name there, only all that was seen tells.
    let several = paths.len() > 1;
    let mut in_all = Seen::default();
    let mut total = Use::default();
    let mut each: Vec<(String, Use)> = Vec::new();
    for path in paths {
        match site.reach.open(path) {
            Err(error) => faults.add_named(error),
            Ok((path, Opened::File(_, stat))) => {
                let bytes = u64::try_from(stat.st_size).unwrap_or(0);
                let used = Use { bytes, on_disk: on_disk(&stat), files: 1, folders: 0 };
                if several && in_all.first(&stat) {
                    total.bytes += used.bytes;
                    total.on_disk += used.on_disk;
                }
                each.push((shown_path(&path), used));
            }
            Ok((path, Opened::Folder(folder))) => {
                let mut here = Seen::default();
                let mut used = Use::default();
                if let Ok(stat) = rustix::fs::fstat(&folder) {
                    used.on_disk = on_disk(&stat);
                    total.on_disk += if several && in_all.first(&stat) { used.on_disk } else { 0 };
                }
                let below = walk(folder, &path, Range::ALL, &site.stop, &mut |entry| {
                    let names = entry.kind != Kind::Folder && entry.stat.st_nlink > 1;
                    let once = !names || here.first(&entry.stat);
                    let once_in_all = several && in_all.first(&entry.stat);
                    if in_all.counted.len() > MET_MAX {
                        return Err(Undone::for_good(format!(
                            "more than {} lie in what is summed up: ask for one at a time",
                            counted(MET_MAX as u64, "entry")
                        )));
                    }
                    let (bytes, disk) = match entry.kind {
                        Kind::File => (entry.bytes(), on_disk(&entry.stat)),
                        Kind::Folder | Kind::Link | Kind::Special(_) => (0, on_disk(&entry.stat)),
                    };
                    used.files += u64::from(entry.kind == Kind::File);
                    used.folders += u64::from(entry.kind == Kind::Folder);
                    for (counts, sum) in [(once, &mut used), (once_in_all, &mut total)] {
                        sum.bytes += if counts { bytes } else { 0 };
                        sum.on_disk += if counts { disk } else { 0 };
                    }
                    Ok(())
                })?;
                tally.add(below);
                each.push((shown_path(&path), used));
            }
        }
    }
    let remarks = faults.remarks(each.len() as u64)?;
    if let ([(_, used)], false) = (each.as_slice(), several) {
        total = *used;
    }
    let Use { bytes: total, on_disk: total_on_disk, .. } = total;
    let mut sheet = Sheet::default();
    for (path, used) in &each {
        let (files, folders) = (counted(used.files, "file"), counted(used.folders, "folder"));
        let (bytes, disk) = (size(used.bytes), size(used.on_disk));
        sheet.line(format!("{path}: {bytes} in {files} and {folders}; {disk} on the disk"));
    }
    if each.len() > 1 {
        let once = if in_all.again { " (what is in several of these counts once)" } else { "" };
        sheet.line(format!("{} in all; {} on the disk{once}", size(total), size(total_on_disk)));
    }
    let mut sheet = sheet.end();
    sheet.remarks(&remarks);
    sheet.remarks(&tally.remarks());
    let row = |(path, used): &(String, Use)| json!({ "path": path, "bytes": used.bytes, "on_disk_bytes": used.on_disk, "files": used.files, "folders": used.folders });
    let rows: Vec<Value> = each.iter().take(DATA_ENTRIES).map(row).collect();
    let data = json!({ "total_bytes": total, "total_on_disk_bytes": total_on_disk, "entries": rows, "unreadable": faults.count() + tally.unreadable });
    let (text, body) = sheet.finish();
    faults.settle(Found { text, body, data, number: Some(total), ..Found::default() }, &tally)
}
