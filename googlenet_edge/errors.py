"""The exceptions of this package, as a tree.

::

    GoogLeNetEdgeError
    |-- UsageError (ValueError)              the caller asked for something that does not exist; exit code 2
    |-- MissingPackageError (ImportError)    an optional package is not installed; the message names the extra
    |-- InputError (ValueError)              an array or a number of the wrong type, shape or range
    |-- CheckpointError (ValueError)         a weights file that cannot be loaded as a known form
    |-- LabelsError (ValueError)             a labels file that is unreadable or of the wrong length
    |-- DatasetError (ValueError)            an evaluation or calibration set that cannot be read
    |-- CalibrationError (ValueError)        a calibration table that is stale, incomplete or damaged
    |-- GraphError (ValueError)              an ONNX graph that is broken or not a classifier we can deploy
    |   `-- VerificationError                a step changed the results beyond its tolerance
    |-- BundleError (ValueError)             a bundle that is incomplete, altered or of another version
    |-- EngineError (RuntimeError)           an engine that cannot be built, or a stored one that cannot be used
    |-- BackendError (RuntimeError)          the inference library failed
    |   `-- DeviceError                      the GPU failed, and the backend that was on it is closed
    |-- SourceError (OSError)                a frame source that cannot be opened
    |   `-- SourceLostError                  a frame source that stopped delivering while it was running
    `-- OutputError (OSError)                a result that cannot be written

Every message says what was got, what was expected and what to do about it. Errors of other libraries are wrapped
with ``raise ... from``, so that the cause stays readable.
"""

from __future__ import annotations

__all__ = [
    "BackendError",
    "BundleError",
    "CalibrationError",
    "CheckpointError",
    "DatasetError",
    "DeviceError",
    "EngineError",
    "GoogLeNetEdgeError",
    "GraphError",
    "InputError",
    "LabelsError",
    "MissingPackageError",
    "OutputError",
    "SourceError",
    "SourceLostError",
    "UsageError",
    "VerificationError",
]


class GoogLeNetEdgeError(Exception):
    """Base class: catch this to catch everything that this package raises on purpose."""


class UsageError(GoogLeNetEdgeError, ValueError):
    """The caller asked for something that does not exist, such as an unknown form or URI scheme (exit code 2)."""


class MissingPackageError(GoogLeNetEdgeError, ImportError):
    """An optional package is not installed.

    Raised where the package is imported: ``raise MissingPackageError("onnxruntime", extra="cpu") from error``.
    """

    def __init__(self, package: str, *, extra: str) -> None:
        super().__init__(
            f"package {package!r} cannot be imported: it is needed for this step; "
            f"install it, in the folder of this project, with: pip install '.[{extra}]' "
            "(`googlenet-edge doctor` shows what is missing)"
        )
        self.package = package
        self.extra = extra


class InputError(GoogLeNetEdgeError, ValueError):
    """An array or a number of the wrong type, shape or range."""


class CheckpointError(GoogLeNetEdgeError, ValueError):
    """A weights file that cannot be loaded as a known form of the model."""


class LabelsError(GoogLeNetEdgeError, ValueError):
    """A labels file that is unreadable or does not fit the number of classes."""


class DatasetError(GoogLeNetEdgeError, ValueError):
    """An evaluation or calibration set that cannot be read."""


class CalibrationError(GoogLeNetEdgeError, ValueError):
    """A calibration table that is stale, incomplete or damaged."""


class GraphError(GoogLeNetEdgeError, ValueError):
    """An ONNX graph that is broken or is not a classifier that can be deployed."""


class VerificationError(GraphError):
    """A step of the path changed the results beyond its tolerance."""


class BundleError(GoogLeNetEdgeError, ValueError):
    """A bundle that is incomplete, altered or of another version."""


class BackendError(GoogLeNetEdgeError, RuntimeError):
    """The inference library failed to load or run a graph."""


class DeviceError(BackendError):
    """The GPU failed: out of memory, lost, or a failed launch. The backend that was on it is closed."""


class EngineError(GoogLeNetEdgeError, RuntimeError):
    """A TensorRT engine that cannot be built, or a stored one that cannot be used."""


class SourceError(GoogLeNetEdgeError, OSError):
    """A frame source that cannot be opened."""


class SourceLostError(SourceError):
    """A frame source that stopped delivering while it was running."""


class OutputError(GoogLeNetEdgeError, OSError):
    """A result that cannot be written."""
