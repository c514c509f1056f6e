//! Why a goal was refused, in words that say what to do.

/// Why the rules planner made no plan. Nothing of the goal is done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotUnderstood {
    /// Words that no rule accounts for. A model may understand them.
    #[error("without a model these words are not understood: {words:?}. {REMEDY}")]
    Words {
        /// From the first word that is not understood, cut at 120 characters.
        words: String,
    },
    /// The words can be read in more than one way, or leave something out.
    #[error("{words:?} is not clear: {why}. {REMEDY}")]
    Unclear {
        /// The words.
        words: String,
        /// What to say instead.
        why: &'static str,
    },
    /// A bare word where only a file or a folder would do.
    #[error(
        "{name:?} is no path by its looks: write {} if a file or folder is meant. {REMEDY}",
        match (whole, name.contains(' ')) {
            (true, _) => "its whole path, beginning with /,".to_owned(),
            (false, true) => format!("'./{name}', or its whole path,"),
            (false, false) => format!("./{name}, or its whole path,"),
        }
    )]
    BareName {
        /// As written, cut at 120 characters.
        name: String,
        /// Only its whole path would do, because here is no folder that a relative one could start from.
        whole: bool,
    },
    /// No folder is known that a relative path could start from.
    #[error(
        "{path:?} is a relative path, and here is no folder that it could start from: write the whole path, beginning with /"
    )]
    RelativePath {
        /// As written.
        path: String,
    },
    /// No home folder is known.
    #[error("{path:?} begins at a home folder, and here is none: write the whole path, beginning with /")]
    NoHome {
        /// As written.
        path: String,
    },
    /// `..` leads above the root.
    #[error("{path:?} leads above the root of the file system")]
    PathEscapes {
        /// As written.
        path: String,
    },
    /// A path that can be none.
    #[error("{path:?} cannot be used as a path: {why}")]
    BadPath {
        /// As written, cut at 200 characters.
        path: String,
        /// What is wrong.
        why: &'static str,
    },
    /// A URL that cannot be fetched.
    #[error("{url:?} cannot be fetched: {why}")]
    BadUrl {
        /// As written, cut at 200 characters.
        url: String,
        /// What is wrong.
        why: &'static str,
    },
    /// A command with a character that only a shell gives a meaning.
    #[error(
        "the command {command:?} has {found:?} outside quotes, which only a shell understands; one program with its \
         arguments is run without a shell, and a shell string needs a model's plan and the capability `shell`. \
         Put {found:?} in quotes inside the command if it is meant as it stands. {REMEDY}"
    )]
    ShellSyntax {
        /// The command, cut at 120 characters.
        command: String,
        /// The first such character.
        found: char,
    },
    /// A command that ends inside a quote or names no program.
    #[error("the command {command:?} cannot be cut into a program and its arguments: {why}")]
    BadCommand {
        /// The command, cut at 120 characters.
        command: String,
        /// What is wrong.
        why: &'static str,
    },
    /// A command that would change files where it may change none.
    #[error(
        "the command {command:?} would change files, and a command may only read yours: it runs in an empty folder of \
         the task's own. Run {program} yourself, or let an earlier command of the goal make what it shall change"
    )]
    ChangesFiles {
        /// The command, cut at 120 characters.
        command: String,
        /// Its program.
        program: String,
    },
    /// The same where an earlier command may have made such a file: the name means the user's.
    #[error(
        "{name:?} in the command {command:?} means what is yours, and a command may only read that. Run {program} \
         yourself, or give what the goal makes a relative name that nothing in your folder has"
    )]
    ChangesYours {
        /// The command, cut at 120 characters.
        command: String,
        /// Its program.
        program: String,
        /// The argument as written, cut at 120 characters.
        name: String,
    },
    /// A command that could only work with a network.
    #[error(
        "the command {command:?} needs a network, and a command has none: it runs in a locked room. \
         \"fetch https://…\" gets what lies at a URL; run other programs yourself"
    )]
    NoNetwork {
        /// The command, cut at 120 characters.
        command: String,
    },
    /// A quote that is not closed where a quoted text ends.
    #[error("the quote at {from:?} is not closed in front of a blank, a punctuation mark or the end")]
    UnclosedQuote {
        /// The goal from the quote on, cut at 40 characters.
        from: String,
    },
    /// A control character, or one that changes how the text looks without being seen.
    #[error("the goal holds the character U+{:04X}, which cannot be seen", u32::from(*.0))]
    UnseenCharacter(char),
    /// No words at all.
    #[error("the goal is empty")]
    Empty,
    /// More than the rules read.
    #[error(
        "the goal has {bytes} bytes; without a model at most {} are read. {REMEDY}",
        super::token::MAX_GOAL_BYTES
    )]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// More clauses than a plan may have steps.
    #[error("the goal asks for more than {} steps", crate::MAX_STEPS)]
    TooManySteps,
}

const REMEDY: &str = "Rephrase the goal (docs/offline-goals.md lists what is understood), or set OCTOLLM_MODEL_URL \
                      to an OpenAI-compatible server so that a model can plan it";

impl NotUnderstood {
    /// Whether a model could plan the goal as it stands; otherwise only other words help.
    #[must_use]
    pub fn needs_model(&self) -> bool {
        match self {
            NotUnderstood::Words { .. }
            | NotUnderstood::Unclear { .. }
            | NotUnderstood::BareName { .. }
            | NotUnderstood::ShellSyntax { .. }
            // It may be a part of code that the goal is about.
            | NotUnderstood::UnclosedQuote { .. }
            | NotUnderstood::TooLong { .. } => true,
            NotUnderstood::RelativePath { .. }
            | NotUnderstood::NoHome { .. }
            | NotUnderstood::PathEscapes { .. }
            | NotUnderstood::BadPath { .. }
            | NotUnderstood::BadUrl { .. }
            | NotUnderstood::BadCommand { .. }
            | NotUnderstood::ChangesFiles { .. }
            | NotUnderstood::ChangesYours { .. }
            | NotUnderstood::NoNetwork { .. }
            | NotUnderstood::UnseenCharacter(_)
            | NotUnderstood::Empty
            | NotUnderstood::TooManySteps => false,
        }
    }

    pub(super) fn words(words: &str) -> Self {
        NotUnderstood::Words { words: cut(words, 120) }
    }

    pub(super) fn unclear(words: &str, why: &'static str) -> Self {
        NotUnderstood::Unclear { words: cut(words, 120), why }
    }
}

/// The first `limit` characters of `text`, with a mark when there were more.
pub(super) fn cut(text: &str, limit: usize) -> String {
    let text = text.trim();
    match text.char_indices().nth(limit) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}
