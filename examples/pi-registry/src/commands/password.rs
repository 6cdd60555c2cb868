//! Passwords that people type or pipe in.

use std::io::{self, IsTerminal as _, Read, Stdin, Write as _};

use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr,
};

/// What a terminal sends for Ctrl-C.
const CTRL_C: u8 = 3;

/// Whoever pipes a file in by mistake need not wait for its end.
const LONGEST: u64 = 4096;

/// The new password of a user: typed twice on a terminal, which does not show
/// it, else the first line of standard input.
pub(super) fn ask(name: &str) -> Result<String, String> {
    let stdin = io::stdin();
    if !stdin.is_terminal() {
        return first_line(stdin.lock());
    }
    let password = typed(&stdin, &format!("New password for {name}: "))?;
    if typed(&stdin, &format!("Again for {name}: "))? != password {
        return Err("the two passwords differ: nothing was changed".to_owned());
    }
    Ok(password)
}

/// The password that a user has: typed once on a terminal, else the first line
/// of standard input.
pub(super) fn ask_known(name: &str) -> Result<String, String> {
    let stdin = io::stdin();
    if stdin.is_terminal() {
        typed(&stdin, &format!("Password for {name}: "))
    } else {
        first_line(stdin.lock())
    }
}

/// The first line; passwords are no more than that anywhere.
pub(super) fn first_line(stdin: impl Read) -> Result<String, String> {
    let failed = |error| format!("cannot read the password from standard input: {error}");
    let mut text = String::new();
    stdin
        .take(LONGEST)
        .read_to_string(&mut text)
        .map_err(failed)?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

/// A line that the terminal does not show.
fn typed(stdin: &Stdin, prompt: &str) -> Result<String, String> {
    let failed = |error: io::Error| format!("cannot read the password from the terminal: {error}");
    let _hidden = Hidden::start(stdin).map_err(failed)?;
    let mut stderr = io::stderr();
    let _ = stderr.write_all(prompt.as_bytes());
    let mut line = Vec::new();
    // Byte by byte: what comes after Ctrl-C never comes.
    for byte in stdin.lock().take(LONGEST).bytes() {
        match byte.map_err(failed)? {
            b'\n' => break,
            CTRL_C => {
                let _ = stderr.write_all(b"\n");
                return Err("interrupted: nothing was changed".to_owned());
            }
            byte => line.push(byte),
        }
    }
    String::from_utf8(line).map_err(|_| "the password is not UTF-8: expected text".to_owned())
}

/// A terminal that shows nothing of what is typed but the end of the line,
/// until this is dropped.
struct Hidden<'a> {
    stdin: &'a Stdin,
    before: Termios,
}

impl<'a> Hidden<'a> {
    fn start(stdin: &'a Stdin) -> io::Result<Self> {
        let before = tcgetattr(stdin)?;
        let mut hidden = before.clone();
        // Ctrl-C as a signal would leave the terminal as it is now.
        hidden
            .local_modes
            .remove(LocalModes::ECHO | LocalModes::ISIG);
        hidden.local_modes.insert(LocalModes::ECHONL);
        hidden.special_codes[SpecialCodeIndex::VEOL] = CTRL_C;
        tcsetattr(stdin, OptionalActions::Flush, &hidden)?;
        Ok(Self { stdin, before })
    }
}

impl Drop for Hidden<'_> {
    fn drop(&mut self) {
        let _ = tcsetattr(self.stdin, OptionalActions::Now, &self.before);
    }
}
