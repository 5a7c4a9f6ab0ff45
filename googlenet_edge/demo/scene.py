"""A camera that drives past one road sign after another: an endless frame source that knows the right answers."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from time import monotonic_ns
from types import TracebackType
from urllib.parse import parse_qsl

import cv2
import numpy as np
import numpy.typing as npt

from googlenet_edge.demo.background import BACKGROUNDS, View
from googlenet_edge.demo.nuisance import NOISE_TILE_PX, fog, rain, side_light
from googlenet_edge.demo.render import Pose, draw_sign
from googlenet_edge.demo.signs import LABELS
from googlenet_edge.errors import UsageError
from googlenet_edge.types import Clock, Frame, ImageArray, Outages

__all__ = ["FRAMES_PER_SIGN", "MovingCamera", "open_demo_source"]

FRAMES_PER_SIGN = 30
MARGIN = 1.5
"""The backdrop is drawn this much larger than the frame, so that the camera can turn and come nearer."""
SIZE_PX_RANGE = (32, 8192)


@dataclass(frozen=True)
class _Leg:
    """The way past one sign."""

    class_id: int
    backdrop: ImageArray
    start: Pose
    end: Pose
    sway_phase: float
    weather: int
    weather_seed: int
    grain: npt.NDArray[np.int16]


class MovingCamera:
    """Frames of a drive past road signs, uint8 (height, width, 3) BGR, with :attr:`Frame.truth`; never ends by itself.

    The same seed and size give the same frames. With ``fps`` the frames come at that rate, as from a camera; without
    it, as fast as they are taken. Satisfies :class:`googlenet_edge.capture.source.Source`.
    """

    def __init__(
        self,
        *,
        seed: int = 0,
        size_px: tuple[int, int] = (1280, 720),
        fps: float | None = None,
        clock: Clock = monotonic_ns,
    ) -> None:
        if not all(SIZE_PX_RANGE[0] <= side <= SIZE_PX_RANGE[1] for side in size_px):
            raise UsageError(f"demo scene: got size {size_px[0]}x{size_px[1]}, expected sides of 32 to 8192 pixels")
        if fps is not None and not 0 < fps <= 1000:
            raise UsageError(f"demo scene: got fps {fps}, expected a number above 0 and up to 1000")
        if seed < 0:
            raise UsageError(f"demo scene: got seed {seed}, expected 0 or more")
        self.seed, self.size_px, self.fps = seed, size_px, fps
        self.description = f"demo: moving camera, seed {seed}, {size_px[0]}x{size_px[1]}" + (
            f", {fps:g} fps" if fps else ""
        )
        self.live = fps is not None
        self.labels: tuple[str, ...] | None = LABELS
        self._clock = clock
        self._closed = threading.Event()
        self._leg = lru_cache(maxsize=2)(self._make_leg)

    @property
    def dropped(self) -> int:
        """Always 0: a frame is drawn when it is asked for."""
        return 0

    @property
    def connected(self) -> bool:
        """Always true: there is no line to it that could be cut."""
        return True

    @property
    def outages(self) -> Outages:
        """Always none."""
        return Outages()

    def __enter__(self) -> MovingCamera:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the drive; an iterator that waits for its next frame stops."""
        self._closed.set()

    def __iter__(self) -> Iterator[Frame]:
        start_ns, number = self._clock(), 0
        while not self._closed.is_set():
            image, truth = self.draw(number)
            if self.fps is not None:
                due_ns = start_ns + round(number * 1e9 / self.fps)
                if self._closed.wait(max(0, due_ns - self._clock()) / 1e9):
                    return
            yield Frame(image, sequence=number, captured_ns=self._clock(), truth=truth)
            number += 1

    def draw(self, number: int) -> tuple[ImageArray, int]:
        """Draw frame ``number`` and return it with its class id."""
        leg = self._leg(number // FRAMES_PER_SIGN)
        t = (number % FRAMES_PER_SIGN) / FRAMES_PER_SIGN
        sway = 0.012 * np.sin(leg.sway_phase + number / 7), 0.008 * np.sin(leg.sway_phase + number / 4.3)
        image = self._look(leg.backdrop, zoom=1 + 0.25 * t, turn=(0.15 * t + sway[0], sway[1]))
        near = 1 / (
            1 - t * (1 - leg.start.diameter / leg.end.diameter)
        )  # grows as a thing that comes nearer at even speed
        share = (near - 1) / (leg.end.diameter / leg.start.diameter - 1)
        pose = Pose(
            x=leg.start.x + share * (leg.end.x - leg.start.x) + sway[0],
            y=leg.start.y + share * (leg.end.y - leg.start.y) + sway[1],
            diameter=leg.start.diameter * near,
            yaw_deg=leg.start.yaw_deg + share * (leg.end.yaw_deg - leg.start.yaw_deg),
            pitch_deg=leg.start.pitch_deg,
            roll_deg=leg.start.roll_deg + 60 * sway[0],
        )
        view = View(self.size_px)
        pole = view.points((pose.x, pose.y), (pose.x, pose.y + 1.2))
        cv2.polylines(image, [pole], False, (120, 120, 125), view.length(0.07 * pose.diameter), cv2.LINE_AA)
        draw_sign(image, leg.class_id, pose, shade=0.95)
        rng = np.random.default_rng([leg.weather_seed, number if leg.weather == 1 else 0])
        if leg.weather == 1:
            image = rain(image, rng, 0.5)
        elif leg.weather == 2:
            image = fog(image, rng, 0.3)
        elif leg.weather == 3:
            image = side_light(image, rng, 0.7)
        return self._grain(image, leg.grain, number), leg.class_id

    def _make_leg(self, index: int) -> _Leg:
        rng = np.random.default_rng([self.seed, index])
        shuffled = np.random.default_rng([self.seed, index // len(LABELS), 1]).permutation(len(LABELS))
        backdrop_px = (round(self.size_px[0] * MARGIN), round(self.size_px[1] * MARGIN))
        names = ("road", "town", "foliage", "road")
        side = 1 if rng.random() < 0.5 else -1
        roll, pitch = rng.uniform(-6, 6), rng.uniform(-10, 10)
        return _Leg(
            class_id=int(shuffled[index % len(LABELS)]),
            backdrop=BACKGROUNDS[names[rng.integers(len(names))]](rng, View(backdrop_px)),
            start=Pose(
                rng.uniform(-0.04, 0.04), rng.uniform(-0.04, 0.04), 0.34, side * rng.uniform(0, 20), pitch, roll
            ),
            end=Pose(side * 0.08, rng.uniform(-0.06, 0.02), 0.8, side * rng.uniform(15, 40), pitch, roll),
            sway_phase=rng.uniform(0, 2 * np.pi),
            weather=int(rng.integers(6)),
            weather_seed=int(rng.integers(2**31)),
            grain=(rng.standard_normal((NOISE_TILE_PX, NOISE_TILE_PX, 3), np.float32) * 5).astype(np.int16),
        )

    def _look(self, backdrop: ImageArray, zoom: float, turn: tuple[float, float]) -> ImageArray:
        """Cut the frame out of the backdrop; ``turn`` is in short sides of the frame."""
        width, height = self.size_px
        unit = min(self.size_px)
        x = backdrop.shape[1] / 2 + turn[0] * unit - width / zoom / 2
        y = backdrop.shape[0] / 2 + turn[1] * unit - height / zoom / 2
        matrix = np.array([[1 / zoom, 0, x], [0, 1 / zoom, y]])
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        return np.asarray(
            cv2.warpAffine(backdrop, matrix, self.size_px, flags=flags, borderMode=cv2.BORDER_REPLICATE), np.uint8
        )

    def _grain(self, image: ImageArray, tile: npt.NDArray[np.int16], number: int) -> ImageArray:
        """Add the sensor's noise: one tile, moved to another place in each frame."""
        shifted = np.roll(tile, (37 * number % NOISE_TILE_PX, 53 * number % NOISE_TILE_PX), (0, 1))
        height, width = image.shape[:2]
        noise = np.tile(shifted, (-(-height // NOISE_TILE_PX), -(-width // NOISE_TILE_PX), 1))[:height, :width]
        return np.asarray(cv2.add(image, noise, dtype=cv2.CV_8U), np.uint8)


def open_demo_source(
    uri: str, size_px: tuple[int, int] | None = None, fps: float | None = None, clock: Clock = monotonic_ns
) -> MovingCamera:
    """Open ``demo:`` or, for example, ``demo:?seed=3&size=640x480&fps=30``; the URI goes before the arguments.

    Raises :class:`UsageError` for an unknown or malformed option.
    """
    scheme, _, query = uri.partition("?")
    if scheme.rstrip("/") != "demo:":
        raise UsageError(f"demo scene: got {uri!r}, expected 'demo:' or 'demo:?seed=0&size=1280x720&fps=30'")
    options = dict(parse_qsl(query, keep_blank_values=True))
    if unknown := set(options) - {"seed", "size", "fps"}:
        raise UsageError(f"demo scene: got option {min(unknown)!r}, expected seed, size or fps")
    try:
        seed = int(options.get("seed", "0"))
        fps = float(options["fps"]) if "fps" in options else fps
        if "size" in options:
            width, _, height = options["size"].partition("x")
            size_px = int(width), int(height)
    except ValueError as error:
        raise UsageError(f"demo scene: got {query!r}, expected options such as seed=0&size=1280x720&fps=30") from error
    return MovingCamera(seed=seed, size_px=size_px or (1280, 720), fps=fps, clock=clock)
