"""A network on pictures of 8x8 pixels, and the commands that run it."""

import json

from elq_ref import models, pack
from elq_ref.cli import main
from elq_ref.runtime import PackedNetwork

NAMES = tuple(f"digit {k}" for k in range(10))


def telling_apart(classes=NAMES) -> PackedNetwork:
    """With random weights, which still tell pictures apart."""
    net = models.digits_cnn(seed=4)
    return pack(net, {}, input_shape=(1, 8, 8), normalization=([0.3], [0.4]), classes=classes)


def run(capsys, *args):
    """(exit code, what --json printed or the text, the text of standard error) of a command."""
    code = main([*map(str, args)])
    captured = capsys.readouterr()
    return code, json.loads(captured.out) if "--json" in args and captured.out else captured.out, captured.err
