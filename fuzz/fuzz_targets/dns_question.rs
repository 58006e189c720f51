#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| weft::dns::fuzzing::question(bytes));
