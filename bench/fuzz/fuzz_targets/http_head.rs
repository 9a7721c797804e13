#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| evenkeel_bench::fuzz::http_head(data));
