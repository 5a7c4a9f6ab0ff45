from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from googlenet_edge.capture.reconnect import NEVER, SHORTEST_DELAY_S, Backoff, Reconnect
from googlenet_edge.capture.recovery import STEADY_NS, Recovery
from googlenet_edge.errors import InputError, SourceError, SourceLostError
from googlenet_edge.types import Outages

policies = st.builds(
    lambda attempts, first, factor, jitter: Reconnect(attempts, first, first * factor, jitter),
    st.none() | st.integers(0, 50),
    st.floats(1e-3, 1e3),
    st.floats(1, 1e6),
    st.floats(0, 1),
)
draws = st.floats(0, 1)


@given(policies, st.lists(draws, min_size=60, max_size=60))
def test_delays_double_up_to_the_longest_and_are_random_by_the_jitter(policy: Reconnect, drawn: list[float]) -> None:
    source = iter(drawn)
    backoff = Backoff(policy, lambda: next(source))
    allowed = 60 if policy.attempts is None else min(policy.attempts, 60)
    for n in range(allowed):
        delay_s = backoff.next_delay_s()
        full_s = min(policy.first_delay_s * 2**n, policy.longest_delay_s)
        assert delay_s is not None
        # n may be above 40, where only the longest delay is left
        if n <= 40:
            assert delay_s == pytest.approx(max(SHORTEST_DELAY_S, full_s * (1 - policy.jitter * drawn[n])))
        assert SHORTEST_DELAY_S <= delay_s <= max(SHORTEST_DELAY_S, policy.longest_delay_s)
    if allowed < 60:
        assert backoff.next_delay_s() is None
        assert backoff.next_delay_s() is None


@given(policies, st.integers(0, 2000), draws)
def test_after_a_restart_the_delays_begin_again(policy: Reconnect, before: int, drawn: float) -> None:
    backoff, fresh = Backoff(policy, lambda: drawn), Backoff(policy, lambda: drawn)
    for _ in range(before):
        backoff.next_delay_s()
    backoff.restart()
    assert [backoff.next_delay_s() for _ in range(5)] == [fresh.next_delay_s() for _ in range(5)]


@pytest.mark.parametrize(
    "given_",
    [
        {"attempts": -1},
        {"attempts": True},
        {"attempts": 2.5},
        {"first_delay_s": 0},
        {"first_delay_s": 31},
        {"first_delay_s": math.nan},
        {"longest_delay_s": math.inf},
        {"longest_delay_s": math.nan},
        {"jitter": -0.1},
        {"jitter": 1.1},
        {"jitter": math.nan},
    ],
)
def test_refuses_a_policy_that_makes_no_sense(given_: dict[str, float]) -> None:
    with pytest.raises(InputError, match=r"^reconnect: got "):
        Reconnect(**given_)  # type: ignore[arg-type]


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> int:
        return round(self.now_s * 1e9)


def recovery(policy: Reconnect, clock: Clock) -> Recovery:
    return Recovery(policy, description="cam", clock=clock, draw=lambda: 0.0)


def test_an_outage_is_counted_and_told_from_its_beginning_to_its_end() -> None:
    clock = Clock()
    account = recovery(Reconnect(attempts=None, first_delay_s=1, longest_delay_s=4), clock)
    assert not account.down
    assert account.delivered() is None
    clock.now_s = 100
    told = [account.lost(SourceLostError("cam: unplugged"), frames=7)]
    for _ in range(9):
        account.attempt()
        clock.now_s += 10
        told.append(account.lost(SourceError("cam: no such device"), frames=7))
    assert account.down
    assert account.outages == Outages(lost=1, reconnected=0, attempts=9, down_ns=90 * 10**9)
    account.attempt()
    clock.now_s += 2
    assert account.delivered() == "cam: back after 92.0 s, 10 attempts"
    assert account.delivered() is None
    clock.now_s = 1000
    assert account.outages == Outages(lost=1, reconnected=1, attempts=10, down_ns=92 * 10**9)
    assert [delay_s for delay_s, _ in told] == [1, 2, 4, 4, 4, 4, 4, 4, 4, 4]
    assert told[0][1] == "cam: lost: unplugged; opening it again in 1.0 s"
    assert [i for i, (_, message) in enumerate(told) if message] == [0, 1, 2, 4, 8]  # and so on: sparsely
    assert told[1][1] == "cam: the first attempt to open it again failed: no such device; the next one in 2.0 s"
    assert told[8][1] == (
        "cam: 8 attempts to open it again failed, the last one: no such device; the next one in 4.0 s"
    )


def test_a_source_that_was_never_there_is_told_as_that() -> None:
    account = recovery(Reconnect(attempts=None), Clock())
    _, message = account.lost(SourceError("cam: no such device"), frames=0)
    assert message == "cam: not there yet: no such device; opening it again in 0.5 s"


def test_after_so_many_failures_in_a_row_it_is_given_up_with_the_first_and_the_last_reason() -> None:
    clock = Clock()
    account = recovery(Reconnect(attempts=2), clock)
    account.lost(SourceLostError("cam: an earlier one"), frames=3)
    account.attempt()
    account.delivered()  # the attempts count anew
    clock.now_s = 50
    account.lost(SourceLostError("cam: no frame for 5000 ms"), frames=7)
    account.attempt()
    account.lost(SourceError("cam: no answer"), frames=7)
    account.attempt()
    clock.now_s = 60
    cause = SourceError("cam: connection refused")
    with pytest.raises(
        SourceLostError,
        match=r"^cam: given up 10\.0 s after it was lost: it had delivered 7 frames, and 2 attempts to open it again "
        r"failed: no frame for 5000 ms; and at last: connection refused; check it, or allow more attempts to reconnect",
    ) as caught:
        account.lost(cause, frames=7)
    assert caught.value.__cause__ is cause
    clock.now_s = 100
    assert account.outages == Outages(lost=2, reconnected=1, attempts=3, down_ns=10 * 10**9)  # it stands still


def test_without_a_policy_the_loss_itself_is_the_error() -> None:
    account = recovery(NEVER, Clock())
    error = SourceLostError("cam: unplugged")
    with pytest.raises(SourceLostError) as caught:
        account.lost(error, frames=7)
    assert caught.value is error
    assert (account.down, account.outages) == (True, Outages(lost=1))


def test_a_source_that_is_lost_over_and_over_does_not_flood_the_log() -> None:
    clock = Clock()
    account = recovery(Reconnect(attempts=None), clock)
    messages = []
    for _ in range(1000):
        clock.now_s += 1
        messages.append(account.lost(SourceLostError("cam: gone"), frames=7)[1])
        account.attempt()
        clock.now_s += 1
        messages.append(account.delivered())
    told = [m for m in messages if m]
    assert len(told) == 2 * 11  # 0, 1, 2, 4, ... 512 losses soon after it came back
    assert told[-2].startswith("cam: lost (513 times in a row soon after it came back): gone")
    assert account.outages == Outages(lost=1000, reconnected=1000, attempts=1000, down_ns=1000 * 10**9)
    # But a long outage of such a source is news, and so is a loss after a quiet time.
    clock.now_s += 1
    longer = [account.lost(SourceLostError("cam: gone"), frames=7)[1]]
    for _ in range(4):
        account.attempt()
        longer.append(account.lost(SourceError("cam: no answer"), frames=7)[1])
    assert [bool(m) for m in longer] == [False, False, False, False, True]
    assert account.delivered() is not None
    clock.now_s += STEADY_NS / 1e9
    assert account.lost(SourceLostError("cam: gone"), frames=7)[1] is not None
