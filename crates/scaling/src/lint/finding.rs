//! What a rule reports.

use crate::manifest::{ObjectId, Refusal};
use crate::read::{Span, Unreadable};

use super::fix::{Edit, Fix};
use super::rules::Rule;

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Rejected by the API server, ignored, or certain not to do what it says.
    Error,
    /// Goes wrong under conditions that occur.
    Warning,
    /// Worth knowing; often a matter of choice.
    Info,
}

impl Severity {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Info => "info",
        }
    }
}

/// One thing that a rule found.
#[derive(Debug, Clone)]
pub struct Finding {
    /// The rule.
    pub rule: &'static Rule,
    /// Where it is to be changed.
    pub span: Span,
    /// The object it is about, if it is about one.
    pub object: Option<ObjectId>,
    /// What will happen, in the manifest's own numbers.
    pub message: String,
    /// The corrected lines.
    pub fix: Option<Fix>,
}

impl Finding {
    pub(super) fn order(&self) -> (Span, Severity, &str, &str) {
        (self.span, self.rule.severity, self.rule.id, &self.message)
    }

    pub(super) fn same_as(&self, other: &Self) -> bool {
        self.rule.id == other.rule.id && self.span == other.span && self.message == other.message
    }
}

/// A finding that an annotation silences.
#[derive(Debug, Clone)]
pub struct Silenced {
    /// The finding.
    pub finding: Finding,
    /// The reason that the annotation gives.
    pub reason: String,
}

/// The outcome of a run.
#[derive(Debug)]
pub struct Report {
    /// What was found, in the order of files and lines.
    pub findings: Vec<Finding>,
    /// What was found and silenced.
    pub silenced: Vec<Silenced>,
    /// Files that could not be read.
    pub unreadable: Vec<Unreadable>,
    /// What was not looked at, with how often: kinds without a field table, as `apiVersion kind`, and what
    /// kustomizations ask for beyond what is carried out.
    pub unknown: Vec<(String, usize)>,
}

/// Takes what one rule finds.
pub struct Sink<'a> {
    rule: &'static Rule,
    findings: &'a mut Vec<Finding>,
}

impl<'a> Sink<'a> {
    pub(super) fn new(rule: &'static Rule, findings: &'a mut Vec<Finding>) -> Self {
        Self { rule, findings }
    }

    /// Reports `message` at `span` of `object`.
    pub(super) fn at(&mut self, object: ObjectId, span: Span, message: String) -> Reported<'_> {
        self.push(Some(object), span, message)
    }

    /// Reports something that is about no single object.
    pub(super) fn anywhere(&mut self, span: Span, message: String) -> Reported<'_> {
        self.push(None, span, message)
    }

    pub(super) fn refusal(&mut self, refusal: &Refusal) {
        self.push(None, refusal.span, refusal.message.clone());
    }

    fn push(&mut self, object: Option<ObjectId>, span: Span, message: String) -> Reported<'_> {
        self.findings.push(Finding { rule: self.rule, span, object, message, fix: None });
        let index = self.findings.len() - 1;
        Reported(&mut self.findings[index])
    }
}

/// A finding just reported, to which a fix may be added.
pub(super) struct Reported<'a>(&'a mut Finding);

impl Reported<'_> {
    /// Corrected lines that keep the meaning that the writer must have had: `--fix` writes them.
    pub(super) fn safe_fix(self, edits: Vec<Edit>) {
        self.0.fix = Some(Fix { edits, safe: true });
    }

    /// Corrected lines that a person should look at.
    pub(super) fn fix(self, edits: Vec<Edit>) {
        self.0.fix = Some(Fix { edits, safe: false });
    }
}
