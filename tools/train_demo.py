"""Train the demo's GoogLeNet on road-sign scenes, on the CPU, and write the checkpoint that ships with the package.

    python tools/train_demo.py --schedule start --out start.safetensors
    python tools/train_demo.py --schedule finish --init start.safetensors --out road-signs.safetensors

Scenes are drawn while training, each is seen once, so there is nothing to download and little to overfit. Training
starts on small frames and ends at 224 px. The weights that are kept are an exponential moving average, whose batch-norm
statistics are measured once more at the end. Ctrl-C leaves a state file; the same command with ``--resume`` goes on.
"""

from __future__ import annotations

import argparse
import copy
import math
import os
import time
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from googlenet_edge.demo.dataset import LABELS, scene
from googlenet_edge.model.checkpoint import load_checkpoint, save_checkpoint
from googlenet_edge.model.googlenet import GoogLeNet
from googlenet_edge.model.table import form_named
from googlenet_edge.types import CropRule, Normalization


@dataclass(frozen=True)
class Schedule:
    """One run: its stages and how the learning rate goes."""

    stages: tuple[tuple[int, int, int], ...]
    """(frame size in px, scenes, scenes per step), in order."""
    first_scene: int
    """Number of the first scene, so that no run sees another's."""
    peak_rate: float
    warmup_steps: int
    keep: float
    """How much of the moving average of the weights stays at each step."""


SCHEDULES = {
    "start": Schedule(((96, 51_200, 64), (160, 16_000, 64), (224, 9_600, 48)), 0, 0.06, 200, 0.998),
    "finish": Schedule(((160, 12_800, 64), (224, 9_600, 48)), 100_000, 0.02, 50, 0.99),
}

