"""Where prepared images are kept, and how it is known that they are still the same."""

import hashlib
import os
from pathlib import Path

import numpy as np

from training.data.layout import Images


def cache_dir() -> Path:
    """Return where fetched data is kept: ``CARFRONT_CACHE``, or the user's cache directory."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("CARFRONT_CACHE") or Path(home) / "carfront")


def digest(images: Images) -> str:
    """Return the SHA-256 of the images' bytes in their order, as hex."""
    return hashlib.sha256(np.ascontiguousarray(images)).hexdigest()
