//! Generic functions of tch call C functions and are compiled in the cell that uses them; Rust exports its own names alone.

fn main() {
    let folder = std::env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
    println!("cargo::rustc-link-arg=-Wl,--version-script={folder}/exported.map");
    println!("cargo::rerun-if-changed=exported.map");
}
