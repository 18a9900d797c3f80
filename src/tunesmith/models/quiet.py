"""Keeps what transformers and PEFT say off the user's terminal; what matters becomes an error or a note."""

from __future__ import annotations

import logging as plain_logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet() -> Iterator[None]:
    """Silences transformers' logger, its progress bars and deprecations between the two inside the block."""
    from transformers.utils import logging

    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity(logging.CRITICAL)
    logging.disable_progress_bar()
    # PEFT imports bitsandbytes wherever it is installed, which then says what kernels of its own it misses.
    plain_logging.getLogger("bitsandbytes").setLevel(plain_logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
