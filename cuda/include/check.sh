#!/bin/sh
# Compares cuda.h beside this script with a real one of CUDA 12: the value of every constant, the
# size of every type, the size and offset of every field, which entry point a plain name
# stands for, and the signature of every function. Nothing of the real header is kept.
#
#   check.sh DIRECTORY   compare with DIRECTORY/cuda.h
#   check.sh             fetch Debian's nvidia-cuda-dev (non-free, some 900 MB) into a
#                        scratch folder first; needs apt-get and dpkg-deb
set -eu
here=$(CDPATH= cd "$(dirname "$0")" && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

fetch() {
  mirror=${DEBIAN_MIRROR:-http://deb.debian.org/debian}
  suite=${DEBIAN_SUITE:-trixie}
  apt=$scratch/apt
  mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial"
  echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite non-free" >"$apt/sources.list"
  set -- -qq -o "APT::Architecture=amd64" -o "APT::Architectures=amd64" \
    -o "Dir::Etc::sourcelist=$apt/sources.list" -o "Dir::Etc::sourceparts=/dev/null" \
    -o "Dir::State::lists=$apt/lists" -o "Dir::Cache=$apt/cache" -o "APT::Sandbox::User=root"
  apt-get "$@" update
  (cd "$apt" && apt-get "$@" download nvidia-cuda-dev)
  dpkg-deb --fsys-tarfile "$apt"/nvidia-cuda-dev_*.deb | tar -x -C "$scratch" ./usr/include/cuda.h
  rm "$apt"/nvidia-cuda-dev_*.deb
}

if [ $# -gt 1 ]; then
  echo "usage: check.sh [DIRECTORY with a real cuda.h]" >&2
  exit 2
fi
if [ $# = 1 ]; then
  real=$1
else
  fetch
  real=$scratch/usr/include
fi
if [ ! -f "$real/cuda.h" ]; then
  echo "check.sh: $real has no cuda.h" >&2
  exit 2
fi

# One line a fact; the same program is compiled against each header.
awk '
  BEGIN {
    print "#include <cuda.h>\n#include <stddef.h>\n#include <stdio.h>"
    print "#define TEXT2(x) #x\n#define TEXT(x) TEXT2(x)"
    print "#define NUMBER(x) printf(\"%s = %lld\\n\", #x, (long long)(x))"
    print "#define SIZE(t) printf(\"sizeof %s = %zu\\n\", #t, sizeof(t))"
    print "#define FIELD(t, f) printf(\"%s.%s at %zu, %zu bytes\\n\", #t, #f, offsetof(t, f), sizeof(((t *)0)->f))"
    print "int main(void) {"
  }
  /^#define CU_STREAM_/ { print "NUMBER((size_t)" $2 ");"; next }
  /^#define CU_/ { print "NUMBER(" $2 ");"; next }
  /^CUresult cu/ { name = $2; sub(/(_v[0-9])?\(.*/, "", name); print "puts(\"" name " is \" TEXT(" name "));"; next }
  /^  CU[A-Z0-9_a-z]+ = / { print "NUMBER(" $1 ");"; next }
  /^typedef enum / { next }
  /^typedef struct .*\{$/ { fields = ""; depth = 1; inner = ""; next }
  depth && /^  struct \{$/ { depth = 2; held = fields; fields = ""; next }
  depth == 2 && /^  \} / {
    name = $2; sub(";", "", name)
    n = split(fields, list, " "); fields = held " " name
    for (i = 1; i <= n; i++) fields = fields " " name "." list[i]
    depth = 1; next
  }
  /^\} / {
    name = $2; sub(";", "", name)
    print "SIZE(" name ");"
    n = split(fields, list, " ")
    for (i = 1; i <= n; i++) print "FIELD(" name ", " list[i] ");"
    depth = 0; fields = ""; next
  }
  depth { name = $NF; gsub(/[*;]|\[[0-9]*\]/, "", name); fields = fields " " name; next }
  /^typedef / && !/\(\*/ { name = $NF; sub(";", "", name); sub(/^\*/, "", name); print "SIZE(" name ");"; next }
  END { print "return 0;\n}" }
' "$here/cuda.h" >"$scratch/facts.c"

# A second declaration of a function that differs from the first does not compile.
{
  echo '#include <cuda.h>'
  grep '^CUresult cu' "$here/cuda.h"
} >"$scratch/signatures.c"

cc=${CC:-cc}
"$cc" -w -I"$here" "$scratch/facts.c" -o "$scratch/ours"
"$cc" -w -I"$real" "$scratch/facts.c" -o "$scratch/theirs"
"$scratch/ours" >"$scratch/ours.txt"
"$scratch/theirs" >"$scratch/theirs.txt"
version=$(sed -n 's/^#define CUDA_VERSION \([0-9]*\).*/\1/p' "$real/cuda.h")
failed=0
diff "$scratch/ours.txt" "$scratch/theirs.txt" || failed=1
"$cc" -w -fsyntax-only -I"$real" "$scratch/signatures.c" || failed=1
count=$(wc -l <"$scratch/ours.txt")
signatures=$(grep -c '^CUresult' "$scratch/signatures.c")
if [ "$failed" = 1 ]; then
  echo "cuda.h differs from the real one of version $version (< ours, > the real one)" >&2
  exit 1
fi
echo "cuda.h: $count constants, sizes and names and $signatures signatures are those of the real header of version $version"
