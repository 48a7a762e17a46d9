"""Which kernel runs a layer."""


def kernel_name(levels: str) -> str:
    return "NumPy"
