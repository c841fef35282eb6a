"""Plays a conversation over a raw socket, and finds what the server did not do as it owed."""

import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from itertools import pairwise

from loadtests.fuzz.caller import ANSWER_S, Caller, Stuck
from loadtests.fuzz.conversation import Conversation
from loadtests.fuzz.outcome import Fault, Outcome
from loadtests.fuzz.request import Owed, Request
from loadtests.fuzz.response import Malformed, Response

CONTINUE_S = 3.0
"""The seconds for which a caller waits for 100 (Continue) before it sends the body anyway."""
PIECE_S = 0.001
"""The seconds between two pieces, so that the server reads them one by one."""

Judge = Callable[[Request, Response], list[Fault]]


def play(url: str, conversation: Conversation, judge: Judge) -> Outcome:
    """Send the requests of ``conversation`` to the server at ``url`` and judge its answers."""
    outcome = Outcome()
    try:
        caller = Caller(url)
    except OSError as error:
        fault = Fault("no connection", str(error))
        return Outcome([(conversation.requests[0], fault)])
    with closing(caller):
        if conversation.hangs_up:
            outcome.sent = len(conversation.requests)
            with suppress(Stuck):
                _send(caller, conversation, b"".join(x.raw for x in conversation.requests))
        elif conversation.is_pipelined:
            _pipeline(caller, conversation, judge, outcome)
        else:
            _take_turns(caller, conversation, judge, outcome)
    return outcome


def _take_turns(caller: Caller, conversation: Conversation, judge: Judge, outcome: Outcome) -> None:
    ask = _ask(caller, conversation)
    for request in conversation.requests:
        outcome.sent += 1
        if not _goes_on(caller, request, judge, outcome, ask):
            return
    _check_rest(caller, conversation.requests[-1], outcome)


def _pipeline(caller: Caller, conversation: Conversation, judge: Judge, outcome: Outcome) -> None:
    requests = conversation.requests
    outcome.sent = len(requests)
    try:
        _send(caller, conversation, b"".join(request.raw for request in requests))
    except Stuck:
        outcome.faults.append((requests[0], Fault("the server stopped reading")))
        return
    if requests[-1].ends_writing:
        caller.end_writing()
    for request in requests:
        if not _goes_on(caller, request, judge, outcome, None):
            return
    _check_rest(caller, requests[-1], outcome)


def _check_rest(caller: Caller, last: Request, outcome: Outcome) -> None:
    """Check that nothing follows the last answer, and that a half-closed connection ends."""
    fault = None
    if caller.buffer:
        fault = Fault("bytes that nobody asked for", repr(caller.buffer[:200]))
    elif last.ends_writing:
        with suppress(Stuck):
            caller.end()
        if not caller.has_ended:
            fault = Fault("kept open after the caller's end")
    if fault:
        outcome.faults.append((last, fault))


Ask = Callable[[Request], None]


def _ask(caller: Caller, conversation: Conversation) -> Ask:
    """Return a function that sends one request of ``conversation``."""

    def ask(request: Request) -> None:
        if request.waits:
            caller.send(request.head)
            return
        _send(caller, conversation, request.raw)
        if request.ends_writing:
            caller.end_writing()

    return ask


def _send(caller: Caller, conversation: Conversation, data: bytes) -> None:
    """Send ``data`` in the pieces of ``conversation``."""
    cuts = [0, *(int(part * len(data)) for part in conversation.pieces), len(data)]
    for number, (begin, end) in enumerate(pairwise(cuts)):
        if number:
            time.sleep(PIECE_S)
        caller.send(data[begin:end])


def _goes_on(
    caller: Caller, request: Request, judge: Judge, outcome: Outcome, ask: Ask | None
) -> bool:
    """Send ``request`` by ``ask``, judge its answer; return whether another answer may follow."""
    try:
        if ask:
            ask(request)
        response = _continued(caller, request, outcome)
        while response and response.status == 100 and _may_be_continued(caller, request):
            response = caller.answer(request.method, ANSWER_S)
    except Malformed as error:
        outcome.faults.append((request, Fault("an answer that is no HTTP/1.1", str(error))))
        return False
    except Stuck:
        outcome.faults.append((request, Fault("no answer in time")))
        return False
    if response is None:
        if request.owed is not Owed.EITHER:
            outcome.faults.append((request, Fault("closed without an answer")))
        return False
    outcome.answers.append((request, str(response.status)))
    found = [*judge(request, response), *_closing(caller, request, response)]
    outcome.faults += [(request, fault) for fault in found]
    return not (response.closes or request.closes or request.owed is not Owed.ANSWER)


def _continued(caller: Caller, request: Request, outcome: Outcome) -> Response | None:
    """Return the next answer, once the body is sent where the request waits for 100 (Continue)."""
    if not request.waits:
        return caller.answer(request.method, ANSWER_S)
    try:
        response = caller.answer(request.method, CONTINUE_S)
    except Stuck:
        outcome.faults.append((request, Fault("no 100 (Continue) in time")))
        response = None
    if response and response.status != 100:
        return response
    caller.send(request.body)
    if request.ends_writing:
        caller.end_writing()
    return caller.answer(request.method, ANSWER_S)


def _may_be_continued(caller: Caller, request: Request) -> bool:
    """Return whether 100 (Continue) may come: who sends no more may be asked for a sign.

    A caller that speaks HTTP/1.0 does not know it. Source: RFC 9110, section 15.2.
    """
    if request.version == b"HTTP/1.0":
        return False
    return caller.ends_writing or any(x.lower().startswith(b"expect:") for x in request.fields)


def _closing(caller: Caller, request: Request, response: Response) -> Iterator[Fault]:
    """Yield what is wrong with how the connection goes on, or ends, after an answer."""
    if request.closes and not response.closes:
        yield Fault("an answer to the last request without Connection: close")
    must_close = request.closes or response.closes or request.owed is not Owed.ANSWER
    if not must_close:
        return
    try:
        rest = caller.end()
    except Stuck:
        why = "a refusal" if request.owed is not Owed.ANSWER else "the last answer"
        yield Fault(f"kept open after {why}")
        return
    if rest:
        why = "a refusal" if request.owed is not Owed.ANSWER else "the last answer"
        yield Fault(f"an answer after {why}", repr(rest[:200]))
