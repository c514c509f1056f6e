//! How figures and what they are of are spelled in columns.

use super::{Unreadable, unreadable, word};
use octollm_contract::{MicroUsd, Millis};
use octollm_lifecycle::{Figures, Subject};

const TASKS: &str = "task";

/// What figures are of.
pub(crate) const fn subject_word(subject: Subject) -> &'static str {
    match subject {
        Subject::Tasks => TASKS,
        Subject::Steps(arm) => arm.as_str(),
    }
}

pub(crate) fn read_subject(text: &str) -> Result<Subject, Unreadable> {
    if text == TASKS { Ok(Subject::Tasks) } else { word("subject of figures", text).map(Subject::Steps) }
}

/// The columns of figures, in the order done, failed, cancelled, attempts, took, worst, calls, unpriced,
/// cost, tokens. Sums are made of them where they lie, so that what is greater than they can hold is
/// the greatest that they can.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FiguresRow(pub(crate) [i64; 10]);

impl From<&Figures> for FiguresRow {
    fn from(of: &Figures) -> Self {
        let numbers = [
            of.done,
            of.failed,
            of.cancelled,
            of.attempts,
            of.took.get(),
            of.worst.get(),
            of.calls,
            of.unpriced,
            of.cost.get(),
            of.tokens,
        ];
        FiguresRow(numbers.map(|number| i64::try_from(number).unwrap_or(i64::MAX)))
    }
}

impl FiguresRow {
    /// All of them only grow: a negative one was never written.
    pub(crate) fn read(self) -> Result<Figures, Unreadable> {
        let mut numbers = [0; 10];
        for (number, found) in numbers.iter_mut().zip(self.0) {
            *number = u64::try_from(found).map_err(|_| unreadable("sum of figures", found))?;
        }
        let [done, failed, cancelled, attempts, took, worst, calls, unpriced, cost, tokens] = numbers;
        Ok(Figures {
            done,
            failed,
            cancelled,
            attempts,
            took: Millis::new(took),
            worst: Millis::new(worst),
            calls,
            unpriced,
            cost: MicroUsd::new(cost),
            tokens,
        })
    }
}
