//! What is wrong with a certificate, how badly, and where in its file.

use std::fmt;

use super::certificate::Parsed;
use super::complaint::{self, Complaint};
use super::problem::Problem;

/// Whether a problem keeps clients out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Severity {
    /// Some clients fail, or all will soon; docker, containerd and curl work
    /// today.
    Warning,
    /// Docker, containerd, curl or the registry itself refuses the certificate.
    Error,
}

/// One problem of one certificate of a file.
///
/// Prints as one line: what is wrong, then what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// How bad it is, in the role that the certificate has.
    pub severity: Severity,
    /// Which certificate of the file, from 0; `None` for a trusted one that is
    /// in no file of the server.
    pub position: Option<usize>,
    /// The subject of that certificate; empty when it cannot be read.
    pub subject: String,
    /// What is wrong.
    pub problem: Problem,
}

impl Finding {
    pub(super) fn error(at: &Parsed<'_>, problem: Problem) -> Self {
        Self::new(Severity::Error, at.position, at.subject(), problem)
    }

    pub(super) fn warning(at: &Parsed<'_>, problem: Problem) -> Self {
        Self::new(Severity::Warning, at.position, at.subject(), problem)
    }

    pub(super) fn new(
        severity: Severity,
        position: usize,
        subject: String,
        problem: Problem,
    ) -> Self {
        Self {
            severity,
            position: Some(position),
            subject,
            problem,
        }
    }

    /// The same of a trusted authority.
    pub(super) fn of_root(self) -> Self {
        let position = None;
        Self { position, ..self }
    }

    /// Which clients fail, each with the message that it prints. Empty when no
    /// client is known to fail for this alone.
    #[must_use]
    pub fn complaints(&self) -> Vec<Complaint> {
        complaint::about(&self.problem, &self.subject)
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.position {
            // The first certificate is the one that everybody means.
            Some(0) => {}
            Some(at) if self.subject.is_empty() => {
                write!(f, "certificate {} in the file: ", at + 1)?;
            }
            Some(at) => write!(f, "certificate {} in the file ({}): ", at + 1, self.subject)?,
            None => write!(f, "the trusted authority ({}): ", self.subject)?,
        }
        self.problem.fmt(f)
    }
}
