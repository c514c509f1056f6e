//! `hash`: digests of files or of a text, as `digest  path`.

use super::{DATA_ENTRIES, Site, Source};
use crate::{
    Undone,
    executor::{
        files::{Faults, files, pieces},
        outcome::Found,
        text::{Sheet, shown_path},
        walk::Tally,
    },
};
use octollm_plan::HashKind;
use serde_json::{Value, json};
use sha2::Digest as _;
use std::fmt::Write as _;

pub(super) fn hash(site: &Site, kind: HashKind, from: Source) -> Result<Found, Undone> {
    let (mut sheet, mut said, mut faults) = (Sheet::default(), Vec::new(), Faults::default());
    let mut rows: Vec<Value> = Vec::new();
    let mut tally = Tally::default();
    match from {
        Source::Text(text) => {
            // What was no text has become one for people: its digest would be another's.
            if text.contains('\u{fffd}') {
                return Err(Undone::for_good(
                    "what is to be hashed was not all UTF-8 text, and is not kept as it was: only a file of it can be hashed",
                ));
            }
            let mut state = State::new(kind);
            state.update(text.as_bytes());
            let digest = state.finish();
            sheet.line(&digest);
            rows.push(json!({ "digest": digest }));
        }
        Source::Paths(paths) => {
            let mut read_files = 0;
            tally = files(&site.reach, &paths, &site.stop, &|_| true, &mut faults, &mut |looked, faults| {
                let mut state = State::new(kind);
                let read = pieces(&looked.file, &site.stop, |piece| {
                    state.update(piece);
                    true
                })?;
                match read {
                    Ok(()) => {
                        let digest = state.finish();
                        read_files += 1;
                        sheet.line(format!("{digest}  {}", shown_path(looked.path)));
                        if rows.len() < DATA_ENTRIES {
                            rows.push(json!({ "path": looked.path.to_string_lossy(), "digest": digest }));
                        }
                    }
                    Err(error) => looked.fault(faults, &error),
                }
                Ok(())
            })?;
            let remarks = faults.remarks(read_files)?;
            said.extend((read_files == 0).then(|| "there are no files".to_owned()));
            said.extend(remarks.into_iter().chain(tally.remarks()));
        }
    }
    let data = json!({ "function": word(kind), "digests": rows });
    let mut sheet = sheet.end();
    sheet.remarks(&said);
    let (text, body) = sheet.finish();
    faults.settle(Found { text, body, data, ..Found::default() }, &tally)
}

fn word(kind: HashKind) -> &'static str {
    match kind {
        HashKind::Sha256 => "sha256",
        HashKind::Sha512 => "sha512",
        HashKind::Sha1 => "sha1",
        HashKind::Md5 => "md5",
    }
}

enum State {
    Sha256(sha2::Sha256),
    Sha512(sha2::Sha512),
    Sha1(sha1::Sha1),
    Md5(md5::Md5),
}

impl State {
    fn new(kind: HashKind) -> Self {
        match kind {
            HashKind::Sha256 => State::Sha256(sha2::Sha256::new()),
            HashKind::Sha512 => State::Sha512(sha2::Sha512::new()),
            HashKind::Sha1 => State::Sha1(sha1::Sha1::new()),
            HashKind::Md5 => State::Md5(md5::Md5::new()),
        }
    }

    fn update(&mut self, bytes: &[u8]) {
        match self {
            State::Sha256(state) => state.update(bytes),
            State::Sha512(state) => state.update(bytes),
            State::Sha1(state) => state.update(bytes),
            State::Md5(state) => state.update(bytes),
        }
    }

    fn finish(self) -> String {
        match self {
            State::Sha256(state) => hex(&state.finalize()),
            State::Sha512(state) => hex(&state.finalize()),
            State::Sha1(state) => hex(&state.finalize()),
            State::Md5(state) => hex(&state.finalize()),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
