"""Runs work that cannot be interrupted in a thread of its own, so that Ctrl-C is noticed while it goes on."""

from __future__ import annotations

import logging
import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["run_interruptibly"]

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

PATIENCE_S = 2.0


def run_interruptibly(work: Callable[[], Result], interrupted: threading.Event, *, name: str) -> Result:
    """Run ``work`` in another thread, wait for it, and return or raise what it does.

    Python notices Ctrl-C only between its own instructions, and TensorRT may compute for minutes before it comes back
    to one. So the caller's thread waits here. Ctrl-C, where the caller's is the main thread and nobody handles it in a
    way of his own, sets ``interrupted``, which ``work`` must look at; when ``work`` has ended, KeyboardInterrupt is
    raised. It is never abandoned: a thread inside of TensorRT would bring the process down when Python ends.
    """
    done = threading.Event()
    results: list[Result] = []
    failures: list[BaseException] = []

    def body() -> None:
        try:
            results.append(work())
        except BaseException as error:  # noqa: BLE001 - it is raised in the caller's thread
            failures.append(error)
        finally:
            done.set()

    with _ctrl_c_sets(interrupted):
        thread = threading.Thread(target=body, name=name, daemon=True)
        try:
            thread.start()
            # A wait without a limit cannot be interrupted on every platform.
            while not done.wait(PATIENCE_S):
                if interrupted.is_set():
                    logger.warning("interrupted; waiting for the step that is being computed to end")
        except BaseException:  # from a signal handler of the program's own
            interrupted.set()
            while not done.wait(PATIENCE_S) and thread.is_alive():  # it may have come before the thread was there
                pass
            raise
        thread.join()
    if interrupted.is_set():
        raise KeyboardInterrupt
    if failures:
        raise failures[0]
    return results[0]


@contextmanager
def _ctrl_c_sets(event: threading.Event) -> Iterator[None]:
    """Have Ctrl-C set an event while the block runs: KeyboardInterrupt could come between any two lines."""
    in_main = threading.current_thread() is threading.main_thread()
    if not in_main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    signal.signal(signal.SIGINT, lambda _number, _frame: event.set())
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
