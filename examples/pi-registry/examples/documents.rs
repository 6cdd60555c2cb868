//! Writes the manual pages, and the completions of bash, zsh and fish, to where a
//! package of a distribution has them:
//!
//! ```sh
//! cargo run -p pi-registry --example documents -- DIR
//! ```
//!
//! | file below DIR | |
//! |---|---|
//! | `share/man/man1/pi-registry*.1` | a page for each command |
//! | `share/bash-completion/completions/pi-registry` | |
//! | `share/zsh/vendor-completions/_pi-registry` | |
//! | `share/fish/vendor_completions.d/pi-registry.fish` | |

use std::fs;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use clap_complete::Shell;

const NAME: &str = "pi-registry";

fn main() -> ExitCode {
    let Some(dir) = std::env::args_os().nth(1) else {
        eprintln!("documents: name the directory to write to");
        return ExitCode::from(2);
    };
    match write(&PathBuf::from(dir).join("share")) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("documents: {error}");
            ExitCode::FAILURE
        }
    }
}

fn write(share: &std::path::Path) -> io::Result<()> {
    let pages = share.join("man/man1");
    fs::create_dir_all(&pages)?;
    clap_mangen::generate_to(pi_registry::command(), &pages)?;
    for (shell, dir) in [
        (Shell::Bash, "bash-completion/completions"),
        (Shell::Zsh, "zsh/vendor-completions"),
        (Shell::Fish, "fish/vendor_completions.d"),
    ] {
        let dir = share.join(dir);
        fs::create_dir_all(&dir)?;
        let file = clap_complete::generate_to(shell, &mut pi_registry::command(), NAME, &dir)?;
        if shell == Shell::Bash {
            // Debian's are called as the program is.
            fs::rename(file, dir.join(NAME))?;
        }
    }
    Ok(())
}
