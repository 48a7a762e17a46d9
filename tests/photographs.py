"""Folders of small pictures for tests."""

from pathlib import Path

import numpy as np
from PIL import Image


def smooth(seed: int, height: int, width: int, channels: int = 3) -> np.ndarray:
    """uint8 (height, width, channels): colours that change slowly, as a photograph's."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (4, 5, 3), dtype=np.uint8)).resize((width, height))
    values = np.asarray(coarse)
    return values if channels == 3 else np.asarray(coarse.convert("L"))[:, :, None]


def photographs(root: Path, classes=("cat", "dog", "fox"), each: int = 4, parts=("train", "val"), kind="jpg") -> Path:
    """root/PART/CLASS/0.KIND ..., of differing sizes, 40 to 80 pixels a side."""
    seed = 0
    for part in parts:
        for name in classes:
            for k in range(each):
                seed += 1
                path = root / part / name / f"{k}.{kind}"
                path.parent.mkdir(parents=True, exist_ok=True)
                rows, columns = 40 + 7 * seed % 41, 40 + 11 * seed % 41
                Image.fromarray(smooth(seed, rows, columns)).save(path)
    return root
