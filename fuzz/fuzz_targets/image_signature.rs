//! A `.sig` file, and a certificate file.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ha_flatcar_image::fuzzing::image_signature(bytes));
