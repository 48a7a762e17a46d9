#!/bin/sh
# LeNet-5 on the digits that ship with the package, trained, quantized to ternary weights and calibrated for int8
# activations: writes lenet5-int8.elq and, with the commands and what they said, lenet5-int8.txt beside this file.
# Half a minute on one core. Of the learning rates 0.01, 0.02 and 0.05 this one had the least training loss.
set -e
root=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'rm -r "$work"' EXIT
cd "$work"

elq() {
    echo "    elq $*"
    ELQ_NUM_THREADS=1 PYTHONPATH="$root" python3 -m elq_ref "$@" 2>errors || { cat errors >&2; return 2; }
    echo
}

{
    elq train --model lenet5 --data digits --epochs 300 --seed 0 -o float.safetensors
    elq quantize float.safetensors --data digits --levels ternary --epochs 400 --lr 0.05 --seed 0 -o run
    elq calibrate run/net.elq --data digits -o lenet5-int8.elq
    elq eval lenet5-int8.elq --data digits
    elq eval lenet5-int8.elq --data digits --activations int8
} >lenet5-int8.txt

cp lenet5-int8.elq lenet5-int8.txt "$root/examples/"
