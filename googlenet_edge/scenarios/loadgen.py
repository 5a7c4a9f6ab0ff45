"""Single-stream and multi-stream with MLPerf's own load generator, LoadGen, in the place of ours.

LoadGen decides what is asked when, which frames are asked for, and when the run ends; it times the queries, writes its
logs and judges the run. The very same queries are timed here too, with the clock of all other figures, and make up a
result like that of ``queries``. ``tools/check_loadgen.py`` shows that the two agree.

LoadGen's time for a query is a little longer than ours: it also has the way from its C++ to Python and back, some
microseconds. Its clock is the system's (``std::chrono::high_resolution_clock``, which is the wall clock with GCC): a
clock that is set during a run is in its figures, but not in ours.

Source: LoadGen 6.0 (github.com/mlcommons/inference, folder ``loadgen``). It issues queries from the thread that starts
the test and prepares twice as many as the expected latency asks for. No exception may leave its callbacks, as its
logger's thread would go on without its files, and there is no call to end a test early: what follows an error or a stop
is answered at once, without work, until LoadGen has had enough.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from googlenet_edge.errors import BackendError, MissingPackageError, UsageError
from googlenet_edge.scenarios.loadgen_logs import LoadGenSummary, check_logs, log_folder
from googlenet_edge.scenarios.queries import QueryConfig, QueryResult
from googlenet_edge.scenarios.recording import Recording
from googlenet_edge.scenarios.rig import Rig, WarmedUp, warm_up
from googlenet_edge.scenarios.tally import Tally
from googlenet_edge.scenarios.work import done_ns, process

if TYPE_CHECKING:
    from pathlib import Path

    from googlenet_edge.scenarios.queries import QueryEnd

__all__ = ["LoadGenResult", "loadgen_version", "run_loadgen"]

_MS: Final = 1_000_000
_SHORTEST_NS: Final = 100_000
"""Of expected latencies: LoadGen keeps some 500 bytes for each query that it prepares."""
_LOOK_S: Final = 0.1
"""How often the waiting thread wakes up: a signal that the system gives to another thread does not wake it."""
_ONE_AT_A_TIME: Final = threading.Lock()
"""LoadGen's logger and controller are one for the whole process."""


@dataclass(frozen=True)
class LoadGenResult:
    """What was measured, by us and by LoadGen."""

    queries: QueryResult
    """Ours: of the queries that were worked on."""
    summary: LoadGenSummary | None
    """LoadGen's; None if the run was stopped, because then it also counts queries that were not worked on."""
    logs: Path | None
    """The folder with LoadGen's logs; None if the run was stopped."""
    version: str
    """Of LoadGen."""


def loadgen_version() -> str:
    """Return the version of LoadGen. Raises :class:`MissingPackageError` if it is not installed."""
    from importlib import metadata

    try:
        import mlperf_loadgen  # noqa: F401

        return metadata.version("mlcommons-loadgen")
    except (ImportError, metadata.PackageNotFoundError) as error:
        raise MissingPackageError("mlcommons-loadgen", extra="loadgen") from error


def run_loadgen(rig: Rig, config: QueryConfig, logs: Path) -> LoadGenResult:
    """Warm up, then have LoadGen drive the work until its minimums are met; its logs become the folder ``logs``.

    One frame a query is LoadGen's SingleStream, more are its MultiStream. The seed of the configuration becomes
    LoadGen's three seeds. When the rig's ``stop`` is set, or on Ctrl-C, the query under way is finished, and LoadGen's
    logs are removed. Only one run at a time in a process.

    Raises:
        MissingPackageError: LoadGen is not installed.
        OutputError: The folder cannot be made, exists and is not empty, or LoadGen's logs are not whole.
        BackendError: LoadGen had not prepared enough queries, because they became much faster than in the warm-up.
        UsageError: LoadGen is running already in this process.
    """
    version = loadgen_version()
    check_logs(logs)
    if not _ONE_AT_A_TIME.acquire(blocking=False):
        raise UsageError("loadgen: got a second run in this process, expected one at a time; wait for the first one")
    try:
        warmed_up = warm_up(rig, config.warmup, samples=config.samples_per_query, seed=config.seed + 1)
        rig.on_phase(
            f"measuring with LoadGen: at least {config.min_duration_ns / 1e9:g} s and {config.least_queries} queries"
        )
        with log_folder(logs) as folder:
            asked = _Asked(rig, config, warmed_up)
            if not rig.stop.is_set():
                _drive(asked, _settings(config, warmed_up, rig.work.frames), folder.path)
            if asked.error is not None:
                raise asked.error
            if rig.stop.is_set():
                return LoadGenResult(asked.result("stopped"), None, None, version)
            summary, ran_out = folder.summary(), folder.ran_out()
            if ran_out:
                raise BackendError(
                    f"loadgen: the {summary.queries} queries that LoadGen had prepared were not enough, because they "
                    "became more than twice as fast as in the warm-up; measure again"
                )
            folder.keep()
    finally:
        _ONE_AT_A_TIME.release()
    ended: QueryEnd = "minimums met" if summary.min_duration_met and summary.min_queries_met else "time up"
    return LoadGenResult(asked.result(ended), summary, logs, version)


