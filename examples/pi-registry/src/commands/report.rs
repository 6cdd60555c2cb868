//! What `check`, `cert check` and `doctor` found: one line each, `ok`, `warning`
//! or `error` first; more about one of them follows indented.

use std::process::ExitCode;

use super::{complain, print};

/// What was found, line by line.
#[derive(Debug, Default)]
pub(super) struct Report {
    pub(super) lines: Vec<String>,
    errors: usize,
}

impl Report {
    fn line(&mut self, word: &str, what: &str, text: &str) {
        let line = format!("{word}: {what}: {text}");
        self.lines.push(line.replace(char::is_control, " "));
    }

    pub(super) fn ok(&mut self, what: &str, text: &str) {
        self.line("ok", what, text);
    }

    pub(super) fn warning(&mut self, what: &str, text: &str) {
        self.line("warning", what, text);
    }

    pub(super) fn error(&mut self, what: &str, text: &str) {
        self.errors += 1;
        self.line("error", what, text);
    }

    pub(super) fn detail(&mut self, text: &str) {
        let line = format!("    {text}");
        self.lines.push(line.replace(char::is_control, " "));
    }

    pub(super) fn errors(&self) -> usize {
        self.errors
    }

    pub(super) fn text(&self) -> String {
        self.lines.iter().flat_map(|line| [line, "\n"]).collect()
    }

    /// Prints it; 0 unless there is an error.
    pub(super) fn print(&self) -> ExitCode {
        if let Err(error) = print(&self.text()) {
            complain(format_args!("cannot print the report: {error}"));
            return ExitCode::FAILURE;
        }
        match self.errors {
            0 => ExitCode::SUCCESS,
            _ => ExitCode::FAILURE,
        }
    }
}
