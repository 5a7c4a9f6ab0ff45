"""Whether a stored engine serves what is wanted, and if not, in what it differs."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Final

from googlenet_edge.engine.flavour import version_numbers
from googlenet_edge.engine.options import BuildOptions

if TYPE_CHECKING:
    from googlenet_edge.engine.key import EngineKey

__all__ = ["differences"]

_AMPERE: Final = (8, 0)
_NAMES: Final = {
    "onnx_sha256": "ONNX graph (sha256)",
    "tensorrt_version": "TensorRT version",
    "compute_capability": "compute capability",
    "device_name": "device",
    "recipe": "googlenet_edge's way of building",
}


def differences(stored: EngineKey, wanted: EngineKey, *, least_batch: int | None = None) -> tuple[str, ...]:
    """Return each field in which a stored engine is not the wanted one, with both values; () if it serves.

    Args:
        stored: What the engine was built for.
        wanted: What is to be run, and where.
        least_batch: None: the options must be the same too. A number: any options will do if the engine takes this
            many frames at once, and a single one.

    An engine of TensorRT-RTX serves every compute capability that it was built for. One that was built to be version
    compatible serves later TensorRT versions of the same major version, a hardware compatible one every device from
    Ampere on; whether they do it right, the golden frames say on each new device.
    """
    if stored.flavour != wanted.flavour:  # nothing else can be compared
        return (f"TensorRT flavour: stored {stored.flavour}, here {wanted.flavour}",)
    same = {
        "onnx_sha256": stored.onnx_sha256 == wanted.onnx_sha256,
        "tensorrt_version": stored.tensorrt_version == wanted.tensorrt_version or _later_version(stored, wanted),
        "compute_capability": _capability_fits(stored, wanted),
        "device_name": stored.device_name == wanted.device_name or _any_device(stored, wanted),
        "recipe": stored.recipe == wanted.recipe,
    }
    found = [
        f"{_NAMES[name]}: stored {getattr(stored, name) or 'any'}, here {getattr(wanted, name) or 'any'}"
        for name, fits in same.items()
        if not fits
    ]
    if least_batch is None:
        return (*found, *_option_differences(stored.options, wanted.options))
    if stored.options.min_batch > 1:
        found.append(f"option min_batch: stored {stored.options.min_batch}, here 1")
    if stored.options.max_batch < least_batch:
        found.append(f"option max_batch: stored {stored.options.max_batch}, here at least {least_batch}")
    return tuple(found)


def _option_differences(stored: BuildOptions, wanted: BuildOptions) -> list[str]:
    # The targets are in the key's compute capability, where one of several may serve.
    names = [field.name for field in fields(BuildOptions) if field.name != "targets"]
    values = [(name, getattr(stored, name), getattr(wanted, name)) for name in names]
    return [f"option {name}: stored {_text(have)}, here {_text(want)}" for name, have, want in values if have != want]


def _text(value: object) -> str:
    return "default" if value is None else str(value)


def _capability_fits(stored: EngineKey, wanted: EngineKey) -> bool:
    have, want = stored.compute_capability.split("+"), wanted.compute_capability.split("+")
    return set(want) <= set(have) or _any_device(stored, wanted)


def _any_device(stored: EngineKey, wanted: EngineKey) -> bool:
    both = (*stored.compute_capability.split("+"), *wanted.compute_capability.split("+"))
    return stored.options.hardware_compatible and all(version_numbers(capability) >= _AMPERE for capability in both)


def _later_version(stored: EngineKey, wanted: EngineKey) -> bool:
    have, want = version_numbers(stored.tensorrt_version), version_numbers(wanted.tensorrt_version)
    return stored.options.version_compatible and have[:1] == want[:1] and have <= want
