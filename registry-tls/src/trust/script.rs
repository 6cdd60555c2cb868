//! A plan as a script, to be copied to another machine and run there.

use std::path::Path;

use super::{Client, Plan, TrustFile};

/// `put SUDO MODE PATH [SHARED…]` makes its input the file PATH, by the rules
/// of [`Plan::install`].
const PREAMBLE: &str = r##"set -eu
umask 022
ROOT=${ROOT-}
missing=0
new=$(mktemp)
trap 'rm -f "$new"' EXIT
lines() { grep -v '^[[:space:]]*#' || true; }
put() {
  cat > "$new"
  if $1 test -e "$3"; then
    there=$($1 cat "$3")
    if [ "$(printf '%s\n' "$there" | lines)" = "$(lines < "$new")" ]; then
      $1 chmod "$2" "$3"
      echo "unchanged: $3"
      return
    fi
    if [ $# -gt 3 ]; then
      path=$3
      shift 3
      for text; do
        printf '%s\n' "$there" | lines | grep -qF -- "$text" && continue
        echo "$path exists and was kept: add to it by hand" >&2
        lines < "$new" >&2
        missing=1
        return
      done
      echo "unchanged: $path"
      return
    fi
    if [ "$(printf '%s\n' "$there" | head -n 1)" != "$(head -n 1 "$new")" ]; then
      echo "$3 exists with other content: look at it, move it away, run this again" >&2
      exit 1
    fi
  fi
  $1 mkdir -p "$(dirname "$3")"
  beside=$($1 mktemp "$3.XXXXXX")
  $1 cp "$new" "$beside"
  $1 chmod "$2" "$beside"
  $1 mv -f "$beside" "$3"
  echo "written: $3"
}
"##;

/// No line of a file can be this.
const END: &str = "END_OF_FILE";

impl Plan {
    /// A script that does what [`Plan::install`] does and then runs the
    /// commands: for a POSIX shell, or for PowerShell in [`Client::Windows`].
    ///
    /// With `ROOT=/some/folder` in its environment the shell script writes
    /// below that folder, without sudo, and runs no command. It ends with an
    /// error when it could not do all.
    ///
    /// ```
    /// use registry_tls::trust::{CaCertificates, Client, Target};
    ///
    /// # let pem = include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/trust/fixtures/ca.pem"));
    /// let ca = CaCertificates::from_pem(pem)?;
    /// let target = Target::new("registry.local:5000".parse()?, ca);
    /// let script = Client::Docker.plan(&target).script();
    /// assert!(script.starts_with("#!/bin/sh\n"));
    /// assert!(!script.contains("PRIVATE KEY"));
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn script(&self) -> String {
        match self.client {
            Client::Windows => self.powershell(),
            _ => self.shell(),
        }
    }

    fn shell(&self) -> String {
        let mut script = format!("#!/bin/sh\n{}{PREAMBLE}", self.header());
        let sudo = if self.client.needs_root() {
            script.push_str("sudo=\n[ -n \"$ROOT\" ] || [ \"$(id -u)\" -eq 0 ] || sudo=sudo\n");
            "$sudo"
        } else {
            ""
        };
        for file in &self.files {
            script.push_str(&put(file, sudo));
        }
        script.push_str("[ \"$missing\" = 0 ] || exit 1\n");
        if !self.commands.is_empty() {
            script.push_str("[ -z \"$ROOT\" ] || exit 0\n");
        }
        for command in &self.commands {
            script.push_str(format!("{sudo} {command}\n").trim_start());
        }
        script
    }

    fn powershell(&self) -> String {
        let mut script = self.header();
        for file in &self.files {
            let text = &file.contents;
            let path = file.path.display();
            script.push_str(&format!(
                "@'\n{text}'@ | Set-Content -Encoding ascii -Path '{path}'\n"
            ));
        }
        for command in &self.commands {
            script.push_str(&format!("{command}\n"));
        }
        script
    }

    /// What the script is for, and the notes, as comments.
    fn header(&self) -> String {
        let names: Vec<_> = self.registries.iter().map(ToString::to_string).collect();
        let purpose = format!(
            "Makes this machine trust the registry {} ({:?}).",
            names.join(", "),
            self.client
        );
        std::iter::once(&purpose)
            .chain(&self.notes)
            .flat_map(|note| note.lines())
            .map(|line| format!("# {line}\n"))
            .collect()
    }
}

fn put(file: &TrustFile, sudo: &str) -> String {
    let mode = if file.secret { "600" } else { "644" };
    let path = place(&file.path);
    let shared: String = file
        .shared
        .iter()
        .map(|s| format!(" {}", quote(s)))
        .collect();
    let contents = &file.contents;
    format!("put \"{sudo}\" {mode} {path}{shared} <<'{END}'\n{contents}{END}\n")
}

/// The path below `$ROOT` as a word of the shell.
fn place(path: &Path) -> String {
    let text = path.display().to_string();
    if let Ok(rest) = path.strip_prefix("~") {
        return format!("\"$ROOT$HOME\"/{}", quote(&rest.display().to_string()));
    }
    match path.is_absolute() {
        true => format!("\"$ROOT\"{}", quote(&text)),
        false => format!("\"${{ROOT:+$ROOT/}}\"{}", quote(&text)),
    }
}

fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests;
