//! See [`registry_fuzz::credentials`].

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| registry_fuzz::credentials(data));
