#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mysa_fuzz::mqtt_from_server(data));
