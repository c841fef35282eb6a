"""Prints a binary request of tritonclient, as JSON, for ``loadtests.compare``.

Our server and Triton are held against each other with the requests that tritonclient makes, not
with tritonclient itself: on the servers' processors it would be what limits both.
"""

import argparse
import base64
import json

import numpy as np
import tritonclient.http as triton

from loadtests.peers.drawing import LATENT_DIM


def main() -> None:
    """Print the request for as many images as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, required=True, help="the images of the request")
    rows = parser.parse_args().rows
    latents = np.random.default_rng(7).standard_normal((rows, LATENT_DIM), np.float32)
    tensor = triton.InferInput("latents", list(latents.shape), "FP32")
    tensor.set_data_from_numpy(latents)
    outputs = [triton.InferRequestedOutput("images")]
    body, length = triton.InferenceServerClient.generate_request_body([tensor], outputs=outputs)
    print(json.dumps({"body": base64.b64encode(body).decode(), "length": length}))


if __name__ == "__main__":
    main()
