#![no_main]

libfuzzer_sys::fuzz_target!(|wire: &[u8]| fuzz::body(wire));
