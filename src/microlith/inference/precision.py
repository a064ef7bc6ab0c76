"""Weights on the int8 grid: one scale an output channel, symmetric around zero.

The recipe rounds the trained weights to this grid before they are scored for the last time, so that storing them as
int8 loses nothing: 8 bits a weight instead of 32, and not one answer that differs.
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
