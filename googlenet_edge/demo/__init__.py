"""Road-sign scenes drawn with OpenCV: data to train and test on, a moving camera, and a trained checkpoint."""

from __future__ import annotations

from pathlib import Path

__all__ = ["checkpoint_path"]


def checkpoint_path() -> Path:
    """Return the path of the trained checkpoint in the package; ``MODEL_CARD.md`` beside it describes it."""
    return Path(__file__).parent / "data" / "road-signs.safetensors"
