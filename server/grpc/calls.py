"""The answering of calls: who may call, one message, and an end that is always counted."""

import logging
import math
import threading
from collections.abc import Callable, Iterator
from functools import partial
from time import perf_counter
from typing import NamedTuple, TypeVar

import grpc
from google.protobuf.message import DecodeError, Message

from server.api.context import FAULT
from server.errors import ClientGone, InvalidRequest, ServerEnding, ServingError, TooManyCalls
from server.grpc.call import Call
from server.grpc.ended_calls import EndedCalls
from server.grpc.status import code_of
from server.observability import metrics
from server.worker.known_keys import KnownKeys
from server.worker.thread_loop import ThreadLoop

log = logging.getLogger(__name__)

LARGE = 64 * 1024
"""The bytes of an answer from which it is noted until it is sent."""
SENT_AT_A_TIME = 2**20
"""The bytes of an answer that may take as long to be read as a setting says."""
Request = TypeVar("Request", bound=Message)


class Unread(NamedTuple):
    """A large answer that is not sent: its bytes, and the time until which that may take."""

    size: int
    until: float


class Calls:
    """Answers calls: ``most`` of them at a time, whose messages arrive within ``read_timeout_s``.

    ``keys`` are those of who may call; None lets everybody. A caller has ``send_timeout_s`` for
    each MiB of a large answer that is begun. Large answers that callers have not read have
    ``unsent_bytes`` at most; beyond that, who has not read one for the longest time loses it.
    """

    def __init__(
        self,
        loop: ThreadLoop,
        keys: KnownKeys | None,
        default_timeout_s: float,
        read_timeout_s: float,
        send_timeout_s: float,
        most: int,
        unsent_bytes: int,
        ended: EndedCalls,
    ) -> None:
        self._loop = loop
        self._keys = keys
        self._default_timeout_s = default_timeout_s
        self._read_timeout_s = read_timeout_s
        self._send_timeout_s = send_timeout_s
        self._most = most
        self._unsent_bytes = unsent_bytes
        self._ended = ended
        self._counting = threading.Lock()
        self._unread: dict[Call, Unread] = {}
        """The large answers that are not sent, in the order in which they were made."""
        self._arriving: dict[Call, None] = {}
        """The calls whose messages have not arrived, in the order in which they began."""
        self.active = 0
        """The number of calls that are being answered, or whose answers are being sent."""
        self.is_ending = False
        """Whether new calls are refused. gRPC itself would cancel some that come as it stops."""

    def handler(
        self,
        method: str,
        kind: type[Request],
        answer: Callable[[Request, Call], Message],
        is_open: bool = False,
    ) -> grpc.RpcMethodHandler:
        """Return the handler of ``method``, whose request ``answer`` turns into its answer.

        ``answer`` is called with the loop's lock held. What ``is_open`` needs no key, and is
        answered however many calls there are.

        A call has one message. It is taken as a stream of one all the same: gRPC hands over a call
        that has a single message no sooner than that is there, however long it takes.
        """

        def serve(messages: Iterator[bytes], context: grpc.ServicerContext) -> bytes:
            call = Call(context, method, self._default_timeout_s)
            error = self._begin(call, is_open)
            body = b""
            try:
                if error is None:
                    request = self._receive(messages, call, kind)
                    with self._loop.lock:
                        message = answer(request, call)
                    body = message.SerializeToString()
                    del message, request  # a large answer is there twice, for no longer than needed
            except ServingError as raised:
                error = raised
            except Exception:
                log.exception("unhandled error in %s", method)
                error = ServingError(FAULT)
            self._end(call, error, len(body))
            return body

        return grpc.stream_unary_rpc_method_handler(serve)

    def check_key(self, context: grpc.ServicerContext) -> None:
        """End a call of somebody who has no key, where one is needed."""
        call = Call(context, "", self._default_timeout_s)
        try:
            self._check_key(call)
        except ServingError as error:
            context.abort(code_of(error), str(error))

    def read(self, context: grpc.ServicerContext, kind: type[Request], message: bytes) -> Request:
        """Return the message of a call that is answered elsewhere; end the call if it is none."""
        try:
            return _read(kind, message)
        except InvalidRequest as error:
            context.abort(code_of(error), str(error))
            raise

    def sweep(self) -> None:
        """End the calls whose messages, or whose answers, have been on their way for too long."""
        now = perf_counter()
        for call in list(self._arriving):
            if call.began + self._read_timeout_s < now:
                call.context.cancel()
        with self._counting:
            slow = [call for call, unread in self._unread.items() if unread.until < now]
            self._forget(slow)
        self._cut_off(slow, "slow_reader")

    def _begin(self, call: Call, is_open: bool) -> ServingError | None:
        """Let a call in; return why it is not."""
        with self._counting:
            self.active += 1
            too_many = self.active > self._most
        if not call.context.add_callback(partial(self._leave, call)):
            self._leave(call)
        if is_open:
            return None
        try:
            if self.is_ending:
                raise ServerEnding
            if too_many:
                raise TooManyCalls(self._most)
            self._check_key(call)
        except ServingError as error:
            return error
        return None

    def _leave(self, call: Call) -> None:
        """Note that one of the two ends of a call has come."""
        with self._counting:
            call.left -= 1
            if not call.left:
                self.active -= 1
                self._unread.pop(call, None)

    def _check_key(self, call: Call) -> None:
        if self._keys is not None:
            call.caller = self._keys.holder(call.authorization, call.metadata.get("x-api-key"))

    def _receive(self, messages: Iterator[bytes], call: Call, kind: type[Request]) -> Request:
        """Return the message of a call.

        Raises:
            ClientGone: the call was cancelled.
            InvalidRequest: there is no message, or it is none of that class.
        """
        name = kind.DESCRIPTOR.full_name
        self._arriving[call] = None
        try:
            message = next(messages)
        except StopIteration:
            raise InvalidRequest("message", None, f"one {name}") from None
        except grpc.RpcError as error:
            raise ClientGone from error
        finally:
            del self._arriving[call]
        return _read(kind, message)

    def _end(self, call: Call, error: ServingError | None, size: int) -> None:
        """Tell metrics, traces and the log of a call that ends, and its caller what goes with it.

        Where there is an ``error``, this raises what ends the call with its status.
        """
        code = code_of(error) if error else grpc.StatusCode.OK
        if code is grpc.StatusCode.INTERNAL:
            log.error("%s in %s: %s", type(error).__name__, call.method, error)
        headers = error.headers() if error else {}
        with self._loop.lock:
            self._ended.tell(call, code, int(error.status) if error else 200, size)
            if call.caller is not None:
                headers |= call.caller.fields(headers.get("Retry-After"))
        call.told += [(name.lower(), value) for name, value in headers.items()]
        if size > LARGE:
            self._bound_unread(call, size)
        self._leave(call)
        if error:
            call.context.set_trailing_metadata(call.told)
            call.context.abort(code, str(error))
        if call.context.is_active():
            call.context.send_initial_metadata(call.told)

    def _bound_unread(self, call: Call, size: int) -> None:
        """Note an answer that is about to be sent, and end the oldest of too many."""
        allowed_s = self._send_timeout_s * math.ceil(size / SENT_AT_A_TIME)
        with self._counting:
            self._unread[call] = Unread(size, perf_counter() + allowed_s)
            beyond = sum(unread.size for unread in self._unread.values()) - self._unsent_bytes
            oldest = []
            for other, unread in self._unread.items():
                if beyond <= 0 or other is call:
                    break
                oldest.append(other)
                beyond -= unread.size
            self._forget(oldest)
        self._cut_off(oldest, "unread")

    def _forget(self, calls: list[Call]) -> None:
        """Note that calls are about to be ended, as each is ended once; ``_counting`` is held."""
        for call in calls:
            del self._unread[call]

    def _cut_off(self, calls: list[Call], reason: str) -> None:
        """End calls whose answers are not read, and count them by the reason."""
        for call in calls:
            call.context.cancel()
            with self._loop.lock:
                metrics.CONNECTIONS_ENDED.labels(reason).inc()


def _read(kind: type[Request], message: bytes) -> Request:
    """Return what the bytes of a message say.

    Raises:
        InvalidRequest: they are no message of that class.
    """
    try:
        return kind.FromString(message)  # type: ignore[no-any-return]
    except DecodeError as error:
        raise InvalidRequest("message", message[:32], f"one {kind.DESCRIPTOR.full_name}") from error
