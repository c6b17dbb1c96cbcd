#![no_main]

libfuzzer_sys::fuzz_target!(init: paystate_fuzz::stack::guard(), |bytes: &[u8]| paystate_fuzz::targets::journal_decoder::run(bytes));
