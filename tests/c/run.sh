#!/bin/sh
# Checks of the C kernels without Python: under AddressSanitizer and UBSan on this machine, then, where a cross
# compiler and qemu are installed, as an aarch64 program under emulation.
#     sh tests/c/run.sh [train|infer|memory]          CC, CROSS_CC and QEMU name other programs
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

case $(uname -m) in
    x86_64 | amd64) folder=x86 ;;
    aarch64 | arm64) folder=arm ;;
    *) folder=none ;;
esac
for kind in $kinds; do
    echo "$kind on this machine, AddressSanitizer and UndefinedBehaviorSanitizer"
    build "$kind" "${CC:-cc}" $folder "-O1 -g1 -fsanitize=address,undefined -fno-sanitize-recover=all"
    run "$kind"
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
