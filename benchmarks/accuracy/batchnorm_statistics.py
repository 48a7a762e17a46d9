"""Where BatchNorm's statistics come from: the float network, running averages, or batches seen by W_hat.

python -m benchmarks.accuracy batchnorm_statistics RUN ... [-o FILE]

For each finished run from the exploration network (a folder of `elq reproduce`, as the ablation leaves them under
runs/): held-out images that its quantized network W_hat has right with the statistics of the float network, with the
running averages that the run left, and with statistics re-estimated from 1, 5, 10, 50 and 200 batches. Needs ELQ_DATA
with CIFAR-10. The test set is not read.
"""

import argparse
from pathlib import Path

from elq_ref import Batches, checkpoint, datasets
from elq_ref.cli.networks import open_network
from elq_ref.cli.output import table
from elq_ref.nn import Module
from elq_ref.runs.recipes import EXPERIMENTS
from elq_ref.runs.record import RunRecord
from elq_ref.training.evaluate import accuracy, reestimate
from elq_ref.training.state import State, environment

from ..result_text import add_output, made_by, write_result

COUNTS = (1, 5, 10, 50, 200)


def shares(folder: Path, network: str) -> list[float]:
    """Per cent of the held-out images that W_hat of a run has right, statistics by statistics."""
    run = RunRecord.read(folder)
    experiment = EXPERIMENTS[run.config["recipe"]]
    if not experiment.hold_out:
        raise SystemExit(f"{folder} is a run of {run.config['recipe']}, which holds no training images out")
    train, held = datasets.hold_out(datasets.load(experiment.data, None, "train"), experiment.hold_out)
    net, info = open_network(checkpoint.read(network), experiment.model, train)
    train, held = datasets.adapted(train, info), datasets.adapted(held, info)
    before = statistics(net)
    state = State.load(folder / "state.safetensors", net)
    after = statistics(net)
    parameters = dict(net.named_parameters())
    for name, w in state.quantized().items():
        parameters[name].data = w
    found = []
    for values in (before, after):
        net.load_state_dict(net.state_dict() | values)
        found.append(accuracy(net, held))
    batches = Batches(train, experiment.batch_size, augment=datasets.default_augment(train), seed=run.seed)
    for count in COUNTS:
        reestimate(net, batches, count)
        found.append(accuracy(net, held))
    return [100 * share for share in found]


def statistics(net: Module) -> dict:
    """The running means and variances of a network by name, copied."""
    return {name: t.copy() for name, t in net.state_dict().items() if ".running_" in name}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--network", default="benchmarks/networks/resnet20-exploration.safetensors")
    add_output(parser)
    args = parser.parse_args()
    head = ["float network's", "running averages", *(f"{count} batches" for count in COUNTS)]
    found = {path.name: shares(path, args.network) for path in args.runs}
    rows = [[name, *(f"{share:.2f}" for share in of_run)] for name, of_run in found.items()]
    text = f"{table([['top-1 % of W_hat', *head], *rows])}\n\n{made_by(environment())}"
    print(text)
    write_result(args.output, text, {name: dict(zip(head, of_run, strict=True)) for name, of_run in found.items()})
    return 0
