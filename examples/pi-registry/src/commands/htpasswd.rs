//! `htpasswd -Bbn USER PASSWORD`, as the images of distribution once had it.
//!
//! | flag | |
//! |---|---|
//! | `-n` | print the line; required, no file is written |
//! | `-B` | with bcrypt; required, a registry takes nothing else |
//! | `-b` | the password is an argument |
//! | `-i` | the password is on standard input |
//! | `-C COST` | 4 to 17, default 5, as Apache's |

use std::ffi::OsString;
use std::io::{self, Read};
use std::process::ExitCode;

use registry_auth::htpasswd::{self, MAX_COST, MIN_COST};

use super::password::first_line;
use super::print;
use crate::logging::chain;

/// Prints the line of a user, and an empty one.
pub(crate) fn run(arguments: &[OsString]) -> ExitCode {
    let line = entry(arguments, io::stdin().lock()).and_then(|entry| {
        print(&format!("{entry}\n\n")).map_err(|error| format!("cannot print the line: {error}"))
    });
    match line {
        Ok(()) => ExitCode::SUCCESS,
        Err(line) => {
            use std::io::Write as _;
            let _ = writeln!(io::stderr(), "htpasswd: {line}");
            // As Apache's for a wrong command line.
            ExitCode::from(2)
        }
    }
}

const USAGE: &str =
    "expected htpasswd -Bbn USER PASSWORD, or -Bin USER with the password on standard input";

#[derive(Debug)]
struct Options {
    bcrypt: bool,
    print: bool,
    batch: bool,
    stdin: bool,
    cost: u32,
    operands: Vec<String>,
}

/// The line `user:hash`, or the line of a complaint.
fn entry(arguments: &[OsString], stdin: impl Read) -> Result<String, String> {
    let options = options(arguments)?;
    if !options.bcrypt {
        return Err(format!("a registry takes bcrypt only: add -B; {USAGE}"));
    }
    if !options.print {
        return Err(format!(
            "no file is written: add -n and send the output to the file; {USAGE}"
        ));
    }
    if options.batch == options.stdin {
        return Err(format!(
            "the password is expected either as an argument with -b or on standard input with -i; \
             {USAGE}"
        ));
    }
    let (name, password) = match (options.operands.as_slice(), options.batch) {
        ([name, password], true) => (name, password.clone()),
        ([name], false) => (name, first_line(stdin)?),
        (operands, _) => {
            let count = operands.len();
            return Err(format!("{count} arguments besides the flags; {USAGE}"));
        }
    };
    htpasswd::entry(name, &password, options.cost).map_err(|error| chain(&error))
}

fn options(arguments: &[OsString]) -> Result<Options, String> {
    let mut options = Options {
        bcrypt: false,
        print: false,
        batch: false,
        stdin: false,
        cost: 5,
        operands: Vec::new(),
    };
    let mut arguments = arguments.iter();
    let mut only_operands = false;
    while let Some(argument) = arguments.next() {
        let argument = argument
            .to_str()
            .ok_or_else(|| "an argument is not UTF-8: expected plain text".to_owned())?;
        let flags = match argument.strip_prefix('-') {
            // As Apache's: what comes after the first operand is no flag, and
            // a password may begin with a dash.
            Some(flags) if !flags.is_empty() && !only_operands => flags,
            _ => {
                only_operands = true;
                options.operands.push(argument.to_owned());
                continue;
            }
        };
        if flags == "-" {
            only_operands = true;
            continue;
        }
        let mut rest = flags.chars();
        while let Some(flag) = rest.next() {
            match flag {
                'B' => options.bcrypt = true,
                'n' => options.print = true,
                'b' => options.batch = true,
                'i' => options.stdin = true,
                'C' => {
                    let attached = std::mem::replace(&mut rest, "".chars());
                    let value = match attached.as_str() {
                        "" => arguments.next().and_then(|value| value.to_str()),
                        attached => Some(attached),
                    };
                    options.cost = cost(value.unwrap_or_default())?;
                }
                'm' | 'd' | 's' | 'p' | '2' | '5' | 'r' => {
                    return Err(format!(
                        "-{flag}: a registry takes no other hash than bcrypt: use -B instead"
                    ));
                }
                'c' | 'D' | 'v' => {
                    return Err(format!(
                        "-{flag}: no file is read or written: use -n and send the output to the file"
                    ));
                }
                _ => return Err(format!("-{flag} is no flag of htpasswd; {USAGE}")),
            }
        }
    }
    Ok(options)
}

