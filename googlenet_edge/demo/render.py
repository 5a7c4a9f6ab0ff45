"""Put a sign into a scene: perspective, background, things in front of it, and what the camera does to it all."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from googlenet_edge.demo.background import BACKGROUNDS, View, color_near
from googlenet_edge.demo.nuisance import NUISANCES, expose, jpeg, sensor_noise
from googlenet_edge.demo.signs import sign_face
from googlenet_edge.types import ImageArray

__all__ = ["Pose", "SceneRanges", "draw_sign", "render_scene"]

CAMERA_DISTANCE = 3.2
"""Distance of the eye from the sign in sign radii: how strong the perspective is."""


@dataclass(frozen=True)
class SceneRanges:
    """What the scenes of one split are drawn from; pairs are (least, most)."""

    backgrounds: tuple[str, ...]
    nuisances: tuple[str, ...]
    nuisance_count: tuple[int, int]
    """How many of ``nuisances`` one scene gets."""
    amount: tuple[float, float]
    """How strong each is, 0 to 1."""
    diameter: tuple[float, float]
    """Sign diameter in short sides of the frame."""
    yaw_deg: float
    pitch_deg: float
    roll_deg: float
    offset: float
    """How far the sign may be from the middle, in short sides."""
    occlusion: tuple[float, float]
    """Probability that something stands in front, and the most that it covers of the diameter."""


@dataclass(frozen=True)
class Pose:
    """Where a sign is and how it is turned."""

    x: float
    """Short sides from the frame's middle."""
    y: float
    diameter: float
    """Short sides."""
    yaw_deg: float = 0.0
    pitch_deg: float = 0.0
    roll_deg: float = 0.0

    def corners(self, view: View) -> npt.NDArray[np.float32]:
        """Pixels of the four corners of the sign's square: float32 (4, 2), from top left, clockwise."""
        yaw, pitch, roll = np.radians([self.yaw_deg, self.pitch_deg, self.roll_deg])
        square = np.array([(-1.0, -1.0, 0.0), (1.0, -1.0, 0.0), (1.0, 1.0, 0.0), (-1.0, 1.0, 0.0)])
        turn = np.array([[np.cos(roll), -np.sin(roll), 0], [np.sin(roll), np.cos(roll), 0], [0, 0, 1]])
        nod = np.array([[1, 0, 0], [0, np.cos(pitch), -np.sin(pitch)], [0, np.sin(pitch), np.cos(pitch)]])
        swing = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
        points = square @ (swing @ nod @ turn).T
        flat = points[:, :2] / (1 + points[:, 2:] / CAMERA_DISTANCE)
        pixels = (flat * self.diameter / 2 + [self.x, self.y]) * view.unit_px
        return np.asarray(pixels + [view.width_px / 2, view.height_px / 2], np.float32)


