"""example.py with a mistake: python example_mistake.py GIVEN.safetensors TRACE.safetensors

The gradient is masked before SGD adds momentum and weight decay, and nothing else protects what is frozen.
"""

import math
import sys

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import nn

A1, A2, LR, SIGMA2, STEPS = 0.5, 0.02, 0.1, (0.4, 0.25, 0.1, 0.0), 3
given, trace = load_file(sys.argv[1]), {}
torch.set_default_dtype(given["0/images"].dtype)
net = nn.Sequential()
net.conv1, net.bn1 = nn.Conv2d(1, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4)
net.relu, net.pool = nn.ReLU(), nn.MaxPool2d(2)
net.conv2, net.bn2 = nn.Conv2d(4, 6, 3, padding=1, stride=2, bias=False), nn.BatchNorm2d(6)
net.last, net.flat, net.fc = nn.ReLU(), nn.Flatten(), nn.Linear(24, 4)
first = {k.split("/")[2]: v for k, v in given.items() if k.startswith(("0/w/", "0/buffer/"))}
net.load_state_dict(first, strict=False)  # PyTorch's num_batches_tracked is not in the trace

params, running = dict(net.named_parameters()), {n: b for n, b in net.named_buffers() if "running" in n}
sgd = torch.optim.SGD(params.values(), lr=LR, momentum=0.9, weight_decay=1e-3)
velocity = {n: sgd.state[p].setdefault("momentum_buffer", torch.zeros_like(p)) for n, p in params.items()}
w = {n: params[n].data for n in ("conv1.weight", "conv2.weight", "fc.weight")}
alpha = {n: v.abs().mean() + 0.05 * v.abs().max() for n, v in w.items()}
frozen = {n: torch.zeros_like(v, dtype=torch.bool) for n, v in w.items()}


def note(step, **kinds):
    for kind, values in kinds.items():
        trace.update({f"{step}/{kind}/{n}": v.detach().clone() for n, v in values.items()})


def loss_at(weights, images, labels, momentum):
    """Loss and gradients at these weights; momentum 0 leaves BatchNorm's running statistics alone."""
    kept = {n: v.clone() for n, v in w.items()}
    net.bn1.momentum = net.bn2.momentum = momentum
    for n, v in weights.items():
        w[n].copy_(v)
    loss = F.cross_entropy(net(images), labels)
    grads = torch.autograd.grad(loss, list(params.values()))
    for n, v in kept.items():
        w[n].copy_(v)
    return loss.detach(), dict(zip(params, grads, strict=True))


for step in range(STEPS * (1 + len(SIGMA2))):
    stage, index = divmod(step, STEPS)
    images, labels = given[f"{step}/images"], given[f"{step}/labels"]
    w_hat = {n: alpha[n] * ((v > alpha[n] / 2).to(v) - (v < -alpha[n] / 2).to(v)) for n, v in w.items()}
    if stage > 0 and index == 0:  # freeze the band of this stage; the last stage takes all
        for n, v in w.items():
            low, high = SIGMA2[stage - 1] * alpha[n], (1 - SIGMA2[stage - 1]) * alpha[n]
            frozen[n] |= (v.abs() >= low) & (v.abs() < high) | (stage == len(SIGMA2))
            v[frozen[n]] = w_hat[n][frozen[n]]
    note(step, w=params, velocity=velocity, buffer=running, frozen=frozen, alpha=alpha, w_hat=w_hat)
    loss_hat, grad_hat = loss_at(w_hat, images, labels, 0.1)
    loss, grad = loss_at({}, images, labels, 0.0)
    s = torch.sign(loss - loss_hat)
    for n, p in params.items():
        p.grad = (1 + A1 * s) * grad[n] - A1 * s * grad_hat[n]
        if n in w:
            p.grad += 2 * A2 * (w[n] - w_hat[n])
            p.grad *= ~frozen[n]
    trace |= {f"{step}/loss_hat": loss_hat, f"{step}/loss": loss, f"{step}/sign": s}
    note(step, grad_hat=grad_hat, grad=grad, grad_total={n: p.grad for n, p in params.items()})
    sgd.param_groups[0]["lr"] = LR * (1 + math.cos(math.pi * index / STEPS)) / 2
    sgd.step()
    note(step, velocity_after=velocity, w_after=params, buffer_after=running)
save_file(trace, sys.argv[2])
