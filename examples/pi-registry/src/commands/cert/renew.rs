//! `cert renew`: a new certificate from the same CA.

use clap::Args;
use registry_tls::issue::KeyKind;

use super::files::{Place, RENEWED, line};
use super::leaf::{Renewal, current, good_for, renew};
use super::options::{Hosts, Key, Validity};

#[derive(Args, Debug, PartialEq, Eq)]
#[command(after_help = "\
The new certificate is for all hosts of the old one, and for those given.")]
pub(super) struct Arguments {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    hosts: Hosts,
    /// Make a new key as well.
    #[arg(long)]
    new_key: bool,
    /// Kind of the new key [default: that of the old one].
    #[arg(long, value_enum, requires = "new_key")]
    key: Option<Key>,
    #[command(flatten)]
    validity: Validity,
}

pub(super) fn run(arguments: &Arguments, out: &mut String) -> Result<(), String> {
    let found = arguments.place.find()?;
    let files = found.files();
    let kind: KeyKind = match arguments.key {
        Some(key) => key.into(),
        None => Key::like(&current(&files.certificate)?.key).into(),
    };
    let renewal = Renewal {
        hosts: arguments.hosts.all(),
        valid: arguments.validity.into(),
        new_key: arguments.new_key.then_some(kind),
    };
    let renewed = renew(files, &renewal)?;
    if arguments.new_key {
        line(out, RENEWED, &files.key, "");
    }
    line(out, RENEWED, &files.certificate, &good_for(&renewed)?);
    *out += "A running registry takes it over within 10 seconds; clients notice nothing.\n";
    Ok(())
}
