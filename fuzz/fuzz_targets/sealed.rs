#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mysa_fuzz::sealed(data));
