//! Lines of a stream of events.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ha_wire::fuzzing::event(bytes));
