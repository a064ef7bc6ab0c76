"""Word embeddings on the int8 grid: one scale a word, symmetric around zero.

The recipe puts the embeddings on this grid before they are trained with, so that storing them as int8 loses nothing: 8 bits
a number instead of 32, and not one answer that differs. The encoder's products have a grid of their own
(`training.rounding`).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

LEVELS = 127
"""Largest magnitude on the grid."""


def to_grid(weights: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float32]]:
    """Round `weights` to int8.

    Args:
        weights: (channels, inputs).

    Returns:
        (channels, inputs) integers of -127 to 127, and (channels,) scales > 0; `integers * scales[:, None]` is the
        rounded matrix. Weights that lie on the grid already come back unchanged.
    """
    scales = np.abs(weights).max(axis=1) / np.float32(LEVELS)
    scales = np.where(scales > 0, scales, np.float32(1.0)).astype(np.float32)
    return np.rint(weights / scales[:, None]).astype(np.int8), scales


def rounded(weights: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """`weights` rounded to the grid, as float32."""
    integers, scales = to_grid(weights)
    result: npt.NDArray[np.float32] = integers.astype(np.float32) * scales[:, None]
    return result
