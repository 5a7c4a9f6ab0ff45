"""Run the float32 graph over the calibration images and look at the tensors that will need a scale.

One pass in memory that does not depend on the number of images: each value goes into its tensor's histogram at once.
Images are computed side by side, one a thread, each on a single core: that wastes none of the time that threads within
one operator wait for each other, and an image's values do not depend on the number of threads. Counts and maxima do not
depend on the order, and means are summed in the order of the images: so the result is the same to the last bit however
many threads there were, and wherever the run was interrupted.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt
import onnx

from googlenet_edge.errors import BackendError, GraphError, InputError, MissingPackageError
from googlenet_edge.graph.store import GraphSource, load_graph
from googlenet_edge.quantization.histogram import RangeHistogram
from googlenet_edge.quantization.images import CalibrationImages, Progress
from googlenet_edge.quantization.observation import Observation, Sidecar

try:
    import onnxruntime
except ImportError as error:
    raise MissingPackageError("onnxruntime", extra="cpu") from error

__all__ = ["ObserveOptions", "default_threads", "observe"]

_logger = logging.getLogger(__name__)

_MOST_DEFAULT_THREADS = 4
"""A thread holds one image's activations, about 50 MB for GoogLeNet: more of them only when asked for."""

_Channels: TypeAlias = "tuple[npt.NDArray[np.float64], npt.NDArray[np.float32]]"
_Histograms: TypeAlias = "list[RangeHistogram]"


@dataclass(frozen=True)
class ObserveOptions:
    """How the pass over the images is run. None of it changes the result."""

    threads: int | None = None
    """Images computed at once; None for one a core that this process may use, at most four."""
    save_every: int = 32
    """Images between two savings of the state of an unfinished run."""

    def __post_init__(self) -> None:
        if self.threads is not None and not 1 <= self.threads <= 256:
            raise InputError(f"threads: got {self.threads}, expected 1 to 256, or None to choose")
        if self.save_every < 1:
            raise InputError(f"save_every: got {self.save_every}, expected 1 or more images")


def default_threads() -> int:
    """Return how many images are computed at once if nothing else is asked for."""
    return min(_MOST_DEFAULT_THREADS, len(os.sched_getaffinity(0)))


def observe(
    graph: GraphSource,
    images: CalibrationImages,
    tensors: Sequence[str],
    *,
    chosen: Sequence[int] | None = None,
    options: ObserveOptions | None = None,
    sidecar: Sidecar | None = None,
    progress: Progress | None = None,
) -> tuple[Observation, ...]:
    """Return what the named tensors of a float32 graph are like over all images, in the order of ``tensors``.

    ``chosen`` has the indices of the images to look at; None for all. With a ``sidecar`` the state is kept there every
    so often, and a run that was interrupted goes on from it; the caller removes it when the result is safe.
    ``progress`` is called with the images done and their number.

    Raises :class:`GraphError` for a tensor that is not in the graph or not float32, or in which a value is NaN or
    infinite: the message names tensor and image. Raises
    :class:`InputError` for crops of another size than the graph's, :class:`BackendError` if ONNX Runtime fails.
    """
    options = options or ObserveOptions()
    session = _open(load_graph(graph), tensors)
    got, expected = images.read(0).shape[1:], tuple(session.get_inputs()[0].shape[1:])
    if got != expected:
        raise InputError(
            f"calibration images: got crops of {got}, the graph takes {expected}: crop them by this bundle's own rule"
        )
    position, observations = sidecar.load(tensors) if sidecar else (0, [Observation(tensor) for tensor in tensors])
    indices = range(len(images)) if chosen is None else chosen
    if position:
        _logger.info("going on after %d of %d images", position, len(indices))
    if progress is not None:
        progress(position, len(indices))
    threads = options.threads or default_threads()
    with _Workers(session, images, tensors, threads) as workers:
        while position < len(indices):
            stop = min(position + options.save_every, len(indices))
            for channels in workers.run(indices[position:stop]):
                for observation, (total, amax) in zip(observations, channels, strict=True):
                    observation.add_channels(total, amax)
                position += 1
                if progress is not None:
                    progress(position, len(indices))
            workers.collect(observations)
            if sidecar is not None and position < len(indices):
                sidecar.save(position, observations)
    return tuple(observations)


