#!/bin/sh
# Checks of the C kernels without Python: under AddressSanitizer and UBSan on this machine, then, where a cross
# compiler and qemu are installed, as an aarch64 program under emulation (NEON is that target's baseline).
#     sh tests/c/run.sh          CC, CROSS_CC and QEMU name other programs
set -eu
cd "$(dirname "$0")/../.."
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
COMMON="-std=gnu11 -Wall -Wextra -ffp-contract=fast -fno-math-errno -I_ext/include"

# build COMPILER X86 FLAGS: every source with the flags of its instruction set, as setup.py does
build() {
    compiler=$1 x86=$2 flags=$3 objects=
    sources="_ext/src/generic/cpu.c _ext/src/generic/pool.c _ext/src/generic/train_*.c tests/c/train_check.c"
    [ "$x86" = 0 ] || sources="$sources _ext/src/x86/train_*.c"
    for source in $sources; do
        case $source in
            *_avx2.c) isa="-mavx2 -mfma" ;;
            *_avx512.c) isa="-mavx512f -mavx512bw -mavx512dq -mavx512vl -mfma" ;;
            *) isa= ;;
        esac
        object=$out/$(basename "$source" .c).o
        $compiler $COMMON $flags $isa -DELQ_X86="$x86" -c "$source" -o "$object" &
        objects="$objects $object"
    done
    wait
    $compiler $flags $objects -lm -pthread -o "$out/check"
}

case $(uname -m) in x86_64 | amd64) x86=1 ;; *) x86=0 ;; esac
echo "this machine, AddressSanitizer and UndefinedBehaviorSanitizer"
build "${CC:-cc}" $x86 "-O1 -g1 -fsanitize=address,undefined -fno-sanitize-recover=all"
ELQ_NUM_THREADS=2 "$out/check"

cross=${CROSS_CC:-aarch64-linux-gnu-gcc} qemu=${QEMU:-qemu-aarch64}
if command -v "$cross" > /dev/null && command -v "$qemu" > /dev/null; then
    echo "aarch64 under emulation"
    build "$cross" 0 "-O3 -static"
    ELQ_NUM_THREADS=2 "$qemu" "$out/check"
else
    echo "aarch64 skipped: $cross or $qemu is not installed"
fi