def draw_sign(image: ImageArray, class_id: int, pose: Pose, *, shade: float = 1.0) -> None:
    """Draw a sign into uint8 (height, width, 3) BGR, in place. What lies outside the frame is cut off."""
    view = View((image.shape[1], image.shape[0]))
    corners = pose.corners(view)
    left, top = np.maximum(np.floor(corners.min(axis=0)).astype(int) - 1, 0)
    right, bottom = np.minimum(np.ceil(corners.max(axis=0)).astype(int) + 2, [view.width_px, view.height_px])
    if right <= left or bottom <= top:
        return
    face, mask = sign_face(class_id).level_for(pose.diameter * view.unit_px)
    side = face.shape[0]
    source = np.array([(0, 0), (side, 0), (side, side), (0, side)], np.float32) - 0.5
    target = corners - np.array([left, top], np.float32) - 0.5
    matrix = cv2.getPerspectiveTransform(source, target.astype(np.float32))
    size = (int(right - left), int(bottom - top))
    flat = cv2.warpPerspective(face, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    alpha = cv2.warpPerspective(mask, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    weight = alpha[:, :, None].astype(np.float32) / 255
    patch = image[top:bottom, left:right]
    patch[:] = np.clip(patch * (1 - weight) + flat * (weight * np.float32(shade)), 0, 255).astype(np.uint8)


def _pole(image: ImageArray, pose: Pose, rng: np.random.Generator) -> None:
    view = View((image.shape[1], image.shape[0]))
    lean = np.tan(np.radians(pose.roll_deg))
    ends = view.points((pose.x, pose.y), (pose.x - 1.2 * lean, pose.y + 1.2))
    cv2.polylines(
        image, [ends], False, color_near(rng, (140, 140, 140), 45), view.length(0.07 * pose.diameter), cv2.LINE_AA
    )


def _occlude(image: ImageArray, pose: Pose, rng: np.random.Generator, most: float) -> None:
    """A branch, a board or another pole in front, from the edge inward."""
    view = View((image.shape[1], image.shape[0]))
    kind, angle, reach = rng.integers(3), rng.uniform(0, 2 * np.pi), most * rng.uniform(0.3, 1.0)
    color = color_near(rng, ((60, 100, 70), (90, 95, 100), (128, 128, 128))[kind], 50)
    out = np.array([np.cos(angle), np.sin(angle)])
    middle, radius = np.array([pose.x, pose.y]), pose.diameter / 2
    if kind == 0:  # leaves
        for x, y, size in rng.uniform((-1, -1, 0.4), (1, 1, 1.0), (8, 3)):
            spot = middle + out * radius + np.array([x, y]) * reach * radius
            at = view.points((spot[0], spot[1]))[0, 0]
            cv2.circle(
                image,
                (int(at[0]), int(at[1])),
                view.length(0.5 * size * reach * radius),
                color_near(rng, color, 25),
                -1,
                cv2.LINE_AA,
            )
    elif kind == 1:  # a post or wire across, off the middle
        across = np.array([-out[1], out[0]])
        start = middle + out * radius * rng.uniform(0.2, 0.8)
        ends = view.points(tuple(start - across * 1.5), tuple(start + across * 1.5))
        cv2.polylines(image, [ends], False, color, view.length(0.3 * reach * radius), cv2.LINE_AA)
    else:  # a board's edge
        across = np.array([-out[1], out[0]])
        edge = middle + out * radius * (1 - 2 * reach * 0.6)
        board = [edge - across * 2, edge + across * 2, edge + across * 2 + out, edge - across * 2 + out]
        cv2.fillPoly(image, [view.points(*[(p[0], p[1]) for p in board])], color, cv2.LINE_AA)


def render_scene(class_id: int, rng: np.random.Generator, ranges: SceneRanges, size_px: tuple[int, int]) -> ImageArray:
    """Draw one scene with a sign of this class: uint8 (height, width, 3), BGR, for ``size_px`` = (width, height).

    The same generator state gives the same scene at any size, up to resolution.
    """
    view = View(size_px)
    image = BACKGROUNDS[ranges.backgrounds[rng.integers(len(ranges.backgrounds))]](rng, view)
    pose = Pose(
        x=rng.uniform(-ranges.offset, ranges.offset),
        y=rng.uniform(-ranges.offset, ranges.offset),
        diameter=rng.uniform(*ranges.diameter),
        yaw_deg=rng.uniform(-ranges.yaw_deg, ranges.yaw_deg),
        pitch_deg=rng.uniform(-ranges.pitch_deg, ranges.pitch_deg),
        roll_deg=rng.uniform(-ranges.roll_deg, ranges.roll_deg),
    )
    if rng.random() < 0.7:
        _pole(image, pose, rng)
    draw_sign(image, class_id, pose, shade=rng.uniform(0.6, 1.05))
    if rng.random() < ranges.occlusion[0]:
        _occlude(image, pose, rng, ranges.occlusion[1])
    count = int(rng.integers(ranges.nuisance_count[0], ranges.nuisance_count[1] + 1))
    for index in sorted(rng.choice(len(ranges.nuisances), size=min(count, len(ranges.nuisances)), replace=False)):
        image = NUISANCES[ranges.nuisances[index]](image, rng, rng.uniform(*ranges.amount))
    image = expose(image, rng, rng.uniform(*ranges.amount))
    image = sensor_noise(image, rng, rng.uniform(*ranges.amount))
    return jpeg(image, rng, rng.uniform(*ranges.amount))
