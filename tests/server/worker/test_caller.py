"""What a key's holder may do, what is counted of it, and what it is told."""

import pytest

from server.errors import InvalidRequest, NotAdministrator, RateExceeded, TooManyInFlight
from server.keys import ADMIN, USER, Key
from server.observability.metrics import REGISTRY
from server.worker.caller import Caller
from server.worker.key_limits import KeyLimits


@pytest.fixture
def caller(request):
    """Return a function that makes a caller with limits, whose name is the test's."""
    limits = KeyLimits.create(lambda: 1e6)

    def make(role=USER, **told):
        key = Key(request.node.name[:60], role, b"", **told)
        return Caller(key, limits, limits.rows([key.name])[0] if told else None)

    return make


def counted(caller, name, **labels):
    return REGISTRY.get_sample_value(name, {"key": caller.key.name, **labels}) or 0.0


def test_key_without_limits_draws_and_is_counted(caller):
    alice = caller()
    assert not alice.is_limited
    for _ in range(3):
        alice.begin(4096)
        alice.drew(4096)
    assert alice.fields() == []
    assert counted(alice, "carfront_key_images_total") == 3 * 4096


def test_refusals_of_a_key_are_told_from_the_start(caller):
    alice = caller(in_flight=7)
    for reason in ("rate", "in_flight", "size", "role"):
        labels = {"key": alice.key.name, "reason": reason}
        assert REGISTRY.get_sample_value("carfront_key_refused_total", labels) == 0


@pytest.mark.parametrize(
    ("told", "most"),
    [
        ({"images_per_s": 1.0, "burst": 9}, 9),
        ({"in_flight": 7}, 7),
        ({"images_per_s": 1.0, "burst": 9, "in_flight": 5}, 5),
    ],
)
def test_more_than_ever_at_once_is_no_matter_of_waiting(caller, told, most):
    alice = caller(**told)
    with pytest.raises(InvalidRequest, match=f"n is 10; wanted at most {most}: the key") as refused:
        alice.begin(10)
    assert refused.value.status == 400
    assert counted(alice, "carfront_key_refused_total", reason="size") == 1
    alice.begin(most)


@pytest.mark.parametrize(
    ("told", "error", "reason", "policy"),
    [
        ({"images_per_s": 0.5, "burst": 4}, RateExceeded, "rate", "images"),
        ({"in_flight": 4}, TooManyInFlight, "in_flight", "in-flight"),
    ],
)
def test_refusal_is_a_429_that_says_when_to_come_again(caller, told, error, reason, policy):
    alice = caller(**told)
    alice.begin(3)
    with pytest.raises(error) as refused:
        alice.begin(2)
    assert refused.value.status == 429
    assert refused.value.headers() == {"Retry-After": "2" if reason == "rate" else "1"}
    assert refused.value.facts()["violated-policies"] == [policy]
    assert counted(alice, "carfront_key_refused_total", reason=reason) == 1
    assert counted(alice, "carfront_key_images_total") == 0


def test_fields_tell_of_both_limits(caller):
    alice = caller(images_per_s=3.0, burst=10, in_flight=64)
    alice.begin(4)
    policy, state = alice.fields()
    assert policy == (
        "RateLimit-Policy",
        '"images";q=10;w=4;qu="images", "in-flight";q=64;qu="concurrent-images"',
    )
    assert state == ("RateLimit", '"images";r=6;t=2, "in-flight";r=60')
    alice.drew(4)
    assert alice.fields("77")[1] == ("RateLimit", '"images";r=6;t=77, "in-flight";r=64')


def test_images_that_were_not_drawn_cost_nothing_but_those_not_waited_for_do(caller):
    alice = caller(images_per_s=1.0, burst=10, in_flight=10)
    alice.begin(10)
    alice.refund(10)
    assert alice.fields()[1][1] == '"images";r=10;t=0, "in-flight";r=10'
    alice.begin(10)
    alice.end(10)
    assert alice.fields()[1][1] == '"images";r=0;t=10, "in-flight";r=10'
    assert counted(alice, "carfront_key_images_total") == 0


def test_users_key_does_not_administer(caller):
    caller(role=ADMIN).check_admin()
    alice = caller()
    with pytest.raises(NotAdministrator) as refused:
        alice.check_admin()
    assert refused.value.status == 403
    assert counted(alice, "carfront_key_refused_total", reason="role") == 1
