#!/usr/bin/env bash
# The same tensors and the same metadata, written again, are another file: safetensors writes metadata of several keys in
# the order of a hash table that is seeded anew in every process. A file's hash then tells nothing of its contents, and
# "the same seed gives the same bytes" fails for files that differ in nothing.
#
# Seen with safetensors 0.8.0 and numpy 2.4.6 from PyPI (Python 3.11, Linux), November 2026:
#   1 key:  1 different file(s) of 24
#   4 keys: 13 different file(s) of 24     (the number varies; one key gives one file)
#   tensors of all files: equal
# What this project does about it: an exported network carries one metadata key (src/evaluate/export.rs), so that
# exporting twice gives the same bytes; tests/pretrained.rs compares them.
#
# Fails if the behaviour changes: if four keys give one file in 24 processes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check safetensors==0.8.0 numpy==2.4.6

cat > "$folder/save.py" <<'PYTHON'
import sys, numpy
from safetensors.numpy import save_file
keys = ["format", "card", "licence", "run"][: int(sys.argv[2])]
save_file({"weight": numpy.arange(6, dtype=numpy.float32)}, sys.argv[1], metadata={key: key for key in keys})
PYTHON

different() {
    for number in $(seq 24); do
        "$folder/venv/bin/python" "$folder/save.py" "$folder/$1-$number.safetensors" "$1"
    done
    sha256sum "$folder/$1"-*.safetensors | cut -d' ' -f1 | sort -u | wc -l
}
one=$(different 1)
four=$(different 4)
echo "1 key:  $one different file(s) of 24"
echo "4 keys: $four different file(s) of 24"
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import glob, sys
from safetensors.numpy import load_file
assert all((load_file(path)["weight"] == [0, 1, 2, 3, 4, 5]).all() for path in glob.glob(sys.argv[1] + "/*.safetensors"))
print("tensors of all files: equal")
PYTHON
[ "$one" = 1 ] && [ "$four" -gt 1 ]
