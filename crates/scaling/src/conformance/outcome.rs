//! What came of the cases of a file.

use std::fmt;

/// All cases of a file. `Display` prints every difference, then the line `N passed, M failed`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// One for each case, in the file's order.
    pub results: Vec<CaseResult>,
}

/// What came of one case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaseResult {
    /// The case's id, else its place in the file.
    pub id: String,
    /// The case's kind as written.
    pub kind: String,
    /// Empty if it passed.
    pub differences: Vec<Difference>,
}

/// A field that came out otherwise than recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The field of the case.
    pub field: String,
    /// What is recorded.
    pub expected: String,
    /// What the engine gives.
    pub got: String,
}

impl Report {
    /// How many cases passed.
    #[must_use]
    pub fn passed(&self) -> usize {
        self.results.iter().filter(|result| result.differences.is_empty()).count()
    }

    /// How many cases did not.
    #[must_use]
    pub fn failed(&self) -> usize {
        self.results.len() - self.passed()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for result in &self.results {
            for Difference { field, expected, got } in &result.differences {
                writeln!(f, "{}: {field}: expected {expected}, got {got}", result.id)?;
            }
        }
        write!(f, "{} passed, {} failed", self.passed(), self.failed())
    }
}

/// The differences found in one case so far.
#[derive(Default)]
pub(super) struct Differences(Vec<Difference>);

impl Differences {
    pub(super) fn compare<T: PartialEq + fmt::Display>(
        &mut self,
        field: impl Into<String>,
        expected: T,
        got: T,
    ) {
        if expected != got {
            let (field, expected, got) = (field.into(), expected.to_string(), got.to_string());
            self.0.push(Difference { field, expected, got });
        }
    }

    pub(super) fn unreadable(&mut self, field: &str, expected: &str, got: String) {
        self.0.push(Difference { field: field.to_owned(), expected: expected.to_owned(), got });
    }

    pub(super) fn of_case(self, id: String, kind: String) -> CaseResult {
        CaseResult { id, kind, differences: self.0 }
    }
}
