//! Certificates and shorthands for the tests of this module.

use super::{CaCertificates, Client, Plan, Target};

pub(super) const CA: &str = include_str!("fixtures/ca.pem");
/// The same name and key as [`CA`], made later.
pub(super) const CA_RENEWED: &str = include_str!("fixtures/ca_renewed.pem");
pub(super) const SECOND_CA: &str = include_str!("fixtures/second_ca.pem");
/// Signed by [`CA`] for `registry.local`, for servers only.
pub(super) const LEAF: &str = include_str!("fixtures/leaf.pem");
pub(super) const LEAF_KEY: &str = include_str!("fixtures/leaf.key");

pub(super) fn target() -> Target {
    target_of(CA)
}

pub(super) fn target_of(ca: &str) -> Target {
    let ca = CaCertificates::from_pem(ca.as_bytes()).expect("a CA");
    Target::new("registry.local:5000".parse().expect("an address"), ca)
}

pub(super) fn plan(client: Client) -> Plan {
    client.plan(&target())
}

pub(super) fn paths(plan: &Plan) -> Vec<&str> {
    plan.files
        .iter()
        .map(|file| file.path.to_str().expect("UTF-8"))
        .collect()
}
