#!/bin/sh
# Between cargo and rustc: records the call with which cargo compiles a cell, for kernel_build.sh.
case " $* " in *" --crate-name ctx "*)
    previous=
    : >"$COVID_CT_CELL/libraries"
    for argument; do
        printf "'%s' " "$(printf %s "$argument" | sed "s/'/'\\\\''/g")"
        [ "$previous" != --out-dir ] || printf %s "$argument/libctx.so" >"$COVID_CT_CELL/so"
        [ "$previous" != --extern ] || printf '%s\n' "${argument#*=}" >>"$COVID_CT_CELL/libraries"
        previous=$argument
    done >"$COVID_CT_CELL/rustc"
    # Without the pipe through which cargo shares out its jobs.
    export -p | sed -n '/^export CARGO_MAKEFLAGS=/d; /^export CARGO_/p' >"$COVID_CT_CELL/variables"
    cksum <Cargo.lock >"$COVID_CT_CELL/lock"
    xargs -r -d '\n' stat -Lc '%n %s %.9Y %i' <"$COVID_CT_CELL/libraries" >"$COVID_CT_CELL/compiled" 2>&1
    # With the time at which cargo was called.
    mv "$COVID_CT_CELL/begun" "$COVID_CT_CELL/known"
    ;;
esac
exec "$@"
