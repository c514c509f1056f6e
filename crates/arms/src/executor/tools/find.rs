//! `find`: entries below a folder that fit every condition, one path a line.

use super::{Row, Site, exact_paths, not_looked_into, rows_data, sort, wants};
use crate::{
    Undone,
    executor::{
        glob::Glob,
        outcome::{Content, Found},
        reach::{Kind, Opened},
        text::{Sheet, counted, shown_path},
        walk::{DEPTH_MAX, Entry, Range, walk},
    },
};
use jiff::{ToSpan, tz::TimeZone};
use octollm_contract::{Millis, Timestamp};
use octollm_plan::{ChangedOn, FindKind, SizeBound, SortBy};
use std::os::fd::AsFd as _;

/// A failure names so many of what was found.
const NAMED_MAX: usize = 50;

pub(super) struct Wish {
    pub(super) name: Option<String>,
    pub(super) range: Range,
    pub(super) kind: FindKind,
    pub(super) newer_than: Option<Millis>,
    pub(super) older_than: Option<Millis>,
    pub(super) changed: Option<ChangedOn>,
    pub(super) size: SizeBound,
    pub(super) sort: SortBy,
    pub(super) limit: Option<u32>,
    pub(super) details: bool,
    pub(super) required: bool,
    pub(super) itself: bool,
    pub(super) if_there: bool,
    pub(super) count: bool,
}

pub(super) fn range(max_depth: Option<u32>, hidden: bool) -> Range {
    Range { depth: max_depth.unwrap_or(DEPTH_MAX).clamp(1, DEPTH_MAX), hidden }
}

pub(super) fn find(site: &Site, path: &str, wish: &Wish) -> Result<Found, Undone> {
    let (path, folder) = match site.reach.folder(path) {
        Ok(opened) => opened,
        Err(error) if wish.if_there && error.is_no_folder() => {
            let (text, data) = (format!("nothing found: {error}\n"), rows_data(&[], 0, true));
            let (paths, body) = (Some(Vec::new()), Content::Only(String::new()));
            return Ok(Found { text, data, paths, body, number: Some(0), ..Found::default() });
        }
        Err(error) => return Err(Undone::for_good(error.to_string())),
    };
    let glob = Glob::of(wish.name.as_deref())?;
    let moment =
        |age: Millis| site.now.as_millis().saturating_sub(i64::try_from(age.get()).unwrap_or(i64::MAX));
    let (after, before) = (wish.newer_than.map(moment), wish.older_than.map(moment));
    let days = wish.changed.map(|days| Days::of(days, site.now, &site.zone)).transpose()?;
    let sized = wish.size.at_least.is_some() || wish.size.at_most.is_some();
    let mut rows: Vec<Row> = Vec::new();
    let mut folders = 0;
    let mut look = |entry: &Entry<'_>| {
        let fits = glob.as_ref().is_none_or(|glob| glob.fits(entry.name()))
            && (wants(wish.kind, entry.kind) || (wish.required && is_link_to_file(site, wish.kind, entry)))
            && after.is_none_or(|after| entry.modified() >= after)
            && before.is_none_or(|before| entry.modified() < before)
            && days.as_ref().is_none_or(|days| days.hold(entry.modified()))
            // Only files have a size that means something to people.
            && (!sized || entry.kind == Kind::File)
            && wish.size.at_least.is_none_or(|least| entry.bytes() >= least)
            && wish.size.at_most.is_none_or(|most| entry.bytes() <= most);
        if fits {
            rows.push(Row::of(entry));
        }
        folders += u64::from(entry.kind == Kind::Folder && entry.path != path);
        Ok(())
    };
    if let Some(itself) = Entry::of_folder(&path, folder.as_fd()).filter(|_| wish.itself) {
        look(&itself)?;
    }
    let tally = walk(folder, &path, wish.range, &site.stop, &mut look)?;
    if let Some(name) = wish.name.as_ref().filter(|_| wish.required && rows.is_empty()) {
        // Where not everything was looked at, that is said.
        let nothing = format!("nothing in {} matches {name}", shown_path(&path));
        let told: Vec<String> = std::iter::once(nothing).chain(tally.remarks()).collect();
        return Err(Undone::for_good(told.join("\n")));
    }
    // What stands for names must name all that fit: the next step would work on some of them.
    if wish.required && !tally.is_whole() {
        let others =
            rows.iter().map(|row| shown_path(&row.path)).take(NAMED_MAX).collect::<Vec<_>>().join(", ");
        return Err(Undone::for_good(format!("{}\nof the others: {others}", tally.remarks().join("; "))));
    }
    sort(&mut rows, wish.sort);
    let total = rows.len() as u64;
    rows.truncate(wish.limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX)));

    let mut sheet = Sheet::default();
    if wish.count {
        sheet.line(format!("{} in {}", counted(total, unit(wish.kind)), shown_path(&path)));
    } else {
        rows.iter().for_each(|row| sheet.line(row.line(&row.path, wish.details, &site.zone)));
    }
    let mut sheet = sheet.end();
    if wish.count {
        // The number is the answer.
    } else if total == 0 {
        sheet.remark(format!(
            "nothing found {} {} ({} looked at{})",
            if wish.range.depth == 1 { "in" } else { "below" },
            shown_path(&path),
            counted(tally.seen, "entry"),
            if wish.range.hidden { "" } else { "; names that begin with a dot are not shown" }
        ));
    } else if (rows.len() as u64) < total {
        sheet.remark(format!("(the first {} of {})", rows.len(), counted(total, "entry")));
    }
    let described = wish.count || sized || after.is_some() || before.is_some() || days.is_some();
    let shallow = wish.range.depth == 1 && described && !wish.required && !wish.if_there;
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

