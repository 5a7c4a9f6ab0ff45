"""What makes a sign hard to read: weather, light, lens, sensor. Each takes and returns uint8 (height, width, 3), BGR.

``amount`` runs from 0 (hardly there) to 1 (as bad as the splits allow). Lengths follow the frame's short side, so that
a scene looks the same at any size.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from googlenet_edge.demo.background import View, smooth_field
from googlenet_edge.types import ImageArray

__all__ = ["NUISANCES", "Nuisance", "expose", "jpeg", "sensor_noise"]

Nuisance: TypeAlias = Callable[[ImageArray, np.random.Generator, float], ImageArray]

NOISE_TILE_PX = 128


def _view(image: ImageArray) -> View:
    return View((image.shape[1], image.shape[0]))


def _shade(image: ImageArray, factor: npt.NDArray[np.float32]) -> ImageArray:
    """Multiply every channel by a float32 (height, width) factor."""
    shaded = image * factor[:, :, None]
    return np.asarray(np.clip(shaded, 0, 255), np.uint8)


def expose(image: ImageArray, rng: np.random.Generator, amount: float) -> ImageArray:
    """Gamma, contrast, brightness and a colour cast, as one table per channel."""
    gamma = np.exp(rng.uniform(-0.6, 0.6) * amount)
    contrast, brightness = 1 + rng.uniform(-0.6, 0.25) * amount, rng.uniform(-55, 45) * amount
    cast = 1 + rng.uniform(-0.18, 0.18, 3) * amount
    level = np.linspace(0, 1, 256)[:, None] ** gamma * 255
    table = np.clip((level - 128) * contrast * cast + 128 * cast + brightness, 0, 255)
    return np.asarray(cv2.LUT(image, table.astype(np.uint8).reshape(256, 1, 3)), np.uint8)


def blur(image: ImageArray, rng: np.random.Generator, amount: float) -> ImageArray:
    """Out of focus."""
    sigma = rng.uniform(0.3, 1.0) * amount * 0.009 * min(image.shape[:2])
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma), np.uint8) if sigma > 0.2 else image


def motion_blur(image: ImageArray, rng: np.random.Generator, amount: float) -> ImageArray:
    """The camera moved while the shutter was open."""
    length = max(1, round(rng.uniform(0.3, 1.0) * amount * 0.045 * min(image.shape[:2])))
    angle = rng.uniform(0, np.pi)
    if length < 2:
        return image
    kernel = np.zeros((2 * length + 1, 2 * length + 1), np.float32)
    reach = np.array([np.cos(angle), np.sin(angle)]) * length / 2
    a, b = np.round(length + reach).astype(int), np.round(length - reach).astype(int)
    cv2.line(kernel, (int(a[0]), int(a[1])), (int(b[0]), int(b[1])), 1.0)
    return np.asarray(cv2.filter2D(image, -1, kernel / kernel.sum()), np.uint8)


def sensor_noise(image: ImageArray, rng: np.random.Generator, amount: float) -> ImageArray:
    """Gaussian noise, partly grey and partly coloured; a random tile is repeated, which no crop of 224 px shows."""
    tile = rng.standard_normal((NOISE_TILE_PX, NOISE_TILE_PX, 3), np.float32)
    tile += rng.standard_normal((NOISE_TILE_PX, NOISE_TILE_PX, 1), np.float32)
    sigma = amount * 14.0
    tile16 = (tile * sigma * 0.7).astype(np.int16)
    height, width = image.shape[:2]
    noise = np.tile(tile16, (-(-height // NOISE_TILE_PX), -(-width // NOISE_TILE_PX), 1))[:height, :width]
    return np.asarray(cv2.add(image, noise, dtype=cv2.CV_8U), np.uint8)


def jpeg(image: ImageArray, rng: np.random.Generator, amount: float) -> ImageArray:
    """A round trip through JPEG, quality 95 down to 20."""
    quality = round(95 - 75 * amount * rng.uniform(0, 1))
    ok, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not ok:  # OpenCV was built without JPEG: it cannot read most data sets either
        raise RuntimeError("this OpenCV cannot write JPEG")
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)


def side_light(image: ImageArray, rng: np.random.Generator, amount: float) -> ImageArray:
    """One side in the light, the other in the shade."""
    height, width = image.shape[:2]
    angle, depth = rng.uniform(0, 2 * np.pi), rng.uniform(0.2, 0.75) * amount
    x = np.linspace(-0.5, 0.5, width, dtype=np.float32)[None] * np.float32(np.cos(angle))
    y = np.linspace(-0.5, 0.5, height, dtype=np.float32)[:, None] * np.float32(np.sin(angle))
    return _shade(image, (1 + np.float32(depth) * (x + y) * 1.4).astype(np.float32))


def cast_shadow(image: ImageArray, rng: np.random.Generator, amount: float) -> ImageArray:
    """Branches or bars between the sun and the sign."""
    field = smooth_field(rng, int(rng.integers(10, 24)), _view(image))
    dark = np.clip((field - 0.5) * 12, 0, 1)
    return _shade(image, (1 - np.float32(0.6 * amount) * dark).astype(np.float32))


def fog(image: ImageArray, rng: np.random.Generator, amount: float) -> ImageArray:
    """Grey air, thicker in places."""
    thickness = np.float32(0.7 * amount) * (0.6 + 0.4 * smooth_field(rng, 5, _view(image)))[:, :, None]
    grey = np.float32(rng.uniform(160, 225))
    return np.asarray(image * (1 - thickness) + grey * thickness, np.uint8)


def rain(image: ImageArray, rng: np.random.Generator, amount: float) -> ImageArray:
    """Streaks, all falling one way."""
    view = _view(image)
    streaks = np.zeros(image.shape[:2], np.uint8)
    lean = rng.uniform(-0.35, 0.35)
    for x, y, length in rng.uniform((-1.2, -0.8, 0.03), (1.2, 0.6, 0.12), (160, 3))[: int(40 + 120 * amount)]:
        line = view.points((x, y), (x + lean * length, y + length))
        cv2.polylines(streaks, [line], False, 255, view.length(0.004), cv2.LINE_AA)
    bright = cv2.convertScaleAbs(streaks, alpha=0.25 + 0.3 * amount)
    return np.asarray(cv2.add(image, cv2.cvtColor(bright, cv2.COLOR_GRAY2BGR)), np.uint8)


def lens_dirt(image: ImageArray, rng: np.random.Generator, amount: float) -> ImageArray:
    """Drops and specks on the lens, far out of focus."""
    view = _view(image)
    factor = np.ones(image.shape[:2], np.float32)
    for x, y, radius in rng.uniform((-0.8, -0.5, 0.015), (0.8, 0.5, 0.06), (9, 3)):
        centre = view.points((x, y))[0, 0]
        cv2.circle(factor, (int(centre[0]), int(centre[1])), view.length(radius), 1 - 0.65 * amount, -1, cv2.LINE_AA)
    return _shade(image, np.asarray(cv2.GaussianBlur(factor, (0, 0), 0.012 * view.unit_px), np.float32))


def glare(image: ImageArray, rng: np.random.Generator, amount: float) -> ImageArray:
    """The sun, or a lamp, shining into the lens."""
    view = _view(image)
    x, y, radius = rng.uniform(-0.6, 0.6), rng.uniform(-0.5, 0.5), rng.uniform(0.12, 0.4)
    centre_x, centre_y = x * view.unit_px + view.width_px / 2, y * view.unit_px + view.height_px / 2
    dx = (np.arange(view.width_px, dtype=np.float32)[None] - np.float32(centre_x)) / np.float32(radius * view.unit_px)
    dy = (np.arange(view.height_px, dtype=np.float32)[:, None] - np.float32(centre_y)) / np.float32(
        radius * view.unit_px
    )
    light = np.float32(210 * amount) * np.exp(-(dx * dx + dy * dy))
    return np.asarray(np.clip(image + light[:, :, None], 0, 255), np.uint8)


def salt_and_pepper(image: ImageArray, rng: np.random.Generator, amount: float) -> ImageArray:
    """Dead and hot pixels, or snow flakes: specks of 1/250 of the short side."""
    view = _view(image)
    out = image.copy()
    for index, (x, y) in enumerate(rng.uniform((-1.2, -0.6), (1.2, 0.6), (400, 2))[: int(400 * amount)]):
        a = view.points((x, y))[0, 0]
        side, value = view.length(0.004), 255 if index % 2 else 10
        out[max(0, a[1]) : max(0, a[1] + side), max(0, a[0]) : max(0, a[0] + side)] = value
    return out


def low_resolution(image: ImageArray, rng: np.random.Generator, amount: float) -> ImageArray:
    """A camera with fewer pixels, enlarged."""
    height, width = image.shape[:2]
    short = (150 - 80 * amount) * rng.uniform(0.9, 1.1)
    scale = short / min(height, width)
    if scale >= 1:
        return image
    small = cv2.resize(
        image, (max(1, round(width * scale)), max(1, round(height * scale))), interpolation=cv2.INTER_AREA
    )
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)


NUISANCES: dict[str, Nuisance] = {
    each.__name__: each
    for each in (
        side_light,
        blur,
        motion_blur,
        cast_shadow,
        fog,
        rain,
        lens_dirt,
        glare,
        salt_and_pepper,
        low_resolution,
    )
}
"""Nuisances that a split may use or not, by name; exposure, sensor noise and JPEG are in every scene."""
