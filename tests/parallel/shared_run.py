"""What tests start under mpirun: a small run by micro-batches; the first process keeps its state and what it sent."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
from small_runs import PLAN, batches, small_net

from elq_ref import SGD, Batches, quantize
from elq_ref.parallel import here
from elq_ref.training.evaluate import evaluate, reestimate


def main(folder: Path) -> None:
    world, plan = here(), replace(PLAN, epochs=(1.0, 1.0, 1.0, 1.0))
    base = batches(48)
    shared = Batches(base.dataset, 48, augment=base.augment, micro_batch=4, world=world)  # 12 micro-batches, then 3
    net, stages = small_net(), []
    for step in quantize(net, shared, plan, SGD(0.05, weight_decay=1e-3)):
        if step.ends_stage:
            stages.append({"frozen": step.frozen, "sent": world.sent, "ring": world.ring, "loss": step.loss_hat})
    if world.rank == 0:
        step.state.save(folder / f"{world.size}.safetensors")
    reestimate(net, shared, 2)
    seen = evaluate(net, base.dataset, 7, world)
    if world.rank == 0:
        statistics = {name: value.tolist() for name, value in net.named_buffers()}
        found = {"stages": stages, "evaluated": seen, "statistics": statistics}
        (folder / f"{world.size}.json").write_text(json.dumps(found))
    shares = world.joined(np.array([net.state_dict()["4.weight"]]))
    assert all((one == shares[0]).all() for one in shares)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
