#!/usr/bin/env bash
# macOS' Archive Utility (Finder's "Compress") writes no zip64 records: of more than 65,535 entries its end record counts
# the rest of the division by 65,536 (github.com/zlib-ng/minizip-ng/issues/184 has one with 262,657). The crate zip takes
# that number for all: of 65,540 entries it lists 4, and says nothing of the others. Python's zipfile and Info-ZIP's unzip
# go through the directory to its end and list all.
#
# Seen with zip 0.6.6 and 9.8.2 from crates.io (Rust 1.95, Linux), Python 3.11 and UnZip 6.00, November 2026:
#   zip64 end, as zipfile writes it:   zip 0.6.6 65540, zip 9.8.2 65540, zipfile 65540, unzip 65540
#   end record of Archive Utility:     zip 0.6.6 4, zip 9.8.2 4, zipfile 65540, unzip 65540
# What this project does about it: archives that are staged or audited are read to the end of their directory
# (src/remote/staging/directory.rs), and new scans in an archive with the end that it should have
# (src/data/manifest/zip_end.rs).
#
# Needs cargo and unzip. Fails if the behaviour changes: if one of them lists another number.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

cat > "$folder/make.py" <<'PYTHON'
import struct, sys, zipfile

folder = sys.argv[1]
whole = folder + "/zip64.zip"
with zipfile.ZipFile(whole, "w") as archive:
    for number in range(65540):
        archive.writestr(f"{number}.txt", b"")
with open(whole, "rb") as file:
    data = file.read()
# The last 98 bytes: the zip64 end record, its locator, the end record.
wide = data[-98:]
assert wide[:4] == b"PK\x06\x06" and wide[56:60] == b"PK\x06\x07" and wide[76:80] == b"PK\x05\x06"
entries, size, start = struct.unpack("<QQQ", wide[32:56])
assert entries == 65540
end = struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, entries % 65536, entries % 65536, size, start, 0)
with open(folder + "/archive-utility.zip", "wb") as file:
    file.write(data[:-98] + end)
PYTHON
python3 "$folder/make.py" "$folder"

for version in 0.6.6 9.8.2; do
    mkdir -p "$folder/$version/src"
    cat > "$folder/$version/Cargo.toml" <<TOML
[package]
name = "count"
version = "0.1.0"
edition = "2021"

[dependencies]
zip = { version = "=$version", default-features = false, features = ["deflate"] }
TOML
    cat > "$folder/$version/src/main.rs" <<'RUST'
fn main() {
    let path = std::env::args().nth(1).expect("a path");
    let file = std::io::BufReader::new(std::fs::File::open(path).expect("opens"));
    println!("{}", zip::ZipArchive::new(file).expect("an archive").len());
}
RUST
    (cd "$folder/$version" && CARGO_TARGET_DIR="$folder/$version/target" cargo build --quiet)
done

counts() {
    local old new python unzip
    old=$("$folder/0.6.6/target/debug/count" "$1")
    new=$("$folder/9.8.2/target/debug/count" "$1")
    python=$(python3 -c 'import sys, zipfile; print(len(zipfile.ZipFile(sys.argv[1]).namelist()))' "$1")
    unzip=$(unzip -Z1 "$1" | wc -l)
    echo "zip 0.6.6 $old, zip 9.8.2 $new, zipfile $python, unzip $unzip"
}
honest=$(counts "$folder/zip64.zip")
rest=$(counts "$folder/archive-utility.zip")
echo "zip64 end, as zipfile writes it:   $honest"
echo "end record of Archive Utility:     $rest"
[ "$honest" = "zip 0.6.6 65540, zip 9.8.2 65540, zipfile 65540, unzip 65540" ]
[ "$rest" = "zip 0.6.6 4, zip 9.8.2 4, zipfile 65540, unzip 65540" ]
