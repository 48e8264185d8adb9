#!/usr/bin/env bash
# RUSTC_WRAPPER of `make fuzz`: counts the branches of our own crates, so that libFuzzer sees which inputs are new. What they depend on
# is compiled as for the library, and not compiled again.
if [[ " $* " =~ " --crate-name covid_ct "|" fuzz_targets/" ]]; then
    set -- "$@" -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
        -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares -Copt-level=1
fi
exec "$@"
