#!/bin/sh
# Writes the files of this folder's parent with the writers that people use, and
# golden.txt from what they were given. Needs Python and Rust, and the network once.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" -q install safetensors==0.8.0 numpy==2.4.6 huggingface_hub==2.4.0
cd "$here/.."
{
	"$work/venv/bin/python" "$here/make.py"
	CARGO_TARGET_DIR="$work/target" cargo run -q --manifest-path "$here/rust/Cargo.toml"
} | LC_ALL=C sort > "$work/golden.txt"
mv "$work/golden.txt" golden.txt
