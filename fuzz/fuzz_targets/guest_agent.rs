//! What a guest's agent says.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ha_providers::fuzzing::guest_agent(bytes));