fn unit(kind: FindKind) -> &'static str {
    match kind {
        FindKind::File => "file",
        FindKind::Folder => "folder",
        FindKind::Any => "entry",
    }
}

/// Whether it is a link that stands for a file where a pattern stands for the names of files, as a shell has it.
/// What it leads to is opened by whoever reads it, who also says what it does not lead to.
fn is_link_to_file(site: &Site, wanted: FindKind, entry: &Entry<'_>) -> bool {
    let is_folder = |path: &str| matches!(site.reach.open(path), Ok((_, Opened::Folder(_))));
    wanted == FindKind::File
        && entry.kind == Kind::Link
        && entry.path.to_str().is_none_or(|path| !is_folder(path))
}

/// From one midnight to another, in milliseconds.
struct Days {
    /// Inside.
    from: Option<i64>,
    /// Outside.
    until: i64,
}

impl Days {
    fn of(days: ChangedOn, now: Timestamp, zone: &TimeZone) -> Result<Self, Undone> {
        let midnight = |ahead: i64| midnight(now, ahead, zone);
        Ok(match days {
            ChangedOn::Today => Days { from: Some(midnight(0)?), until: midnight(1)? },
            ChangedOn::Yesterday => Days { from: Some(midnight(-1)?), until: midnight(0)? },
            ChangedOn::SinceYesterday => Days { from: Some(midnight(-1)?), until: midnight(1)? },
            ChangedOn::BeforeToday => Days { from: None, until: midnight(0)? },
        })
    }

    fn hold(&self, moment: i64) -> bool {
        self.from.is_none_or(|from| moment >= from) && moment < self.until
    }
}

/// When the day begins that is `ahead` days after that of `now`. A day may have no midnight, where
/// the clocks are set forward: it begins with its first moment then.
fn midnight(now: Timestamp, ahead: i64, zone: &TimeZone) -> Result<i64, Undone> {
    let begins = || -> Result<i64, jiff::Error> {
        let today =
            jiff::Timestamp::from_millisecond(now.as_millis())?.to_zoned_datetime(zone.clone()).date();
        let noon = today.checked_add(ahead.days())?.at(12, 0, 0, 0).to_zoned_datetime(zone.clone())?;
        Ok(noon.start_of_day()?.timestamp().as_millisecond())
    };
    begins().map_err(|_| Undone::for_good("this machine's clock names no day of the calendar"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use octollm_plan::ChangedOn::{BeforeToday, SinceYesterday, Today, Yesterday};

    fn at(text: &str) -> i64 {
        text.parse::<jiff::Timestamp>().unwrap().as_millisecond()
    }

    fn days(zone: &str, now: &str) -> impl Fn(ChangedOn, &str) -> bool {
        let zone = TimeZone::get(zone).unwrap();
        let now = Timestamp::from_millis(at(now));
        move |days, moment| Days::of(days, now, &zone).unwrap().hold(at(moment))
    }

    #[test]
    fn a_day_lasts_from_local_midnight_to_local_midnight() {
        let held = days("Europe/Berlin", "2026-11-26T00:30:00+01:00");
        for (moment, today, yesterday) in [
            ("2026-11-27T00:00:00+01:00", false, false),
            ("2026-11-26T23:59:59+01:00", true, false),
            ("2026-11-26T00:00:00+01:00", true, false),
            ("2026-11-25T23:59:59+01:00", false, true),
            ("2026-11-25T00:00:00+01:00", false, true),
            ("2026-11-24T23:59:59+01:00", false, false),
        ] {
            assert_eq!(held(Today, moment), today, "{moment}");
            assert_eq!(held(Yesterday, moment), yesterday, "{moment}");
            assert_eq!(held(SinceYesterday, moment), today || yesterday, "{moment}");
            assert_eq!(held(BeforeToday, moment), moment < "2026-11-26", "{moment}");
        }
    }

    #[test]
    fn a_day_on_which_the_clocks_change_is_whole() {
        // 23 hours long.
        let held = days("Europe/Berlin", "2026-03-30T10:00:00+02:00");
        assert!(held(Yesterday, "2026-03-29T00:00:00+01:00"));
        assert!(!held(Yesterday, "2026-03-28T23:59:59+01:00"));
        // Its midnight is skipped: it begins at one.
        let held = days("Africa/Cairo", "2026-04-24T10:00:00+03:00");
        assert!(held(Today, "2026-04-24T01:00:00+03:00"));
        assert!(held(Yesterday, "2026-04-23T23:59:59+02:00"));
    }
}
