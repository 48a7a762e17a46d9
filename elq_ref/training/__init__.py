"""The engine of float training and of every quantization method: stages, state, SGD, evaluation."""
