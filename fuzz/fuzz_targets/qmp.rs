//! What a QEMU says over its monitor.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ha_providers::fuzzing::qmp_monitor(bytes));
