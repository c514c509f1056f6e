//! Editions of the language that plans are written in.

use serde::{Deserialize, Serialize};

/// What of a plan a program can read. A step's tool call refuses what it does not know, for who leaves out a
/// condition does something else; so whoever writes one looks at who will read it, and says since which edition
/// it can be read.
///
/// It is apart from the version of the lease protocol: that one is about messages, which both sides must agree
/// on before any word is said; a worker that reads an older edition is served with what it can read.
///
/// | edition | what it brought |
/// |---|---|
/// | 1 | what is written without a word about editions |
/// | 2 | `find` may leave hidden entries out (`hidden: false`), fail where nothing fits (`required`), find the folder `itself` and nothing where there is none (`if_there`), it and `search` tell a number alone (`count`), it and `list` tell `details`, `read_file` begins at a line (`from_line`), a name may be one of several (`{"one_of": "*.{py,rs}"}`), `count` counts line ends (`line_ends`) |
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "u32", from = "u32")]
pub enum Edition {
    /// 1.
    First,
    /// 2.
    #[default]
    Second,
}

impl Edition {
    /// The newest that this program knows: what it reads when nothing else is said.
    pub const NEWEST: Edition = Edition::Second;

    /// What programs read that say nothing of editions.
    #[must_use]
    pub const fn unsaid() -> Edition {
        Edition::First
    }

    /// The number that it travels as.
    #[must_use]
    pub const fn number(self) -> u32 {
        match self {
            Edition::First => 1,
            Edition::Second => 2,
        }
    }
}

impl From<u32> for Edition {
    /// Who reads a later edition than any known here reads all that are known here.
    fn from(number: u32) -> Edition {
        match number {
            0 | 1 => Edition::First,
            2.. => Edition::Second,
        }
    }
}

impl From<Edition> for u32 {
    fn from(edition: Edition) -> u32 {
        edition.number()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_read_as_the_newest_edition_below_it_that_is_known() {
        assert_eq!([0, 1, 2, 3, u32::MAX].map(|n| Edition::from(n).number()), [1, 1, 2, 2, 2]);
        assert_eq!(Edition::default(), Edition::NEWEST);
    }
}