NORMALIZATION = Normalization(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
AUXILIARY_WEIGHT = 0.3  # as in the paper, section 5
RECALIBRATION_STEPS = 12


class TrainingScenes(Dataset[tuple[np.ndarray, int]]):
    """Scenes number ``first`` to ``first + count`` of the training split, cropped as the runtime crops."""

    def __init__(self, size_px: int, first: int, count: int) -> None:
        self.size_px, self.first, self.count = size_px, first, count
        rule = CropRule()
        self.frame_px = round(size_px * rule.resize_px / rule.crop_px)

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[np.ndarray, int]:
        image, class_id = scene("train", self.first + index, size_px=(self.frame_px, self.frame_px))
        edge = (self.frame_px - self.size_px) // 2
        return np.ascontiguousarray(image[edge : edge + self.size_px, edge : edge + self.size_px]), class_id


def one_thread(_: int) -> None:
    cv2.setNumThreads(1)


def to_input(images: Tensor) -> Tensor:
    """uint8 (N, H, W, 3) BGR -> float32 (N, 3, H, W) RGB, normalised, channels last."""
    rgb = images.flip(3).permute(0, 3, 1, 2).float().div(255)
    return rgb.sub(NORMALIZATION.mean[0]).div(NORMALIZATION.std[0]).contiguous(memory_format=torch.channels_last)


def learning_rate(schedule: Schedule, step: int, steps: int) -> float:
    """A short rise, then half a cosine down to 0."""
    if step < schedule.warmup_steps:
        return schedule.peak_rate * step / schedule.warmup_steps
    share = (step - schedule.warmup_steps) / (steps - schedule.warmup_steps)
    return schedule.peak_rate * 0.5 * (1 + math.cos(math.pi * share))


def loss_of(network: GoogLeNet, images: Tensor, classes: Tensor, *, bf16: bool) -> tuple[Tensor, float]:
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        logits, *auxiliary = network(to_input(images))
    loss = nn.functional.cross_entropy(logits.float(), classes)
    accuracy = float((logits.argmax(1) == classes).float().mean())
    for head in auxiliary:
        loss = loss + AUXILIARY_WEIGHT * nn.functional.cross_entropy(head.float(), classes)
    return loss, accuracy


@torch.no_grad()
def average_into(mean: nn.Module, network: nn.Module, keep: float) -> None:
    for kept, new in zip(mean.state_dict().values(), network.state_dict().values(), strict=True):
        if kept.is_floating_point():
            kept.lerp_(new, 1 - keep)


def loader(size_px: int, first: int, count: int, batch: int, workers: int) -> DataLoader[tuple[np.ndarray, int]]:
    return DataLoader(
        TrainingScenes(size_px, first, count),
        batch_size=batch,
        num_workers=workers,
        worker_init_fn=one_thread,
        prefetch_factor=6 if workers else None,
        drop_last=True,
    )


@torch.no_grad()
def recalibrate(network: GoogLeNet, stage: tuple[int, int, int], first: int, workers: int) -> None:
    """Measure the batch-norm statistics of the averaged weights at the final size, in float32."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
            module.momentum = None  # a plain mean over the steps
    network.train()
    size_px, _, batch = stage
    for images, _ in loader(size_px, first, RECALIBRATION_STEPS * batch, batch, workers):
        network(to_input(images))
    network.eval()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="the .safetensors file to write")
    parser.add_argument("--schedule", choices=SCHEDULES, required=True)
    parser.add_argument("--init", type=Path, help="begin with the weights of this checkpoint")
    parser.add_argument("--float32", action="store_true", help="train in float32: slower where the CPU has bfloat16")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--workers", type=int, default=1, help="processes that draw scenes")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--resume", action="store_true", help="go on from the state file beside --out")
    arguments = parser.parse_args()

    schedule = SCHEDULES[arguments.schedule]
    torch.manual_seed(arguments.seed)
    torch.set_num_threads(arguments.threads)
    network = GoogLeNet(form_named("torchvision"), len(LABELS), auxiliary=True)
    # Weights follow the layout of their input: many times faster on the CPU.
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs leave it out
    if arguments.init:
        # The auxiliary heads are not in a checkpoint: they begin anew.
        network.load_state_dict(load_checkpoint(arguments.init).network.state_dict(), strict=False)
    network.train()
    mean = copy.deepcopy(network)
    optimizer = torch.optim.SGD(
        network.parameters(), schedule.peak_rate, momentum=0.9, nesterov=True, weight_decay=5e-5
    )
    state_file = arguments.out.with_suffix(".state.pt")
    done_stages = done_steps = 0
    if arguments.resume:
        state = torch.load(state_file, weights_only=True)
        network.load_state_dict(state["network"])
        mean.load_state_dict(state["mean"])
        optimizer.load_state_dict(state["optimizer"])
        done_stages, done_steps = state["stage"], state["step"]

    steps = sum(count // batch for _, count, batch in schedule.stages)
    step, first = 0, schedule.first_scene
    for stage, (size_px, count, batch) in enumerate(schedule.stages):
        skip = count // batch if stage < done_stages else done_steps if stage == done_stages else 0
        step += skip
        started, loss_sum, right, shown = time.monotonic(), 0.0, 0.0, 0
        batches = loader(size_px, first + skip * batch, count - skip * batch, batch, arguments.workers)
        for number, (images, classes) in enumerate(batches, start=skip + 1):
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(schedule, step, steps)
            optimizer.zero_grad(set_to_none=True)
            loss, accuracy = loss_of(network, images, classes, bf16=not arguments.float32)
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(network.parameters(), 5.0)
            optimizer.step()
            step += 1
            average_into(mean, network, min(schedule.keep, step / (step + 10)))
            loss_sum, right, shown = loss_sum + float(loss.detach()), right + accuracy, shown + 1
            if shown == 50:
                rate = batch * (number - skip) / (time.monotonic() - started)
                report = f"loss {loss_sum / shown:.3f}, top-1 {100 * right / shown:.1f} %, {rate:.0f} scenes/s"
                print(f"{size_px} px, step {step}/{steps}: {report}", flush=True)
                loss_sum, right, shown = 0.0, 0.0, 0
            if number % 250 == 0 or number == count // batch:
                state = {
                    "network": network.state_dict(),
                    "mean": mean.state_dict(),
                    "optimizer": optimizer.state_dict(),
                    "stage": stage,
                    "step": number,
                }
                temporary = state_file.with_suffix(".tmp")
                torch.save(state, temporary)
                temporary.replace(state_file)
        first += count

    recalibrate(mean, schedule.stages[-1], first, arguments.workers)
    save_checkpoint(
        mean,
        arguments.out,
        form="torchvision",
        labels=LABELS,
        normalization=NORMALIZATION,
        dtype=torch.float16,
        metadata={"schedule": str(schedule), "seed": str(arguments.seed), "trained_with": f"torch {torch.__version__}"},
    )
    state_file.unlink(missing_ok=True)
    print(f"wrote {arguments.out}")


if __name__ == "__main__":
    main()