class _Workers:
    """Threads that share a session; each has histograms of its own, which are merged when all of them rest."""

    def __init__(self, session: Any, images: CalibrationImages, tensors: Sequence[str], threads: int) -> None:
        self._session, self._images, self._tensors = session, images, list(tensors)
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="calibrate")
        self._free: SimpleQueue[_Histograms] = SimpleQueue()
        for _ in range(threads):
            self._free.put([RangeHistogram() for _ in self._tensors])
        self._threads = threads

    def __enter__(self) -> _Workers:
        return self

    def __exit__(self, *_: object) -> None:
        # After an error or Ctrl-C, only what has begun is waited for.
        self._pool.shutdown(wait=True, cancel_futures=True)

    def run(self, indices: Sequence[int]) -> Iterator[list[_Channels]]:
        """Yield the channel sums and maxima of each image, in order."""
        futures = [self._pool.submit(self._one, index) for index in indices]
        return (future.result() for future in futures)

    def collect(self, observations: list[Observation]) -> None:
        """Move what the histograms have counted to the observations. No image may be under way."""
        for _ in range(self._threads):
            for observation, histogram in zip(observations, self._free.get(), strict=True):
                observation.histogram.merge(histogram)
        for _ in range(self._threads):
            self._free.put([RangeHistogram() for _ in self._tensors])

    def _one(self, index: int) -> list[_Channels]:
        batch = self._images.read(index)
        try:
            values = self._session.run(self._tensors, {"image": batch})
        except Exception as error:  # ONNX Runtime's exceptions have no other base
            raise BackendError(
                f"ONNX Runtime {onnxruntime.__version__} failed on image {self._images.names[index]!r}, uint8 "
                f"{batch.shape}: {error}; if memory is short, use fewer threads"
            ) from error
        histograms = self._free.get()
        try:
            return [self._add(*item, index) for item in zip(self._tensors, values, histograms, strict=True)]
        finally:
            self._free.put(histograms)

    def _add(self, tensor: str, values: npt.NDArray[np.float32], histogram: RangeHistogram, index: int) -> _Channels:
        try:
            histogram.add(values)
        except InputError as error:
            raise GraphError(
                f"tensor {tensor!r}, image {self._images.names[index]!r}: {error}; check the weights of the layers "
                "up to this tensor (NaN in a checkpoint, a diverged training), and the normalisation"
            ) from error
        return _by_channel(values)


def _by_channel(values: npt.NDArray[np.float32]) -> _Channels:
    """Return sum, float64, and largest absolute value, float32, of each channel of float32 (1, channels, ...)."""
    flat = values.reshape(values.shape[1], -1)
    # OpenCV's reduction to float64 is four times faster than numpy's.
    total: Any = cv2.reduce(flat, 1, cv2.REDUCE_SUM, dtype=cv2.CV_64F)
    amax = flat.max(axis=1)
    if float(flat.min()) < 0:
        amax = np.maximum(amax, -flat.min(axis=1))
    return total.reshape(-1), amax


def _open(model: onnx.ModelProto, tensors: Sequence[str]) -> Any:
    """Open the graph in ONNX Runtime with these tensors, and nothing else, for outputs."""
    made = {name for node in model.graph.node for name in node.output if name}
    types = {value.name: value.type.tensor_type for value in (*model.graph.value_info, *model.graph.output)}
    if not tensors or len(set(tensors)) != len(tensors):
        raise InputError(f"tensors: got {list(tensors)}, expected at least one, each once")
    for tensor in tensors:
        if tensor not in made:
            raise GraphError(
                f"tensor {tensor!r}: the graph does not make it, expected one of its {len(made)} tensors; "
                "is this the graph that the tensors were chosen from?"
            )
        known = types.get(tensor)
        if known is not None and known.elem_type not in (onnx.TensorProto.FLOAT, onnx.TensorProto.UNDEFINED):
            kind = onnx.TensorProto.DataType.Name(known.elem_type)
            raise GraphError(
                f"tensor {tensor!r}: got type {kind}, expected FLOAT; calibrate the graph of an fp32 bundle"
            )
    inputs = [value.name for value in model.graph.input]
    if inputs != ["image"]:
        raise GraphError(f"graph: got inputs {inputs}, expected ['image']; make it with `googlenet-edge deploy`")
    del model.graph.output[:]
    model.graph.output.extend(
        onnx.helper.make_tensor_value_info(tensor, onnx.TensorProto.FLOAT, None) for tensor in tensors
    )
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    try:
        return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise GraphError(f"graph: ONNX Runtime {onnxruntime.__version__} does not load it: {error}") from error
