"""Heads of tokens, as the kernels read them.

Tensors: N tokens, H heads, K head width.
"""

from __future__ import annotations

import ctypes
from typing import Any

from torch import Tensor


class Heads(ctypes.Structure):
    """Where they begin, and how far apart tokens and heads lie."""

    _fields_ = [("at", ctypes.c_void_p), ("token", ctypes.c_int64), ("head", ctypes.c_int64)]

    @classmethod
    def of(cls, states_NHK: Tensor) -> Any:
        return ctypes.byref(cls(states_NHK.data_ptr(), states_NHK.stride(0), states_NHK.stride(1)))


def lined(states_NHK: Tensor) -> Tensor:
    """The same, each head's numbers side by side."""
    return states_NHK if states_NHK.stride(2) == 1 else states_NHK.contiguous()
