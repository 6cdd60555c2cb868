//! See [`registry_fuzz::digest_and_reference`].

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| registry_fuzz::digest_and_reference(data));
