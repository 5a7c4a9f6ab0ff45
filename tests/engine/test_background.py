"""Work in a thread of its own, which Ctrl-C ends."""

from __future__ import annotations

import signal
import threading

import pytest

from googlenet_edge.engine.background import run_interruptibly


def test_what_the_work_returns_and_raises_comes_out() -> None:
    names: list[str] = []

    def work() -> int:
        names.append(threading.current_thread().name)
        return 7

    def fail() -> int:
        raise ValueError("why")

    assert run_interruptibly(work, threading.Event(), name="worker") == 7
    assert names == ["worker"]
    with pytest.raises(ValueError, match="why"):
        run_interruptibly(fail, threading.Event(), name="worker")


def test_ctrl_c_tells_the_work_to_end_and_waits_for_it() -> None:
    interrupted = threading.Event()
    ends: list[bool] = []

    def work() -> None:
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        ends.append(interrupted.wait(30))

    with pytest.raises(KeyboardInterrupt):
        run_interruptibly(work, interrupted, name="worker")
    assert ends == [True]
    assert "worker" not in [thread.name for thread in threading.enumerate()]


def test_a_second_ctrl_c_does_not_abandon_the_work(caplog: pytest.LogCaptureFixture) -> None:
    interrupted, ends = threading.Event(), []

    def work() -> None:
        main = threading.main_thread().ident or 0
        signal.pthread_kill(main, signal.SIGINT)
        interrupted.wait(30)
        signal.pthread_kill(main, signal.SIGINT)
        ends.append("work")

    with pytest.raises(KeyboardInterrupt):
        run_interruptibly(work, interrupted, name="worker")
    assert ends == ["work"]


def test_a_signal_handler_of_the_programs_own_is_left_alone() -> None:
    interrupted, ends = threading.Event(), []

    def handle(number: int, _frame: object) -> None:
        raise InterruptedError(number)

    def work() -> None:
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        ends.append(interrupted.wait(30))

    before = signal.signal(signal.SIGINT, handle)
    try:
        with pytest.raises(InterruptedError):
            run_interruptibly(work, interrupted, name="worker")
        assert signal.getsignal(signal.SIGINT) is handle
    finally:
        signal.signal(signal.SIGINT, before)
    assert ends == [True]
