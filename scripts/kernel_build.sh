#!/bin/sh
# The `cargo` that evcxr builds cells with: kernel_build.sh REPOSITORY CARGO ARGUMENTS…, run in the folder of a slot.
#
# For every cell cargo checks 300 crates that have not changed, which takes longer than compiling the cell. So the rustc
# call that cargo makes for a cell is recorded once, and repeated as long as nothing that could matter has changed:
# the library, the flags, the crates (`:dep` and Cargo.lock), the compiler, the environment. If any of them has changed,
# and in every case that is not expected here, cargo is called. tests/kernel.rs changes each of them in turn.
set -u
repository=$1 cargo=$2
shift 2

# Before a cell has the library, cargo drops all that it needs from Cargo.lock; then it would take the newest versions of
# the day and compile polars once more.
[ ! -f given.lock ] || grep -qs '^name = "covid-ct"' Cargo.lock || cp given.lock Cargo.lock

# A cell's build, unless evcxr has a wrapper of its own, or a crate comes from a folder other than ours: it may change.
[ "${1-}" = build ] && [ -z "${RUSTC_WRAPPER-}" ] && [ "$(grep -c '= *{.*path *=' Cargo.toml)" = 1 ] || exec "$cargo" "$@"

# Every file that cargo takes flags from: its own folder's, and those of this folder and all above.
settings() {
    folder=$(pwd -P)
    set -- "${CARGO_HOME:-${HOME-}/.cargo}/config.toml" "${CARGO_HOME:-${HOME-}/.cargo}/config"
    while set -- "$@" "$folder/.cargo/config.toml" "$folder/.cargo/config" && [ -n "$folder" ]; do
        folder=${folder%/*}
    done
    cat "$@" 2>&1
}
# What cargo is asked, as a hash, for the environment may hold secrets. It is whole, RUSTFLAGS, LIBTORCH and `:build_env`
# included, but for what differs from one kernel or shell to the next and is read by no build.
question=$({
    printf '%s\n' "$@"
    export -p | sed '/^export \(JPY_[A-Z_]*\|EVCXR_RELAY[A-Z_]*\|OLDPWD\|PWD\|SHLVL\|_\)\(=\|$\)/d'
    cat Cargo.toml
    settings
} | sha256sum)
# Prints something if a file is not as it was. Sources and compilers count as changed from the time on that their inode
# was: unlike the time of the last change of the content, no tool that unpacks or copies sets it back.
changed() {
    cksum <Cargo.lock | cmp - cell/lock 2>&1
    xargs -r -d '\n' stat -Lc '%n %s %.9Y %i' <cell/libraries 2>&1 | cmp - cell/compiled 2>&1
    # Of data_manifest what the library includes: audits of this clone's own data lie in folders below it.
    find -L "$repository/src" "$repository"/data_manifest/*.json "$repository/build.rs" "$repository/Cargo.toml" \
        "$repository/scripts/notebook_crate" "$repository/scripts/cloud" "$cargo" "${RUSTC:-$(command -v rustc)}" \
        -cnewer cell/known -print -quit 2>&1
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
        # An error of the cell itself; the codes above are about other crates.
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
