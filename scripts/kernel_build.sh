#!/bin/sh
# The `cargo` that evcxr builds cells with: kernel_build.sh REPOSITORY CARGO ARGUMENTS…, in the folder of a slot.
#
# For every cell cargo looks at 300 crates that have not changed, which takes longer than compiling the cell. So what it
# has rustc do for a cell is written down once, and done again as long as nothing that could matter has changed: the list
# of crates, the library, the compiler, the flags. Everything else is left to cargo, and so is all that is unexpected.
set -u
repository=$1 cargo=$2
shift 2

# Before a cell has the library, cargo drops all that it needs from Cargo.lock; then it would take the newest versions of
# the day and compile polars once more.
[ ! -f given.lock ] || grep -qs '^name = "covid-ct"' Cargo.lock || cp given.lock Cargo.lock

# A cell's build, unless evcxr has a wrapper of its own, or a crate from a folder other than ours: it may change.
[ "${1-}" = build ] && [ -z "${RUSTC_WRAPPER-}" ] && [ "$(grep -c '= *{.*path *=' Cargo.toml)" = 1 ] || exec "$cargo" "$@"

# The flags are those of the folder above, where the set-up puts a copy of the repository's.
question="$* ${RUSTC-} ${RUSTFLAGS-} $(cat Cargo.toml .cargo/config.toml ../.cargo/config.toml 2>&1)"
changed() {
    cksum <Cargo.lock | cmp - cell/lock 2>&1
    find "$repository/src" "$repository/build.rs" "$repository/Cargo.toml" \
        "$repository/scripts/notebook_crate" "${RUSTC:-$cargo}" -newer cell/known -print -quit 2>&1
}
if [ -f cell/known ] && [ "$(cat cell/question)" = "$question" ] && [ -z "$(changed)" ]; then
    so=$(cat cell/so)
    rm -f "$so"
    (. ./cell/variables && eval "exec $(cat cell/rustc)") 2>cell/said
    code=$?
    if [ $code = 0 ]; then
        cat cell/said >&2
        echo "{\"reason\":\"compiler-artifact\",\"target\":{\"name\":\"ctx\"},\"filenames\":[\"$so\"]}"
        exit
    elif ! grep -qE 'E0460|E0463|E0514|E0786' cell/said; then
        # The cell's own fault; these are about other crates.
        cat cell/said >&2
        exit $code
    fi
fi

mkdir -p cell
rm -f cell/known
touch cell/begun
printf '%s\n' "$question" >cell/question
export RUSTC_WRAPPER="$repository/scripts/kernel_rustc.sh" COVID_CT_CELL="$PWD/cell"
exec "$cargo" "$@"
