"""The methods of the Open Inference Protocol v2, and what each answers."""

from collections.abc import Callable
from typing import Any, TypeVar

from google.protobuf.json_format import ParseDict
from google.protobuf.message import Message

from server.api import oip_documents as documents
from server.api.oip_service import InferService
from server.api.repository_service import RepositoryService
from server.errors import InvalidRequest
from server.grpc import inference_pb2 as pb
from server.grpc.call import Call
from server.grpc.calls import Calls
from server.grpc.infer_messages import read_infer, values_of, write_infer
from server.worker.engine_client import EngineClient

SERVICE = "inference.GRPCInferenceService"

Answer = TypeVar("Answer", bound=Message)


class InferenceMethods:
    """What the methods of the protocol answer, over the service that REST has too."""

    def __init__(
        self, client: EngineClient, service: InferService, repository: RepositoryService
    ) -> None:
        self._client = client
        self._service = service
        self._repository = repository

    def server_live(self, _: pb.ServerLiveRequest, __: Call) -> pb.ServerLiveResponse:
        return pb.ServerLiveResponse(live=True)

    def server_ready(self, _: pb.ServerReadyRequest, __: Call) -> pb.ServerReadyResponse:
        return pb.ServerReadyResponse(ready=self._client.ready)

    def model_ready(self, request: pb.ModelReadyRequest, _: Call) -> pb.ModelReadyResponse:
        self._client.find(_model(request.name), request.version or None)
        return pb.ModelReadyResponse(ready=self._client.ready)

    def server_metadata(self, _: pb.ServerMetadataRequest, __: Call) -> pb.ServerMetadataResponse:
        return _parsed(documents.server_metadata(), pb.ServerMetadataResponse())

    def model_metadata(self, request: pb.ModelMetadataRequest, _: Call) -> pb.ModelMetadataResponse:
        found = self._service.metadata(_model(request.name), request.version or None)
        return _parsed(found, pb.ModelMetadataResponse())

    def model_config(self, request: pb.ModelConfigRequest, _: Call) -> pb.ModelConfigResponse:
        found = self._service.config(_model(request.name), request.version or None)
        return _parsed({"config": found}, pb.ModelConfigResponse())

    def model_statistics(
        self, request: pb.ModelStatisticsRequest, _: Call
    ) -> pb.ModelStatisticsResponse:
        found = self._service.statistics(request.name or None, request.version or None)
        return _parsed(found, pb.ModelStatisticsResponse())

    def model_infer(self, request: pb.ModelInferRequest, call: Call) -> pb.ModelInferResponse:
        inferred = self._service.infer(
            lambda shape: read_infer(request, shape),
            call.terms,
            _model(request.model_name),
            request.model_version or None,
        )
        call.steps, call.images = inferred.timings.steps(), inferred.timings.images
        call.told += [("carfront-model", inferred.model), ("carfront-plan", inferred.plan)]
        return write_infer(inferred)

    def repository_index(
        self, request: pb.RepositoryIndexRequest, _: Call
    ) -> pb.RepositoryIndexResponse:
        found = self._repository.index(request.ready)
        return _parsed({"models": found}, pb.RepositoryIndexResponse())

    def load(
        self, request: pb.RepositoryModelLoadRequest, call: Call
    ) -> pb.RepositoryModelLoadResponse:
        self._administer("load", request, call)
        return pb.RepositoryModelLoadResponse()

    def unload(
        self, request: pb.RepositoryModelUnloadRequest, call: Call
    ) -> pb.RepositoryModelUnloadResponse:
        self._administer("unload", request, call)
        return pb.RepositoryModelUnloadResponse()

    def _administer(
        self,
        action: str,
        request: pb.RepositoryModelLoadRequest | pb.RepositoryModelUnloadRequest,
        call: Call,
    ) -> None:
        self._repository.authorize(call.caller, call.authorization)
        self._repository.administer(action, request.model_name, values_of(request.parameters))


def handlers(calls: Calls, methods: InferenceMethods) -> dict[str, object]:
    """Return the handlers of the protocol's methods, by their names."""
    answers: dict[str, tuple[type[Any], Callable[[Any, Call], Message]]] = {
        "ServerMetadata": (pb.ServerMetadataRequest, methods.server_metadata),
        "ModelReady": (pb.ModelReadyRequest, methods.model_ready),
        "ModelMetadata": (pb.ModelMetadataRequest, methods.model_metadata),
        "ModelConfig": (pb.ModelConfigRequest, methods.model_config),
        "ModelStatistics": (pb.ModelStatisticsRequest, methods.model_statistics),
        "ModelInfer": (pb.ModelInferRequest, methods.model_infer),
        "RepositoryIndex": (pb.RepositoryIndexRequest, methods.repository_index),
        "RepositoryModelLoad": (pb.RepositoryModelLoadRequest, methods.load),
        "RepositoryModelUnload": (pb.RepositoryModelUnloadRequest, methods.unload),
    }
    probes: dict[str, tuple[type[Any], Callable[[Any, Call], Message]]] = {
        "ServerLive": (pb.ServerLiveRequest, methods.server_live),
        "ServerReady": (pb.ServerReadyRequest, methods.server_ready),
    }
    return {
        name: calls.handler(f"{SERVICE}/{name}", request_class, answer, is_open=name in probes)
        for name, (request_class, answer) in {**answers, **probes}.items()
    }


def _model(name: str) -> str:
    """Return the name of a model; a message without one means none, not the default."""
    if not name:
        raise InvalidRequest("name of the model", name, "one of a model that is served")
    return name


def _parsed(document: documents.Document, message: Answer) -> Answer:
    """Return ``message`` with what ``document`` says, as far as it has members for that."""
    return ParseDict(document, message, ignore_unknown_fields=True)  # type: ignore[no-any-return]
