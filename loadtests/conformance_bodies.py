"""Bodies that are not JSON, for Schemathesis: files of latents, and latents as bytes."""

import io
from typing import Any

import numpy as np
import schemathesis
from hypothesis import strategies as st

LATENT_DIM = 100


def npy(rows: int) -> bytes:
    """Return a .npy file of latents."""
    file = io.BytesIO()
    np.save(file, np.zeros((rows, LATENT_DIM), np.float32))
    return file.getvalue()


FILES = st.builds(npy, st.integers(1, 3)) | st.binary(max_size=600)
BYTES = FILES | st.integers(1, 3).map(lambda rows: bytes(4 * LATENT_DIM * rows))

schemathesis.openapi.media_type("application/x-npy", FILES)
schemathesis.openapi.media_type("application/octet-stream", BYTES)


@schemathesis.hook
def filter_case(_: object, case: "schemathesis.Case[Any]") -> bool:
    """Leave out header fields that nobody knows: in HTTP they are no fault."""
    return "x-schemathesis-unknown-property" not in {x.lower() for x in case.headers or ()}
