#!/usr/bin/env bash
# A decompressor of the crate turbojpeg (libjpeg-turbo 3.1.0) that is kept for many files may be lost with one damaged
# file: after an error in that file's header it gives the same error for every good file that follows. A loader that
# counts and skips what it cannot read then skips the rest of the data set. A new decompressor reads the same files.
# After a file that is cut off in its pixels the kept one goes on well, and a test with truncated files shows nothing.
#
# Seen with turbojpeg 1.5.1 and turbojpeg-sys 1.2.0 from crates.io (Rust 1.95, Linux), November 2026:
#   kept decompressor, good file:               read
#   kept decompressor, file cut off:            Premature end of JPEG file
#   kept decompressor, good file:               read
#   kept decompressor, a marker's byte damaged: Unsupported marker type 0xb0
#   kept decompressor, good file, 100 times:    Unsupported marker type 0xb0, 100 times
#   new decompressor, good file:                read
# What this project does about it: the decompressor is dropped after any error (src/data/decode/libjpeg.rs; src/data/decode/tests.rs tests it).
#
# Needs cargo and a C compiler; cmake is from PyPI. The build takes about half a minute.
# Fails if the behaviour changes: if the kept decompressor reads the good file again, or is lost by a file cut off.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check cmake==4.1.2

mkdir "$folder/src"
cat > "$folder/Cargo.toml" <<'TOML'
[package]
name = "handle"
version = "0.1.0"
edition = "2021"

[dependencies]
turbojpeg = { version = "=1.5.1", default-features = false, features = ["cmake"] }
turbojpeg-sys = { version = "=1.2.0", default-features = false, features = ["cmake"] }
TOML
cat > "$folder/src/main.rs" <<'RUST'
use turbojpeg::{Decompressor, Error, Image, PixelFormat, Subsamp};

const SIDE: usize = 64;

fn image<T>(pixels: T) -> Image<T> {
    Image { pixels, width: SIDE, pitch: SIDE, height: SIDE, format: PixelFormat::GRAY }
}

fn read(decompressor: &mut Decompressor, file: &[u8]) -> String {
    let mut pixels = [0; SIDE * SIDE];
    match decompressor.decompress(file, image(&mut pixels[..])) {
        Ok(()) => "read".to_owned(),
        Err(Error::TurboJpegError(reason)) => reason,
        Err(other) => other.to_string(),
    }
}

fn main() {
    let pixels: Vec<u8> = (0..SIDE * SIDE).map(|at| (at * at % 251) as u8).collect();
    let good = turbojpeg::compress(image(&pixels[..]), 90, Subsamp::Gray).expect("compresses").to_vec();
    // Half of the pixels are there.
    let cut_off = &good[..good.len() / 2];
    // One byte of the marker that begins the frame's header, FF C0, is wrong.
    let mut damaged = good.clone();
    let frame = good.windows(2).position(|bytes| bytes == [0xFF, 0xC0]).expect("a baseline file");
    damaged[frame + 1] = 0xB0;

    let mut kept = Decompressor::new().expect("a decompressor");
    let first = read(&mut kept, &good);
    println!("kept decompressor, good file:               {first}");
    let truncated = read(&mut kept, cut_off);
    println!("kept decompressor, file cut off:            {truncated}");
    let second = read(&mut kept, &good);
    println!("kept decompressor, good file:               {second}");
    let error = read(&mut kept, &damaged);
    println!("kept decompressor, a marker's byte damaged: {error}");
    let mut after: Vec<String> = (0..100).map(|_| read(&mut kept, &good)).collect();
    after.dedup();
    println!("kept decompressor, good file, 100 times:    {}, 100 times", after.join(", then "));
    let new = read(&mut Decompressor::new().expect("a decompressor"), &good);
    println!("new decompressor, good file:                {new}");
    assert_eq!(truncated, "Premature end of JPEG file");
    assert_eq!([first, second, new], ["read"; 3]);
    assert_eq!(error, "Unsupported marker type 0xb0");
    assert_eq!(after, [error]);
}
RUST
cd "$folder"
PATH="$folder/venv/bin:$PATH" CARGO_TARGET_DIR="$folder/target" cargo run --quiet || exit 1