fn cost(text: &str) -> Result<u32, String> {
    let cost = text
        .parse()
        .ok()
        .filter(|cost| (MIN_COST..=MAX_COST).contains(cost));
    cost.ok_or_else(|| format!("-C is {text:?}: expected a cost from {MIN_COST} to {MAX_COST}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(arguments: &[&str], stdin: &str) -> Result<String, String> {
        let arguments: Vec<OsString> = arguments.iter().map(OsString::from).collect();
        entry(&arguments, stdin.as_bytes())
    }

    #[test]
    fn any_grouping_of_the_flags_will_do() {
        for (arguments, stdin, password, start) in [
            (&["-Bbn", "u", "pass"] as &[_], "", "pass", "u:$2y$05$"),
            (&["-nbB", "u", "pass"], "", "pass", "u:$2y$05$"),
            (&["-n", "-b", "-B", "u", "-pass"], "", "-pass", "u:$2y$05$"),
            (&["-B", "-bn", "--", "u", ""], "", "", ""),
            (&["-Bbn", "-C", "4", "u", "p"], "", "p", "u:$2y$04$"),
            (&["-BbnC4", "u", "p"], "", "p", "u:$2y$04$"),
            (&["-Bin", "u"], "p q\r\n", "p q", "u:$2y$05$"),
            (&["-Bin", "u"], "p", "p", "u:$2y$05$"),
        ] {
            let Ok(line) = line(arguments, stdin) else {
                assert!(start.is_empty(), "{arguments:?}");
                continue;
            };
            assert!(line.starts_with(start) && !start.is_empty(), "{line}");
            let hash = line.strip_prefix("u:").expect("the user");
            assert!(bcrypt::verify(password, hash).expect("a hash"), "{line}");
        }
    }

    #[test]
    fn everything_else_is_refused_in_one_line() {
        let long = "x".repeat(73);
        for (arguments, expected) in [
            (
                &["-bn", "u", "p"] as &[_],
                "a registry takes bcrypt only: add -B",
            ),
            (
                &["-bnm", "u", "p"],
                "-m: a registry takes no other hash than bcrypt",
            ),
            (&["-Bb", "u", "p"], "no file is written: add -n"),
            (&["-Bbc", "f", "u", "p"], "-c: no file is read or written"),
            (&["-Bn", "u"], "the password is expected either"),
            (&["-Bbin", "u"], "the password is expected either"),
            (&["-Bbn", "u"], "1 arguments besides the flags"),
            (&["-Bbn", "u:v", "p"], "user \"u:v\": expected"),
            (&["-Bbn", "#u", "p"], "user \"#u\": expected"),
            (&["-Bbn", "", "p"], "user \"\": expected"),
            (
                &["-Bbn", "u", &long],
                "the password has 73 bytes: expected 1 to 72",
            ),
            (
                &["-Bbn", "u", ""],
                "the password has 0 bytes: expected 1 to 72",
            ),
            (
                &["-Bbn", "-C", "3", "u", "p"],
                "-C is \"3\": expected a cost from 4 to 17",
            ),
            (&["-BbnC"], "-C is \"\": expected a cost from 4 to 17"),
            (&["-Bbnx", "u", "p"], "-x is no flag of htpasswd"),
            (&[], "a registry takes bcrypt only"),
        ] {
            let error = line(arguments, "").expect_err(expected);
            assert!(error.starts_with(expected), "{error}");
            assert!(!error.contains('\n'), "{error}");
        }
    }
}
