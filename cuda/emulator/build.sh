#!/bin/sh
# Builds the stand-in driver or its conformance suite.
#
#   build.sh driver FILE [FLAG...]   FILE is best named libcuda.so.1
#   build.sh suite FILE [FLAG...]
#
# CC is the compiler (cc), FLAGs are added to its own. FILE appears whole or not at all.
set -eu
here=$(CDPATH= cd "$(dirname "$0")" && pwd)
if [ $# -lt 2 ]; then
  echo "usage: build.sh driver|suite FILE [FLAG...]" >&2
  exit 2
fi
what=$1 out=$2
shift 2
scratch=$(mktemp "$(dirname "$out")/.build.XXXXXX")
trap 'rm -f "$scratch"' EXIT
set -- -std=c11 -D_GNU_SOURCE -O2 -g -Wall -Wextra -Werror -pthread -I"$here/../include" -I"$here" "$@"
case $what in
driver)
  # Never unloaded: its threads run until the process ends.
  "${CC:-cc}" "$@" -fPIC -fvisibility=hidden -shared -Wl,-soname,libcuda.so.1 -Wl,-z,nodelete -Wl,-z,defs \
    -o "$scratch" "$here"/src/*.c
  ;;
suite)
  "${CC:-cc}" "$@" -o "$scratch" "$here"/conformance/*.c -ldl
  ;;
*)
  echo "build.sh: $what is neither driver nor suite" >&2
  exit 2
  ;;
esac
chmod 755 "$scratch"
mv "$scratch" "$out"
trap - EXIT
