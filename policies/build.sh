#!/bin/sh
# Builds the built-in policies from their sources: build.sh [DIR], where DIR (default:
# this folder) receives NAME/NAME.wasm for each. The same compiler gives the same bytes
# anywhere; those in the tree were built by clang 19 and lld 19 (Debian: clang-19, lld-19).
set -eu
cd "$(dirname "$0")"
out=${1:-.}
cc=${CC:-clang-19}

# mvp: nothing beyond WebAssembly 1.0 is asked of a runtime. The stack holds a few
# frames; everything else is static.
build() {
  mkdir -p "$out/$(dirname "$1")"
  "$cc" --target=wasm32 -mcpu=mvp -std=c11 -O2 -Wall -Wextra -Werror \
    -ffreestanding -fno-builtin -nostdlib -I ../abi \
    -Wl,--no-entry -Wl,--strip-all -Wl,-z,stack-size=4096 \
    -o "$out/$1.wasm" "$1.c"
}

build lru/lru
build stickyloop/sticky_loop
