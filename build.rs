//! Tells the linker where libtorch lies, so that programs find it without LD_LIBRARY_PATH.
//!
//! tch's own link arguments do not reach the crates that depend on it. The CUDA library is loaded by src/cuda.rs.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::PathBuf;

fn main() {
    println!("cargo:rerun-if-env-changed=DEP_TCH_LIBTORCH_LIB");
    println!("cargo:rustc-env=COVID_CT_COMMIT={}", commit());
    println!("cargo:rustc-env=COVID_CT_READING={:016x}", reading());
    let lib = std::env::var("DEP_TCH_LIBTORCH_LIB").unwrap_or_default();
    #[cfg(feature = "mpi")]
    compile_batch_norm_of_ranks(&lib);
    // `-Cprefer-dynamic` (see .cargo/config.toml) leaves Rust's own library in the toolchain's folder.
    let rustc = std::env::var("RUSTC").unwrap_or("rustc".to_owned());
    let printed = std::process::Command::new(rustc).args(["--print", "target-libdir"]).output();
    if let Ok(folder) = printed.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()) {
        println!("cargo:rustc-link-arg=-Wl,-rpath={folder}");
    }
    if !lib.is_empty() {
        println!("cargo:rustc-link-arg=-Wl,-rpath={lib}");
    }
}

/// The C++ part of src/nn/rank_sums.rs, with the flags of torch-sys.
#[cfg(feature = "mpi")]
fn compile_batch_norm_of_ranks(lib: &str) {
    let include = PathBuf::from(lib).join("../include");
    let mut build = cc::Build::new();
    build.cpp(true).std("c++17").warnings(false).opt_level(1).include(&include);
    build.include(include.join("torch/csrc/api/include")).define("_GLIBCXX_USE_CXX11_ABI", "1");
    build.file("src/nn/batch_norm_of_ranks.cpp").compile("covid_ct_batch_norm_of_ranks");
}

/// A hash of all by which files are read and judged: what an audit keeps is taken over only by a program that would see the
/// same.
fn reading() -> u64 {
    let (mut hash, mut folders) =
        (DefaultHasher::new(), ["src/base", "src/stats", "src/data"].map(PathBuf::from).to_vec());
    let mut files = ["Cargo.lock", "Cargo.toml"].map(PathBuf::from).to_vec();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    files.sort();
    for file in files {
        (&file, fs::read(&file).unwrap_or_default()).hash(&mut hash);
    }
    hash.finish()
}

/// The commit that is built, with a `+` where the sources differ from it; empty outside a repository.
fn commit() -> String {
    // Not with every commit: the sources are what was built, and the kernel would compile the library anew each time.
    for path in ["src", "Cargo.toml", "Cargo.lock", "build.rs"] {
        println!("cargo:rerun-if-changed={path}");
    }
    let git = |arguments: &[&str]| {
        let output = std::process::Command::new("git").args(arguments).output().ok().filter(|o| o.status.success());
        output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let Some(hash) = git(&["rev-parse", "HEAD"]) else { return String::new() };
    let changed = git(&["status", "--porcelain", "--", "src", "Cargo.toml", "Cargo.lock", "build.rs"]);
    hash + if changed.is_some_and(|changed| !changed.is_empty()) { "+" } else { "" }
}
