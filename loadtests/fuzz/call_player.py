"""Makes the calls of a conversation by gRPC, and finds what the server did not do as it owed."""

import socket
from contextlib import suppress
from itertools import islice
from typing import Any

import grpc

from loadtests.fuzz.call import DOCUMENTED, Answer, Call
from loadtests.fuzz.call_conversation import CallConversation
from loadtests.fuzz.caller import ANSWER_S
from loadtests.fuzz.outcome import Fault, Outcome
from loadtests.fuzz.verdict import References
from loadtests.fuzz.wire import values

OPTIONS = [
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.use_local_subchannel_pool", 1),  # a connection for each conversation
]
IMAGES = 6
"""The field of an answer that has the bytes of an output."""
FOR_NOW = ("RESOURCE_EXHAUSTED", "UNAVAILABLE")
"""The statuses of calls that may be made again later."""
NOISE_S = 5.0
"""The seconds for which the end of a connection is waited for that sends no calls."""


def play(port: int, held: CallConversation, references: References) -> Outcome:
    """Make the calls of a conversation at ``port``, and judge their answers."""
    outcome = Outcome(sent=len(held.calls))
    if held.noise:
        _make_noise(port, held.noise)
    with grpc.insecure_channel(f"127.0.0.1:{port}", options=OPTIONS) as channel:
        if held.is_at_once:
            begun = [_begin(channel, call) for call in held.calls]
            answers = [_end(*each) for each in zip(begun, held.calls, strict=True)]
        else:
            answers = [_end(_begin(channel, call), call) for call in held.calls]
    for call, answer in zip(held.calls, answers, strict=True):
        outcome.answers.append((call, answer.code))
        outcome.faults += [(call, fault) for fault in faults(call, answer, references)]
    return outcome


def wait_until_ready(port: int) -> None:
    """Wait until gRPC is spoken at ``port``."""
    with grpc.insecure_channel(f"127.0.0.1:{port}", options=OPTIONS) as channel:
        grpc.channel_ready_future(channel).result(ANSWER_S)


def _begin(channel: Any, call: Call) -> Any:
    """Make a call; what is called takes any number of messages, as far as gRPC itself cares."""
    return channel.stream_stream(call.method)(
        iter(call.messages),
        timeout=call.timeout_s or ANSWER_S,
        metadata=call.metadata,
        compression=grpc.Compression.Gzip if call.is_compressed else None,
    )


def _end(begun: Any, call: Call) -> Answer:
    """Return what comes of a call, which is cancelled once it has as many answers as it takes."""
    messages: list[bytes] = []
    with suppress(grpc.RpcError):
        messages += islice(begun, call.most_answers)
        if call.most_answers is not None:
            begun.cancel()
    told = dict([*begun.initial_metadata(), *begun.trailing_metadata()])
    return Answer(begun.code().name, begun.details() or "", messages, told)


def _make_noise(port: int, data: bytes) -> None:
    """Send what is no call over a connection of its own, and wait for its end."""
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), NOISE_S) as connection:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(1 << 16):
            pass


def faults(call: Call, answer: Answer, references: References) -> list[Fault]:
    """Return what is wrong with the ``answer`` to a ``call``; nothing, if the list is empty."""
    found = [*_status(call, answer), *_id(call, answer)]
    if answer.code == "OK" and call.images is not None:
        (message,) = answer.messages or [b""]
        if values(message, IMAGES) != [references.images(call.images)]:
            found.append(Fault("wrong images", str(call.images)))
    return found


def _status(call: Call, answer: Answer) -> list[Fault]:
    code, details = answer.code, repr(answer.details[:300])
    if code not in DOCUMENTED:
        return [Fault(f"{code}, which is not documented", details)]
    if code not in call.codes:
        return [Fault(f"{code} instead of {', '.join(sorted(call.codes))}", details)]
    if code != "OK" and not answer.details:
        return [Fault(f"{code} without words")]
    if code in FOR_NOW and "retry-after" not in answer.metadata and not call.is_for_library:
        return [Fault(f"{code} without retry-after", details)]
    return []


def _id(call: Call, answer: Answer) -> list[Fault]:
    given = answer.metadata.get("x-request-id")
    if given not in (None, call.request_id):
        return [Fault("the answer to another call", f"{given!r} for {call.request_id}")]
    if given is None and call.images is not None and answer.code == "OK":
        return [Fault("an answer without x-request-id")]
    return []
