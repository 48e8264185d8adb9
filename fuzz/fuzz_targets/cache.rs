#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| covid_ct::fuzzing::cache(bytes));
