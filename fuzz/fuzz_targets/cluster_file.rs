//! A cluster file.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ha_cluster_file::fuzzing::cluster_file(bytes));
