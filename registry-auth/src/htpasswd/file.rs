//! The file: a line `user:hash` per user, comments after `#`, blank lines.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::Path;

use super::error::{HtpasswdError, LineProblem};
use super::hash::Hash;

/// Some 13,000 users. More is no htpasswd file, and must not fill the memory.
pub(super) const MAX_SIZE: u64 = 1 << 20;

/// The longest name of a user in bytes, as Apache's.
pub(super) const LONGEST_NAME: usize = 255;

/// A user's line.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) number: usize,
    pub(super) name: String,
    pub(super) hash: Hash,
}

/// The whole file, as long as it has a sensible size.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, HtpasswdError> {
    let unreadable = |source| HtpasswdError::Unreadable {
        path: path.to_owned(),
        source,
    };
    // Opening a pipe would wait for its other end.
    let kind = fs::metadata(path).map_err(unreadable)?.file_type();
    if !kind.is_file() {
        return Err(unreadable(if kind.is_dir() {
            io::ErrorKind::IsADirectory.into()
        } else {
            io::Error::other("not a regular file")
        }));
    }
    let mut content = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAX_SIZE + 1).read_to_end(&mut content))
        .map_err(unreadable)?;
    if content.len() as u64 > MAX_SIZE {
        return Err(HtpasswdError::TooLarge {
            path: path.to_owned(),
        });
    }
    Ok(content)
}

/// The users' lines, in the order of the file.
pub(super) fn parse(path: &Path, content: &[u8]) -> Result<Vec<Line>, HtpasswdError> {
    let lines = content.split(|&byte| byte == b'\n').enumerate();
    lines
        .filter_map(|(index, line)| Some((index + 1, meaning(line)?)))
        .map(|(number, line)| {
            user(line)
                .map(|(name, hash)| Line { number, name, hash })
                .map_err(|problem| HtpasswdError::Line {
                    path: path.to_owned(),
                    line: number,
                    problem,
                })
        })
        .collect()
}

/// A line without what stands around it; `None` for comments and blank lines.
pub(super) fn meaning(line: &[u8]) -> Option<&[u8]> {
    // What some editors on Windows begin a file with.
    let line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
    let line = line.trim_ascii();
    (!line.is_empty() && !line.starts_with(b"#")).then_some(line)
}

fn user(line: &[u8]) -> Result<(String, Hash), LineProblem> {
    let line = std::str::from_utf8(line).map_err(|_| LineProblem::NotText)?;
    let (name, rest) = line.split_once(':').ok_or(LineProblem::NoColon)?;
    if !is_name(name) {
        return Err(LineProblem::Name);
    }
    // Further fields are other programs' notes; Apache passes over them, too.
    let hash = rest.split(':').next().unwrap_or_default();
    Ok((name.to_owned(), Hash::parse(hash)?))
}

/// Whether a file may hold it, and a client can send it.
pub(super) fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= LONGEST_NAME
        && !name.contains(|c: char| c == ':' || c.is_control())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "$2y$05$abcdefghijklmnopqrstuuo1wNsNl3wIjVRhRqYMjHYe3PkXNCiqa";

    fn names(content: &str) -> Vec<(usize, String)> {
        let lines = parse(Path::new("users"), content.as_bytes()).expect("valid");
        lines
            .into_iter()
            .map(|line| (line.number, line.name))
            .collect()
    }

    fn fault(content: &[u8]) -> String {
        let error = parse(Path::new("users"), content).expect_err("a fault");
        error.to_string()
    }

    #[test]
    fn a_file_as_apache_and_people_write_it_is_read() {
        let content = format!(
            "\u{feff}# users\r\n\r\nalice:{HASH}\r\n  # more\n\tbob smith:{HASH}  \nzoë:{HASH}:note"
        );
        let expected = [(3, "alice"), (5, "bob smith"), (6, "zoë")];
        let expected = expected.map(|(number, name)| (number, name.to_owned()));
        assert_eq!(names(&content), expected);
        assert!(names("").is_empty());
        assert!(names("\n# nobody\n").is_empty());
    }

    #[test]
    fn a_bad_line_is_named_and_not_shown() {
        for (line, expected) in [
            ("HUSH", "users:2: the line has no colon"),
            (&format!(":{HASH}"), "users:2: the user name is empty"),
            (&format!("a\u{7}b:{HASH}"), "users:2: the user name is"),
            (
                &format!("{}:{HASH}", "x".repeat(256)),
                "users:2: the user name is",
            ),
            (
                "HUSH:$apr1$HUSH$HUSH",
                "users:2: the password is hashed with Apache's MD5 ($apr1$), and a registry takes \
                 bcrypt only: set the password anew with: htpasswd -B users USER, or: \
                 pi-registry user passwd --file users USER",
            ),
            ("HUSH:HUSH", "users:2: the password is plain text or hashed"),
            ("HUSH:", "users:2: the password is missing"),
            ("HUSH:$2y$05$HUSH", "users:2: the bcrypt hash is cut"),
            (
                &format!("HUSH:{}", HASH.replace("$05$", "$20$")),
                "users:2: the bcrypt hash has cost 20, expected 4 to 17",
            ),
        ] {
            let error = fault(format!("# x\n{line}\nalice:{HASH}\n").as_bytes());
            assert!(error.starts_with(expected), "{error}");
            assert!(!error.contains("HUSH") && !error.contains('\n'), "{error}");
        }
        let error = fault(b"\xff:x");
        assert!(error.starts_with("users:1: the line is not UTF-8"));
    }

    #[test]
    fn a_file_that_cannot_be_read_is_named() {
        let dir = tempfile::tempdir().expect("a directory");
        let missing = dir.path().join("none");
        let error = read(&missing).expect_err("missing").to_string();
        let advice = format!("pi-registry user add --file {} NAME", missing.display());
        assert!(error.ends_with(&advice), "{error}");
        let error = read(dir.path()).expect_err("a directory").to_string();
        assert!(error.ends_with("give the path of a file"), "{error}");
        let large = dir.path().join("large");
        fs::write(&large, vec![b'\n'; 1 << 20]).expect("written");
        assert!(read(&large).is_ok());
        fs::write(&large, vec![b'\n'; (1 << 20) + 1]).expect("written");
        let error = read(&large).expect_err("too large").to_string();
        assert!(error.contains("larger than 1048576 bytes"), "{error}");
    }
}
