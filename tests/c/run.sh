#!/bin/sh
# Checks of the C kernels without Python: under AddressSanitizer and UBSan on this machine, then, where a cross
# compiler and qemu are installed, as an aarch64 program under emulation. And, where there is a Python with Cython, what
# tests/test_fuzz_corpus.py makes of packed networks, under the same sanitizers.
#     sh tests/c/run.sh [train|infer|memory]          CC, CROSS_CC, QEMU and PYTHON name other programs
set -eu
cd "$(dirname "$0")/../.."
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
COMMON="-std=gnu11 -Wall -Wextra -fno-math-errno -I_ext"
kinds=${1:-memory train infer}

checks() {
    case $1 in
        memory) echo memory_check ;;
        train) echo train_check ;;
        infer) echo infer_check program_check ;;
    esac
}

# flags_of SOURCE: whether products are fused with sums; those of the instruction set that its name ends in, from the table
# that setup.py reads too
flags_of() {
    word=$(basename "$1" .c)
    case $word in
        ordered*) echo -ffp-contract=off ;;
        *) echo -ffp-contract=fast ;;
    esac
    sed -n "s/^ELQ_SET(${word##*_},.*\"\(.*\)\")$/\1/p" _ext/common/isa.def
}

# build KIND COMPILER FOLDER FLAGS: the sources of a room, each with the flags of its instruction set, and the checks
build() {
    kind=$1 compiler=$2 folder=$3 flags=$4 objects= jobs=0
    x86=0
    [ "$folder" != x86 ] || x86=1
    for source in _ext/common/cores.c _ext/common/cpu.c _ext/common/pool.c _ext/"$kind"/*.c _ext/"$kind"/generic/*.c \
        _ext/"$kind"/"$folder"/*.c; do
        [ -e "$source" ] || continue
        object=$out/$(echo "$source" | tr / -).o
        $compiler $COMMON $flags $(flags_of "$source") -DELQ_X86="$x86" -c "$source" -o "$object" &
        objects="$objects $object" jobs=$((jobs + 1))
        [ $((jobs % 4)) != 0 ] || wait
    done
    wait
    for check in $(checks "$kind"); do
        $compiler $COMMON $flags "tests/c/$check.c" $objects -lm -pthread -o "$out/$check"
    done
}

# run KIND EMULATOR...
run() {
    for check in $(checks "$1"); do
        (shift && ELQ_NUM_THREADS=2 "$@" "$out/$check")
    done
}

# extension NAME SOURCES...: an extension module of objects that `build` has made, and of its glue
extension() {
    name=$1
    shift
    objects=
    for source in "$@"; do
        objects="$objects $out/$(echo "$source" | tr / -).o"
    done
    "$python" -m cython -3 -I _ext --module-name "elq_ref._$name" "_ext/$name/$name.pyx" -o "$out/$name.c"
    $compiler $COMMON $flags -DELQ_X86="$x86" -DNPY_NO_DEPRECATED_API=NPY_1_7_API_VERSION $includes -shared \
        "$out/$name.c" $objects -pthread -o "$out/package/elq_ref/_$name.so"
}

# replay: the corpus of packed networks through the extension; behind `build infer`
replay() {
    python=${PYTHON:-python3}
    if ! "$python" -c 'import Cython, numpy, PIL, pytest, safetensors, scipy, sys; sys.exit(sys.version_info < (3, 10))' 2> /dev/null; then
        echo "replay skipped: $python has no Cython, or lacks what the tests need"
        return
    fi
    asan=$($compiler -print-file-name=libasan.so) ubsan=$($compiler -print-file-name=libubsan.so)
    if [ ! -e "$asan" ] || [ ! -e "$ubsan" ]; then
        echo "replay skipped: $compiler has no shared sanitizers"
        return
    fi
    includes=$("$python" -c 'import numpy, sysconfig; print("-I" + numpy.get_include(), "-I" + sysconfig.get_path("include"))')
    mkdir -p "$out/package"
    cp -r elq_ref "$out/package"
    find "$out/package" -name '*.so' -delete
    [ -e data ] && cp -r data "$out/package"
    $compiler $COMMON $flags -c _ext/common/pool_link.c -o "$out/_ext-common-pool_link.c.o"
    extension common _ext/common/cores.c _ext/common/cpu.c _ext/common/pool.c &
    extension infer _ext/common/cpu.c _ext/common/pool_link.c $(ls _ext/infer/*.c _ext/infer/generic/*.c _ext/infer/"$folder"/*.c) &
    wait
    LD_PRELOAD="$asan $ubsan" ASAN_OPTIONS=detect_leaks=0 PYTHONPATH="$out/package" ELQ_NUM_THREADS=2 "$python" -c '
import os, sys
sys.path.remove("")
import elq_ref.runtime, pytest
assert elq_ref.runtime.info()["kernel"].startswith("C "), elq_ref.runtime.info()
sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", "tests/test_fuzz_corpus.py", "-k", "elq"]))'
}

case $(uname -m) in
    x86_64 | amd64) folder=x86 ;;
    aarch64 | arm64) folder=arm ;;
    *) folder=none ;;
esac
for kind in $kinds; do
    echo "$kind on this machine, AddressSanitizer and UndefinedBehaviorSanitizer"
    build "$kind" "${CC:-cc}" $folder "-O1 -g1 -fPIC -fsanitize=address,undefined -fno-sanitize-recover=all"
    run "$kind"
    [ "$kind" != infer ] || replay
done

cross=${CROSS_CC:-aarch64-linux-gnu-gcc} qemu=${QEMU:-qemu-aarch64}
if command -v "$cross" > /dev/null && command -v "$qemu" > /dev/null; then
    for kind in $kinds; do
        echo "$kind on aarch64 under emulation"
        build "$kind" "$cross" arm "-O3 -static"
        run "$kind" "$qemu"
    done
else
    echo "aarch64 skipped: $cross or $qemu is not installed"
fi
