"""LAT: Loss-Aware Ternarization (Hou, Kwok 2018), solved exactly."""

from typing import ClassVar

import numpy as np

from .lab import LAB


class LAT(LAB):
    """LAB with the ternary levels alpha {-1, 0, 1}: 0 up to alpha/2, and the alpha of the least sum(d (w - W_hat)^2).

    At that alpha the weights off 0 are the k largest |w|, which take alpha_k = D_k / d_k, sums of d |w| and of d over
    them, and leave D_k^2 / d_k less error: k is its argmax, the first one. (The paper's other solution alternates
    between alpha and the codes.) Standing: S.
    """

    fixed: ClassVar = {"scale": "l2", "sigma2": ()}

    def least_error(self, size: np.ndarray, d: np.ndarray) -> float:
        order = np.argsort(-size)
        weighted, total = np.cumsum((d * size)[order]), np.cumsum(d[order])
        best = np.argmax(weighted**2 / total)
        return float(weighted[best] / total[best])
