//! What was found, for people and for programs.

use std::collections::BTreeSet;

use registry_storage::filesystem::verify::{Problem, Remedy, Repair, VerifyReport};
use serde_json::{Value, json};

use super::super::amounts::{count, size};

/// How many tags of a problem are printed; a program gets all.
const TAGS: usize = 10;

/// Lines: each problem with more about it indented, notes, and the sum.
pub(super) fn text(report: &VerifyReport) -> String {
    let mut lines = Vec::new();
    let (notes, problems): (Vec<&Problem>, Vec<_>) = report
        .problems
        .iter()
        .partition(|problem| problem.kind.is_note());
    for problem in &problems {
        lines.push(line("problem", problem));
        lines.push(format!("    hurts: {}", tags(problem)));
        lines.extend(repair(problem));
        lines.extend(needs(problem).map(|needs| format!("    needs: {needs}")));
    }
    for note in &notes {
        lines.push(line("note", note));
        lines.extend(repair(note));
    }
    if report.more_problems > 0 {
        lines.push(format!("problem: and {} more", report.more_problems));
    }
    if report.more_notes > 0 {
        lines.push(format!("note: and {} more", report.more_notes));
    }
    lines.push(format!(
        "verified: {} ({} hashed), {} and {} in {}",
        count(report.blobs, "blob", "blobs"),
        size(report.bytes),
        count(report.manifests, "manifest", "manifests"),
        count(report.tags, "tag", "tags"),
        count(report.repositories, "repository", "repositories"),
    ));
    let push: Vec<_> = pushes(report).into_iter().collect();
    if !push.is_empty() {
        lines.push(format!("push again: {}", push.join(", ")));
    }
    lines.push(format!(
        "result: {}",
        result(&problems, report.more_problems)
    ));
    lines
        .iter()
        .flat_map(|line| [line.replace(char::is_control, " "), "\n".to_owned()])
        .collect()
}

fn line(word: &str, problem: &Problem) -> String {
    let (kind, path) = (problem.kind, problem.path.display());
    format!("{word}: {kind}: {path}: {}", problem.detail)
}

fn tags(problem: &Problem) -> String {
    let hurts = &problem.hurts;
    if hurts.is_empty() && !problem.hurts_more {
        return "no tag".to_owned();
    }
    let mut shown: Vec<_> = hurts.iter().take(TAGS).map(ToString::to_string).collect();
    if hurts.len() > TAGS {
        shown.push(format!("and {} more", hurts.len() - TAGS));
    }
    if problem.hurts_more {
        shown.push("and others".to_owned());
    }
    shown.join(", ")
}

fn repair(problem: &Problem) -> Option<String> {
    match problem.repair.as_ref()? {
        Repair::Done(how) => Some(format!("    repaired: {how}")),
        Repair::Failed(why) => Some(format!("    not repaired: {why}")),
        _ => None,
    }
}

fn needs(problem: &Problem) -> Option<&'static str> {
    Some(match problem.needs {
        Remedy::Nothing => return None,
        Remedy::Repair => "verify --repair",
        Remedy::RepairThenPush => "verify --repair, then a push of what is hurt",
        Remedy::Push => "a push of what is hurt, or its deletion",
        _ => "a person who looks at it",
    })
}

/// Whatever a push would heal, now or after a repair.
fn pushes(report: &VerifyReport) -> BTreeSet<String> {
    report
        .problems
        .iter()
        .filter(|problem| matches!(problem.needs, Remedy::Push | Remedy::RepairThenPush))
        .flat_map(|problem| problem.hurts.iter().map(ToString::to_string))
        .collect()
}

fn result(problems: &[&Problem], more: u64) -> String {
    if problems.is_empty() {
        return "healthy".to_owned();
    }
    let mut parts = vec![count(problems.len() as u64 + more, "problem", "problems")];
    for (words, remedies) in [
        ("repaired", &[Remedy::Nothing] as &[_]),
        ("for --repair", &[Remedy::Repair, Remedy::RepairThenPush]),
        ("for a push", &[Remedy::Push]),
        ("for a person", &[Remedy::ByHand]),
    ] {
        let of = |problem: &&&Problem| remedies.contains(&problem.needs);
        match problems.iter().filter(of).count() {
            0 => {}
            number => parts.push(format!("{number} {words}")),
        }
    }
    if more > 0 {
        parts.push(format!("{more} for another run"));
    }
    parts.join(", ")
}

/// One object.
pub(super) fn json(report: &VerifyReport) -> String {
    let problems: Vec<_> = report.problems.iter().map(object).collect();
    let value = json!({
        "healthy": report.is_healthy(),
        "blobs": report.blobs,
        "bytes_hashed": report.bytes,
        "repositories": report.repositories,
        "manifests": report.manifests,
        "tags": report.tags,
        "push": pushes(report),
        "more_notes": report.more_notes,
        "more_problems": report.more_problems,
        "problems": problems,
    });
    format!("{value}\n")
}

fn object(problem: &Problem) -> Value {
    let hurts: Vec<_> = problem.hurts.iter().map(ToString::to_string).collect();
    let (done, failed) = match &problem.repair {
        Some(Repair::Done(how)) => (Some(how), None),
        Some(Repair::Failed(why)) => (None, Some(why)),
        _ => (None, None),
    };
    json!({
        "kind": problem.kind.as_str(),
        "note": problem.kind.is_note(),
        "path": problem.path.to_string_lossy(),
        "detail": problem.detail,
        "hurts": hurts,
        "hurts_more": problem.hurts_more,
        "repaired": done,
        "not_repaired": failed,
        "needs": problem.needs.as_str(),
    })
}
