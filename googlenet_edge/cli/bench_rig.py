"""What ``googlenet-edge bench`` measures, as its arguments say: frames, and the work that is done on them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from googlenet_edge.latency.machine import MachineInfo
    from googlenet_edge.runtime.classifier import Classifier
    from googlenet_edge.scenarios.definitions import ScenarioFacts
    from googlenet_edge.scenarios.frames import FrameSet
    from googlenet_edge.scenarios.work import Work

__all__ = ["frames_from_arguments", "work_from_arguments"]


def frames_from_arguments(arguments: argparse.Namespace) -> FrameSet:
    """Return the frames that the arguments name; see :mod:`googlenet_edge.scenarios.frames` for what is raised."""
    from googlenet_edge.scenarios.frames import DEFAULT_FRAMES, demo_frames, image_frames

    count = DEFAULT_FRAMES if arguments.frame_count is None else arguments.frame_count
    if arguments.images is not None:
        return image_frames(arguments.images, count, seed=arguments.seed or 0)
    return demo_frames(count, size_px=arguments.size or (1280, 720), seed=arguments.seed or 0)


def work_from_arguments(
    arguments: argparse.Namespace, classifier: Classifier, frames: FrameSet, machine: MachineInfo
) -> tuple[Work, ScenarioFacts]:
    """Return what is done on the frames, and what the report says of that."""
    from googlenet_edge import __version__
    from googlenet_edge.scenarios.definitions import ScenarioFacts
    from googlenet_edge.scenarios.work import ClassifierWork, PreparedWork, crops_of

    include = arguments.include_preprocess is not False
    work: Work
    if include:
        work = ClassifierWork(classifier, frames.images, max_batch=arguments.max_batch)
    else:
        crops = crops_of(frames.images, classifier.bundle.crop)
        work = PreparedWork(classifier, crops, max_batch=arguments.max_batch)
    facts = ScenarioFacts(
        machine=machine,
        classifier=classifier.describe(),
        frames=frames.description,
        frame_count=len(frames.images),
        contains=work.contains,
        include_preprocess=include,
        version=__version__,
    )
    return work, facts
