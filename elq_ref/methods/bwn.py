"""BWN: Binary-Weight-Networks, the weights' half of XNOR-Net (Rastegari et al. 2016)."""

from typing import ClassVar

from .base import Method
from .elq import ELQ


class BWN(ELQ):
    """W_hat = mean|W| sign(W), estimated anew at every step; W descends along the gradient at W_hat (straight-through).

    (mean|W|, sign(W)) minimises ||W - alpha codes||^2. All of it is ELQ's algebra with a1 = 1, s = -1, a2 = 0, a moving
    alpha and no freezing stage. Standing: S. per_channel is the paper's one scale a filter.
    """

    options = Method.options | {"per_channel"}
    fixed: ClassVar = {"levels": "binary", "alpha_from": "stage0", "sigma2": ()}
