#!/usr/bin/env bash
# Tests the recorder on real pipelines with tiny weights: torch and diffusers on the CPU,
# and the offhost of this tree. Arguments go to pytest.
#
# The environment is large and made once (2.5 GB fetched from PyPI, 4.3 GiB on disk), under
# ${XDG_CACHE_HOME:-~/.cache}/offhost; it is made anew when requirements.txt or Python changes.
set -euo pipefail
cd "$(dirname "$0")"

python=${PYTHON:-python3}
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
  { echo "check.sh: $python is $("$python" --version): want Python 3.11 or later (set PYTHON)" >&2; exit 1; }
cache=${XDG_CACHE_HOME:-$HOME/.cache}/offhost
key=$("$python" -c 'import hashlib, sys
print(hashlib.sha256((sys.version + sys.platform + open("requirements.txt").read()).encode()).hexdigest()[:16])')
environment=$cache/record-$key

made=$(mktemp -d)
trap 'rm -rf "$made" ${unfinished:+"$unfinished"}' EXIT
if [ ! -d "$environment" ]; then
  echo "making $environment"
  mkdir -p "$cache"
  unfinished=$(mktemp -d "$cache/unfinished-XXXXXX") # renamed when it is whole
  "$python" -m venv "$unfinished"
  "$unfinished/bin/python" -m pip install --quiet --no-cache-dir --disable-pip-version-check \
    --no-deps --requirement requirements.txt
  [ -d "$environment" ] || mv "$unfinished" "$environment"
fi

(cd ../.. && CGO_ENABLED=0 go build -trimpath -o "$made/offhost" ./cmd/offhost)
# One thread: these models are too small for two, and the machine may be shared.
OFFHOST=$made/offhost OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE=1 "$environment/bin/python" -m pytest "$@"
