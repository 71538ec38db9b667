#![no_main]

use libfuzzer_sys::{fuzz_crossover, fuzz_mutator, fuzz_target, fuzzer_mutate};
use mysa_fuzz::{mutate, worker};

fuzz_target!(|data: &[u8]| worker(data));

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    mutate::script(worker, data, size, max_size, seed, fuzzer_mutate)
});

fuzz_crossover!(|one: &[u8], two: &[u8], out: &mut [u8], seed: u32| {
    mutate::splice_scripts(worker, one, two, out, seed)
});
