"""Steps of ELQ beside the same steps written in PyTorch: loss and weights, in float64. Without PyTorch it only says so.

One step, with the usual plan: W_hat = alpha * codes; the gradient of the loss at W_hat moves W.
"""

import sys

import numpy as np

import elq_ref as elq
from elq_ref.nn import AvgPool2d, BatchNorm2d, Conv2d, Flatten, Linear, ReLU, Sequential
from elq_ref.training.sgd import Schedule

try:
    import torch
    from torch import nn
except ImportError:
    print("PyTorch is not installed: nothing to compare with")
    sys.exit()

train, _ = elq.datasets.digits()
batches = elq.Batches(train, 64, dtype=np.float64)
ours = Sequential(Conv2d(1, 8, 3, bias=False), BatchNorm2d(8), ReLU(), AvgPool2d(2), Flatten(), Linear(72, 10))
theirs = nn.Sequential(  # the same words, and the same names of parameters
    nn.Conv2d(1, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(72, 10)
)
ours.astype(np.float64)
theirs.load_state_dict({name: torch.tensor(w) for name, w in ours.state_dict().items()}, strict=False)
w = {name: p.detach() for name, p in theirs.double().named_parameters()}
alpha = {name: w[name].abs().mean() + 0.05 * w[name].abs().max() for name in ours.quantizable()}
steps = elq.quantize(ours, batches, elq.Plan(sigma2=(), epochs=(1,)), elq.SGD(0.05, 0.0, schedule=Schedule("constant")))
for step, (x, labels) in zip(steps, batches.epoch(0), strict=True):
    w_hat = {name: a * ((w[name] > a / 2).double() - (w[name] < -a / 2).double()) for name, a in alpha.items()}
    at = {name: p.requires_grad_() for name, p in {**{n: p.clone() for n, p in w.items()}, **w_hat}.items()}
    loss = nn.functional.cross_entropy(torch.func.functional_call(theirs, at, torch.tensor(x)), torch.tensor(labels))
    for p, dw in zip(w.values(), torch.autograd.grad(loss, list(at.values())), strict=True):
        p -= 0.05 * dw
    apart = max(np.abs(p.data - w[name].numpy()).max() for name, p in ours.named_parameters())
    print(f"step {step.step}: loss {step.loss_hat:.6f}, PyTorch {loss.item():.6f}, weights apart by {apart:.1e}")
print(f"after {step.step} steps the weights differ by at most {apart:.1e}")
