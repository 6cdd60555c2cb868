//! See [`registry_fuzz::pull_range`].

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| registry_fuzz::pull_range(data));
