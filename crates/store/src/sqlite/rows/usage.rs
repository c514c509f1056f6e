use super::{FiguresRow, RowError, read_subject, text, word};
use crate::DayLine;
use octollm_contract::Day;
use rusqlite::Row;

/// Reads the columns day, tenant, subject and those of figures.
pub(in crate::sqlite) fn read_usage(row: &Row<'_>) -> Result<DayLine, RowError> {
    let mut numbers = [0; 10];
    for (at, number) in (3..).zip(&mut numbers) {
        *number = row.get(at)?;
    }
    Ok(DayLine {
        day: Day::from_number(row.get(0)?),
        tenant: word("tenant", text(row, 1)?)?,
        subject: read_subject(text(row, 2)?)?,
        figures: FiguresRow(numbers).read()?,
    })
}
