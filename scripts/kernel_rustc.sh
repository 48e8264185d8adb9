#!/bin/sh
# Between cargo and rustc: writes down what cargo asks for where it compiles a cell, for kernel_build.sh.
case " $* " in *" --crate-name ctx "*)
    previous=
    for argument; do
        printf "'%s' " "$(printf %s "$argument" | sed "s/'/'\\\\''/g")"
        [ "$previous" != --out-dir ] || printf %s "$argument/libctx.so" >"$COVID_CT_CELL/so"
        previous=$argument
    done >"$COVID_CT_CELL/rustc"
    # Without the pipe that cargo hands out its turns through.
    export -p | sed -n '/^export CARGO_MAKEFLAGS=/d; /^export CARGO_/p' >"$COVID_CT_CELL/variables"
    cksum <Cargo.lock >"$COVID_CT_CELL/lock"
    # As of when cargo began to look.
    mv "$COVID_CT_CELL/begun" "$COVID_CT_CELL/known"
    ;;
esac
exec "$@"
