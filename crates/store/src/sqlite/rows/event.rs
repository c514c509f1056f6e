//! An event and its row in `event`.

use super::{EventRow, RowError, moment, moment_if, text, text_if};
use octollm_lifecycle::Event;
use rusqlite::Row;

/// Reads the columns number, at, kind, place, count, moment, reason, text.
pub(crate) fn read_event(row: &Row<'_>) -> Result<Event, RowError> {
    let kind = EventRow {
        kind: text(row, 2)?,
        place: row.get(3)?,
        count: row.get(4)?,
        moment: moment_if(row, 5)?,
        reason: text_if(row, 6)?,
        text: text_if(row, 7)?,
    };
    Ok(Event { number: row.get::<_, i64>(0)?.cast_unsigned(), at: moment(row, 1)?, kind: kind.read()? })
}
