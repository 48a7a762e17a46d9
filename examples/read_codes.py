"""Read the codes out of a packed file: W_hat = alpha * codes, layer by layer.

`python examples/read_codes.py NET.elq`; without a file it makes one first.
"""

import sys

import numpy as np

import elq_ref as elq


def make(path: str) -> None:
    """A network whose weights are replaced by their nearest levels; training would make them good."""
    _, test = elq.datasets.digits()
    net = elq.models.digits_cnn()
    for w in net.quantizable().values():
        codes, alpha = elq.ternarize(w.data)
        w.data = alpha * codes
    elq.pack(net, test).save(path)


path = sys.argv[1] if len(sys.argv) > 1 else "untrained.elq"
if len(sys.argv) == 1:
    make(path)
packed = elq.PackedNetwork.load(path)
weights = elq.unpack(packed)  # W_hat float32 by parameter name
for name, layer in packed.layers.items():
    if layer.levels == "float":
        print(f"{name}: float32 {layer.shape}")
        continue
    codes, alpha = packed.codes(name), packed.alpha(name)  # int8 (O, I, KH, KW); float32, one or one an output channel
    w_hat = alpha.reshape(-1, *(1,) * (codes.ndim - 1)) * codes
    assert (w_hat == weights[f"{name}.weight"]).all()
    values, counts = np.unique(codes, return_counts=True)
    shares = ", ".join(f"{value:+d} {count / codes.size:.0%}" for value, count in zip(values, counts, strict=True))
    print(f"{name}: {layer.levels} {codes.shape}, alpha {alpha.mean():.4f}, codes {shares}")
print(f"{len(packed.layers)} layers, {packed.weight_bytes:,} bytes in place of {packed.float_bytes:,}")
