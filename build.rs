//! Tells the linker where libtorch lies, so that programs find it without LD_LIBRARY_PATH.
//!
//! tch's own link arguments do not reach the crates that depend on it. Without `--no-as-needed` the linker drops
//! libtorch.so, which nothing calls by name but which loads the CUDA library: programs would silently see no GPU.

fn main() {
    println!("cargo:rerun-if-env-changed=DEP_TCH_LIBTORCH_LIB");
    let lib = std::env::var("DEP_TCH_LIBTORCH_LIB").unwrap_or_default();
    println!("cargo:rustc-env=COVID_CT_LIBTORCH={lib}");
    if !lib.is_empty() {
        println!("cargo:rustc-link-search=native={lib}");
        for argument in ["-Wl,--no-as-needed", &format!("-Wl,-rpath={lib}"), "-ltorch"] {
            println!("cargo:rustc-link-arg={argument}");
        }
    }
}
