//! Does on this machine what the script would do.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use registry_tls::trust::{Client, Plan};

use super::super::{print, word};
use super::MACHINE;
use crate::logging::chain;

/// Refuses early what cannot be done here.
pub(super) fn possible(client: Client, root: &Path) -> Result<(), String> {
    let this_machine = root == Path::new(MACHINE);
    match client {
        Client::Kubernetes => Err(
            "kubernetes has no files on a machine: leave out --install and send the output to \
             `kubectl apply -f -`"
                .to_owned(),
        ),
        Client::Windows => Err(
            "this is no Windows: leave out --install and run the output there, in PowerShell"
                .to_owned(),
        ),
        Client::Macos if this_machine && !cfg!(target_os = "macos") => {
            Err("this is no Mac: leave out --install and run the output there".to_owned())
        }
        _ if this_machine && client.needs_root() && !is_root() => {
            // Whole: sudo looks for programs in fewer places.
            let program = std::env::current_exe().unwrap_or_else(|_| "pi-registry".into());
            let words =
                std::iter::once(program.into_os_string()).chain(std::env::args_os().skip(1));
            let words: Vec<_> = words.map(|text| word(&text.to_string_lossy())).collect();
            Err(format!(
                "only root may write there: run `sudo {}`",
                words.join(" ")
            ))
        }
        _ => Ok(()),
    }
}

/// Writes the files and runs the commands, if something has changed; prints
/// what was done and what is left.
pub(super) fn install(plan: &Plan, root: &Path) -> Result<(), String> {
    let installed = plan.install(root).map_err(|error| chain(&error))?;
    let mut text = String::new();
    for path in &installed.written {
        let _ = writeln!(text, "written: {}", path.display());
    }
    for path in &installed.unchanged {
        let _ = writeln!(text, "unchanged: {}", path.display());
    }
    for kept in &installed.kept {
        let _ = write!(text, "{kept}");
    }
    // Not half a configuration: a client that reads it would stop.
    let complete = installed.kept.is_empty();
    let here = root == Path::new(MACHINE) && is_root();
    let runs = here && complete && installed.changed();
    if !runs && !plan.commands.is_empty() {
        let when = match (complete, installed.changed()) {
            (false, _) => "After that, run",
            (true, true) => "Now run",
            (true, false) => "If that was not done since, run",
        };
        let there = match root == Path::new(MACHINE) {
            true => String::new(),
            false => format!(" in the system of {}", root.display()),
        };
        let _ = writeln!(text, "{when}{there}:");
        for command in &plan.commands {
            let _ = writeln!(text, "  {command}");
        }
    }
    for note in &plan.notes {
        let _ = writeln!(text, "{note}");
    }
    print(&text).map_err(|error| format!("cannot print: {error}"))?;
    if runs {
        plan.commands
            .iter()
            .try_for_each(|command| execute(command))?;
    }
    match complete {
        true => Ok(()),
        false => Err("not all could be done: a file was kept and lacks the lines above".to_owned()),
    }
}

fn execute(command: &str) -> Result<(), String> {
    let _ = print(&format!("runs: {command}\n"));
    let failed = |why: &dyn std::fmt::Display| {
        format!("the files are written, but `{command}` failed ({why}): run it again by hand")
    };
    let status = Command::new("sh").args(["-c", command]).status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(failed(&status)),
        Err(error) => Err(failed(&error)),
    }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
