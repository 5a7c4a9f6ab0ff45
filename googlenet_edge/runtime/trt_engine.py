"""A plan becomes an engine, and the engine is checked: is it a classifier's, with the I/O that we feed?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from googlenet_edge.engine.logger import TensorRTLog, collect, process_logger
from googlenet_edge.errors import BackendError, DeviceError
from googlenet_edge.runtime.trt_slot import Shapes
from googlenet_edge.types import TensorSpec

if TYPE_CHECKING:
    import tensorrt_rtx as trt

    from googlenet_edge.engine.flavour import Flavour

__all__ = ["LoadedEngine", "said"]

_DTYPES: Final = {"UINT8": "uint8", "FLOAT": "float32", "HALF": "float16"}
_REMEDY: Final = "build the engine again on this machine with `googlenet-edge build`"


def said(log: TensorRTLog) -> str:
    """Quote the errors that TensorRT logged: the last three, as the first of a chain are often the vaguest."""
    return "; ".join(" ".join(line.split()) for line in log.errors[-3:]) or "it gave no reason"


class LoadedEngine:
    """A deserialized engine with the I/O of a classifier. Belongs to the thread that made it."""

    def __init__(self, plan: bytes, flavour: Flavour, *, allow_host_code: bool) -> None:
        """Deserialize the plan; the CUDA context must be pushed. Raises :class:`BackendError` if it does not fit."""
        self._flavour = flavour
        self._runtime: trt.Runtime | None = flavour.api.Runtime(process_logger(flavour))
        if allow_host_code:
            self._runtime.engine_host_code_allowed = True
        with collect() as log:
            self._engine = self._runtime.deserialize_cuda_engine(plan)
        if self._engine is None:
            self._runtime = None
            got = f"plan of {len(plan)} bytes: {flavour.title} cannot load it: {said(log)}"
            if "out of memory" in got.lower():
                raise DeviceError(f"{got}; close what else uses the GPU's memory")
            raise BackendError(f"{got}; {_REMEDY}")
        try:
            self.input, self.outputs, self.shapes = self._check()
        except BaseException:
            self.close()
            raise

    @property
    def engine(self) -> trt.ICudaEngine:
        """The engine itself."""
        if self._engine is None:
            raise BackendError("engine: got a closed one, expected an open one; load the plan again")
        return self._engine

    def _check(self) -> tuple[TensorSpec, tuple[TensorSpec, TensorSpec], Shapes]:
        engine, mode = self.engine, self._flavour.api.TensorIOMode
        names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
        specs = {name: self._spec(name) for name in names}
        inputs = [name for name in names if engine.get_tensor_mode(name) == mode.INPUT]
        image, logits, probabilities = (specs.get(name) for name in ("image", "logits", "probabilities"))
        size = image.shape[1] if image and len(image.shape) == 4 else "size"
        classes = logits.shape[1] if logits and len(logits.shape) == 2 else "classes"
        expected = (
            TensorSpec("image", ("N", size, size, 3), "uint8"),
            TensorSpec("logits", ("N", classes), "float32"),
            TensorSpec("probabilities", ("N", classes), "float32"),
        )
        if (
            (image, logits, probabilities) != expected
            or inputs != ["image"]
            or len(names) != len(expected)
            or not isinstance(size, int)
            or not isinstance(classes, int)
        ):
            raise BackendError(
                f"engine of {self._flavour.title}: got {'; '.join(map(str, specs.values()))}, "
                f"expected {'; '.join(map(str, expected))}; {_REMEDY}, of a bundle that `googlenet-edge deploy` made"
            )
        least, _, most = (tuple(shape) for shape in engine.get_tensor_profile_shape("image", 0))
        if least[1:] != (size, size, 3) or most[1:] != (size, size, 3) or not 1 <= least[0] <= most[0]:
            raise BackendError(
                f"engine of {self._flavour.title}: got optimization profile {least} to {most} for 'image', "
                f"expected (N, {size}, {size}, 3) with N from 1; {_REMEDY}"
            )
        return expected[0], (expected[1], expected[2]), Shapes(size, classes, least[0], most[0])

    def _spec(self, name: str) -> TensorSpec:
        kind = self.engine.get_tensor_dtype(name).name
        shape = ["N" if i == 0 and d == -1 else d for i, d in enumerate(self.engine.get_tensor_shape(name))]
        return TensorSpec(name, tuple(shape), _DTYPES.get(kind, kind.lower()))

    def close(self) -> None:
        """Free the engine, after all its execution contexts. May be called again."""
        self._engine = None
        self._runtime = None

    def belongings(self) -> tuple[object, ...]:
        """All objects of TensorRT's that this holds."""
        return self._engine, self._runtime
