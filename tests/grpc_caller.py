"""A caller of the process that answers by gRPC, and the messages that it sends."""

import grpc
import numpy as np
from tests_engine import wait_until

from server.grpc import inference_pb2 as pb

SERVICE = "inference.GRPCInferenceService"
LATENT_DIM = 8


class Caller:
    """A caller of the process at ``port``: its methods take messages, and give messages back.

    The ``options`` are further ones of gRPC's channel.
    """

    def __init__(self, port, *options):
        self.address = f"127.0.0.1:{port}"
        self.channel = grpc.insecure_channel(
            self.address, options=[("grpc.max_receive_message_length", -1), *options]
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.channel.close()

    def method(self, name, service=SERVICE):
        """Return a method whose messages are bytes."""
        return self.channel.unary_unary(f"/{service}/{name}")

    def __getattr__(self, name):
        messages = getattr(pb, f"{name}Request"), getattr(pb, f"{name}Response")
        return self.channel.unary_unary(
            f"/{SERVICE}/{name}", messages[0].SerializeToString, messages[1].FromString
        )


def latents_of(n, seed=7):
    return np.random.default_rng(seed).standard_normal((n, LATENT_DIM), np.float32)


def infer_request(latents, raw=True, **more):
    """Return the message that asks for the images of ``latents``."""
    tensor = pb.ModelInferRequest.InferInputTensor(
        name="latents", datatype="FP32", shape=latents.shape
    )
    request = pb.ModelInferRequest(model_name="tiny", inputs=[tensor], **more)
    if raw:
        request.raw_input_contents.append(latents.tobytes())
    else:
        request.inputs[0].contents.fp32_contents.extend(latents.ravel().tolist())
    return request


def images_of(response):
    return np.frombuffer(response.raw_output_contents[0], np.uint8).reshape(
        response.outputs[0].shape
    )


def until_ready(process):
    """Wait until an engine answers ``process``, which has noted it."""
    wait_until(lambda: process._client.ready)
    process.look()
