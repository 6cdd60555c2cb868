//! See [`registry_fuzz::repository_name`].

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| registry_fuzz::repository_name(data));
