"""The two threads of a backend on a GPU.

The *owner* holds the CUDA context and everything in it: it alone allocates, enqueues and frees. The *watcher* waits for
the oldest batch on the device and fetches its results, so that the owner can put the next one behind it meanwhile.
Callers touch neither: they fill slots, and wait.
"""

from __future__ import annotations

import logging
import threading
import traceback
from typing import TYPE_CHECKING, Final

from googlenet_edge.runtime.trt_queue import BatchQueue

if TYPE_CHECKING:
    from googlenet_edge.runtime.trt_work import DeviceWork

__all__ = ["Owner"]

logger = logging.getLogger(__name__)

_JOIN_S: Final = 10.0


class Owner:
    """Runs one :class:`DeviceWork` for the batches of one :class:`BatchQueue`."""

    def __init__(self, work: DeviceWork, queue: BatchQueue) -> None:
        self._work, self._queue = work, queue
        # Daemons, because Python waits for other threads before it runs what closes backends that were left open.
        self._owner = threading.Thread(target=self._own, name="tensorrt-owner", daemon=True)
        self._watcher = threading.Thread(target=self._watch, name="tensorrt-watcher", daemon=True)
        # Thread.join and is_alive cannot be relied on after a Ctrl-C inside of join: the thread then counts as ended
        # (CPython issue 90882), and the interpreter would end under a thread that still has the CUDA context.
        self._gone = threading.Event()

    def start(self) -> None:
        """Open the device and wait until that is done; raise what went wrong."""
        self._owner.start()
        self._queue.wait_until_open()

    def close(self, *, last: bool = False) -> None:
        """Stop both threads, which free everything. Batches that the device has begun are still computed, others fail.

        ``last``: the interpreter ends.
        """
        lent_here = self._queue.stop(last=last)
        here = threading.current_thread()
        # Memory that this very thread has on loan is freed when it gives it back.
        if (lent_here and not last) or here in (self._owner, self._watcher) or self._owner.ident is None:
            return
        if not self._gone.wait(_JOIN_S):
            logger.warning(
                "the GPU's memory is not free %g s after closing: a batch is still lent or computing", _JOIN_S
            )
            return
        self._owner.join(_JOIN_S)

    def _own(self) -> None:
        try:
            self._serve()
        finally:
            self._gone.set()

    def _serve(self) -> None:
        doing = "loading the engine"
        try:
            self._work.open()
            self._watcher.start()
            self._queue.opened()
            doing = "computing"
            while (job := self._queue.next()) is not None:
                self._work.begin(job.slot, job.frames)
                self._queue.begun(job)
        except Exception as error:  # noqa: BLE001 - it is handed to the callers
            self._take_failure(error, doing)
        if self._watcher.ident is not None:
            self._watcher.join()
        try:
            if self._queue.wait_for_loans():
                self._work.close()
                return
        except Exception:
            logger.exception("freeing the GPU's memory failed")
        self._work.abandon()

    def _watch(self) -> None:
        try:
            with self._work.visit():
                while (job := self._queue.oldest()) is not None:
                    outputs, stage_ns = self._work.finish(job.slot, job.frames)
                    self._queue.finished(job, outputs, stage_ns)
        except Exception as error:  # noqa: BLE001 - it is handed to the callers
            self._take_failure(error, "computing")

    def _take_failure(self, error: Exception, doing: str) -> None:
        # The frames that failed hold objects of pycuda's, which must not outlive these threads.
        link: BaseException | None = error
        while link is not None:
            traceback.clear_frames(link.__traceback__)
            link = link.__context__
        explained = self._work.explain(error, doing)
        if explained is not error:
            explained.__cause__ = error
        self._queue.fail(explained)
