"""Write the digits that ship in data/: two idx files, the test split and a few pictures. Needs scikit-learn.

The split is what data/digits-test.txt says; this shows how it was drawn. Run from the project's root:
python tools/make_digits.py
"""

import gzip
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

TEST = 500
SAMPLES = (0, 3, 5, 7)
DATA = Path(__file__).parents[1] / "data"


def write_idx(path: Path, array: np.ndarray) -> None:
    """uint8 `array` as idx, gzip without name and time so that the bytes are always the same."""
    header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
    path.write_bytes(gzip.compress(header + array.tobytes(), 9, mtime=0))


def stratified(labels: np.ndarray, count: int, seed: int) -> np.ndarray:
    """`count` indices in rising order; each class has its share, the largest remainders rounded up."""
    rng = np.random.default_rng(seed)
    share = np.bincount(labels) * count / len(labels)
    wanted = share.astype(int)
    wanted[np.argsort(wanted - share, kind="stable")[: count - wanted.sum()]] += 1
    chosen = [rng.permutation(np.flatnonzero(labels == c))[:n] for c, n in enumerate(wanted)]
    return np.sort(np.concatenate(chosen))


def main() -> None:
    digits = load_digits()
    images, labels = digits.images.astype(np.uint8), digits.target.astype(np.uint8)
    write_idx(DATA / "digits-images-idx3-ubyte.gz", images)
    write_idx(DATA / "digits-labels-idx1-ubyte.gz", labels)
    test = stratified(labels, TEST, seed=2018)
    (DATA / "digits-test.txt").write_text("".join(f"{i}\n" for i in test))
    grey = ((images * np.uint16(255) + 8) // 16).astype(np.uint8)
    for digit in SAMPLES:
        first = test[labels[test] == digit][0]
        Image.fromarray(grey[first]).save(DATA / f"digit-{digit}.png")


if __name__ == "__main__":
    main()
