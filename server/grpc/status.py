"""The status codes of gRPC for our errors."""

import grpc

from server.errors import ServingError

Code = grpc.StatusCode
CODES = {
    400: Code.INVALID_ARGUMENT,
    401: Code.UNAUTHENTICATED,
    403: Code.PERMISSION_DENIED,
    404: Code.NOT_FOUND,
    429: Code.RESOURCE_EXHAUSTED,
    499: Code.CANCELLED,
    501: Code.UNIMPLEMENTED,
    503: Code.UNAVAILABLE,
    504: Code.DEADLINE_EXCEEDED,
}
"""The codes by the statuses of HTTP that errors own."""


def code_of(error: ServingError) -> grpc.StatusCode:
    """Return the code by which a call ends that met ``error``."""
    return CODES.get(int(error.status), Code.INTERNAL)
