//! See [`registry_fuzz::pem`].

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| registry_fuzz::pem(data));