class _Asked:
    """Answers LoadGen's queries. Called from one thread, LoadGen's."""

    def __init__(self, rig: Rig, config: QueryConfig, warmed_up: WarmedUp) -> None:
        self._rig, self._config, self._warmed_up = rig, config, warmed_up
        self.tally, self._recording = Tally(), Recording(rig, warmed_up.warmup)
        self.started_ns = self.ended_ns = rig.clock()
        self.error: BaseException | None = None

    def answer(self, indexes: Sequence[int]) -> None:
        """Do a query, and keep what it raises: nothing may be raised here."""
        if self.error is not None or self._rig.stop.is_set():
            return
        began_ns = self._rig.clock()
        try:
            trace = process(self._rig.work, indexes, self.tally.count, began_ns)
            if not self.tally.count:
                self.started_ns = began_ns
                self._recording.begin(began_ns)
            self._recording.record(trace)
            self.ended_ns = done_ns(trace)
            at_ns = self.ended_ns - self.started_ns
            self.tally.add(self.ended_ns - began_ns, sequence=trace.sequence, at_ns=at_ns)
        except BaseException as error:  # noqa: BLE001  # raised by run_loadgen, when LoadGen has ended in good order
            self.error = error

    def keep(self, error: BaseException) -> None:
        """Keep the first error; what is asked after it is not worked on."""
        self.error = self.error or error

    def result(self, ended: QueryEnd) -> QueryResult:
        return QueryResult(
            config=self._config,
            summary=self._recording.summary(),
            samples=self._recording.samples(),
            warmed_up=self._warmed_up,
            estimate=self.tally.estimate(self._config.percent),
            duration_ns=self.ended_ns - self.started_ns,
            ended=ended,
        )


def _settings(config: QueryConfig, warmed_up: WarmedUp, frames: int) -> Any:
    import mlperf_loadgen

    single = config.samples_per_query == 1
    scenario = mlperf_loadgen.TestScenario.SingleStream if single else mlperf_loadgen.TestScenario.MultiStream
    settings = mlperf_loadgen.TestSettings()
    settings.scenario, settings.mode = scenario, mlperf_loadgen.TestMode.PerformanceOnly
    settings.min_duration_ms = -(-config.min_duration_ns // _MS)
    settings.max_duration_ms = 0 if config.max_duration_ns is None else -(-config.max_duration_ns // _MS)
    settings.min_query_count = config.least_queries
    settings.performance_sample_count_override = frames
    expected_ns = max(warmed_up.median_ns, _SHORTEST_NS)
    settings.single_stream_expected_latency_ns = settings.multi_stream_expected_latency_ns = expected_ns
    quantile = config.percent / 100
    settings.single_stream_target_latency_percentile = settings.multi_stream_target_latency_percentile = quantile
    settings.multi_stream_samples_per_query = config.samples_per_query
    seed = config.seed % (1 << 64)
    settings.qsl_rng_seed = settings.sample_index_rng_seed = settings.schedule_rng_seed = seed
    return settings


def _drive(asked: _Asked, settings: Any, folder: Path) -> None:
    """Run LoadGen's test in a thread of its own: Python raises KeyboardInterrupt in the main one, maybe in a callback.

    Returns, or raises what interrupted it, when LoadGen has ended: its logger writes to ``folder`` until then.
    """
    import mlperf_loadgen

    def issue(samples: Sequence[Any]) -> None:
        asked.answer([sample.index for sample in samples])
        mlperf_loadgen.QuerySamplesComplete([mlperf_loadgen.QuerySampleResponse(sample.id, 0, 0) for sample in samples])

    def nothing(*_: object) -> None: ...

    logging = mlperf_loadgen.LogSettings()
    output = mlperf_loadgen.LogOutputSettings()
    output.outdir, output.copy_summary_to_stdout = str(folder), False
    logging.log_output = output
    may_begin, ended = threading.Event(), threading.Event()

    def test() -> None:
        may_begin.wait()
        if asked.error is not None:
            ended.set()
            return
        frames = settings.performance_sample_count_override
        system = mlperf_loadgen.ConstructSUT(issue, nothing)
        library = mlperf_loadgen.ConstructQSL(frames, frames, nothing, nothing)
        try:
            # LoadGen would take settings from a file audit.config in the current folder: name one that is not there.
            mlperf_loadgen.StartTestWithLogSettings(system, library, settings, logging, str(folder / "audit.config"))
        except BaseException as error:  # noqa: BLE001  # handed over to the caller's thread
            asked.keep(error)
        finally:
            mlperf_loadgen.DestroyQSL(library)
            mlperf_loadgen.DestroySUT(system)
            ended.set()

    thread = threading.Thread(target=test, name="loadgen", daemon=True)
    try:
        thread.start()
    except BaseException as error:
        # Also start() waits, and a Ctrl-C comes out of it though the thread is there: it must not begin any more.
        asked.error = error
        may_begin.set()
        raise
    while not ended.is_set():
        try:
            may_begin.set()
            ended.wait(_LOOK_S)
        except BaseException as error:  # noqa: BLE001  # Ctrl-C: kept, and the next query is not worked on
            asked.keep(error)
    thread.join()
