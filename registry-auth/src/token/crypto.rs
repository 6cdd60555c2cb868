//! The provider of cryptography: ring, or aws-lc-rs with ring's interface.

#[cfg(not(feature = "ring"))]
pub(super) use aws_lc_rs::{digest, hmac, rand, signature};
#[cfg(feature = "ring")]
pub(super) use ring::{digest, hmac, rand, signature};

#[cfg(not(feature = "ring"))]
pub(super) use webpki::aws_lc_rs as chain;
#[cfg(feature = "ring")]
pub(super) use webpki::ring as chain;

pub(super) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let digest = digest::digest(&digest::SHA256, bytes);
    digest.as_ref().try_into().expect("SHA-256 has 32 bytes")
}
