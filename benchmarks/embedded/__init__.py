"""Exported C: the same bits on every emulated board, and the instructions it takes."""
