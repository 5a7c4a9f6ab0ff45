"""Draws a result on a copy of its frame: label, probability, rate, latency and the square that the network sees."""

from __future__ import annotations

import unicodedata
from typing import TypeAlias

import cv2
import numpy as np

from googlenet_edge.sinks.sink import RateMeter, TruthLabels, truth_label
from googlenet_edge.types import CropRule, Frame, ImageArray, Prediction, Region

__all__ = ["Annotator", "crop_square"]

Color: TypeAlias = tuple[int, int, int]
"""Blue, green, red."""

_FONT = cv2.FONT_HERSHEY_SIMPLEX
_WHITE: Color = (255, 255, 255)
_GREY: Color = (200, 200, 200)
_NEUTRAL: Color = (230, 180, 60)
_RIGHT: Color = (90, 200, 60)
_WRONG: Color = (60, 60, 235)
_UNSURE: Color = (150, 150, 150)
_EMPTY: Color = (90, 90, 90)
_PANEL_BRIGHTNESS = 0.35
_MIN_TEXT_PX = 9  # smaller capitals cannot be read


class Annotator:
    """Draws results; keeps each camera's rate over the last second, so one annotator belongs to one output."""

    def __init__(
        self,
        *,
        crop: CropRule | None = None,
        region: Region | None = None,
        truth_labels: TruthLabels = None,
    ) -> None:
        """``crop``: outline the square that this rule cuts (within ``region``). ``truth_labels``: names of the source's
        class ids; with them the bar is green for a right label and red for a wrong one. It is grey where the result is
        unsure.
        """
        self._crop = crop
        self._region = region
        self._truth_labels = truth_labels
        self._rates: dict[str | None, RateMeter] = {}

    def annotate(self, frame: Frame, prediction: Prediction) -> ImageArray:
        """Return an annotated copy of the frame's image: uint8 (height, width, 3), BGR. Any size is possible; text is
        readable from 160 x 120 pixels up.
        """
        trace = prediction.trace
        meter = self._rates.setdefault(frame.camera, RateMeter())
        meter.add(trace.inferred_ns)
        image = np.array(frame.image, order="C", copy=True)
        height, width = image.shape[:2]
        text_px = max(_MIN_TEXT_PX, round(min(height, width) / 20))
        if self._crop is not None:
            self._draw_crop(image, max(1, text_px // 12))

        truth = truth_label(frame, self._truth_labels)
        right = None if truth is None else truth == prediction.label
        guess = f"{_ascii(prediction.label)} {100 * prediction.probability:.0f} %"
        headline = f"unsure ({guess})" if prediction.unsure else guess
        if truth is not None and (prediction.unsure or not right):
            headline += f" (is: {_ascii(truth)})"
        name = "" if frame.camera is None else f"{_ascii(frame.camera)}  "
        rate = "" if meter.fps is None else f"{meter.fps:.1f} frames/s  "
        details = f"{name}{rate}{(trace.inferred_ns - trace.captured_ns) / 1e6:.1f} ms"

        margin = max(2, text_px // 2)
        small_px = max(_MIN_TEXT_PX, round(text_px * 0.7))
        bar_px = max(2, text_px // 3)
        panel_px = min(height, 4 * margin + text_px + bar_px + small_px)
        panel = image[:panel_px]
        panel[:] = cv2.convertScaleAbs(panel, alpha=_PANEL_BRIGHTNESS)
        room_px = max(1, width - 2 * margin)
        _put_text(image, headline, (margin, margin + text_px), text_px, room_px, _WHITE)
        top = 2 * margin + text_px
        color = _UNSURE if prediction.unsure else {None: _NEUTRAL, True: _RIGHT, False: _WRONG}[right]
        filled = round(min(1.0, max(0.0, prediction.probability)) * room_px)
        cv2.rectangle(image, (margin, top), (margin + room_px - 1, top + bar_px - 1), _EMPTY, cv2.FILLED)
        if filled:
            cv2.rectangle(image, (margin, top), (margin + filled - 1, top + bar_px - 1), color, cv2.FILLED)
        _put_text(image, details, (margin, top + bar_px + margin + small_px), small_px, room_px, _GREY)
        return image

    def _draw_crop(self, image: ImageArray, thickness: int) -> None:
        height, width = image.shape[:2]
        square = crop_square(height, width, self._crop or CropRule(), self._region)
        first = (square.x_px, square.y_px)
        last = (square.x_px + square.width_px - 1, square.y_px + square.height_px - 1)
        # A dark line around the bright one shows on snow as well as at night.
        cv2.rectangle(image, first, last, (0, 0, 0), 3 * thickness)
        cv2.rectangle(image, first, last, _WHITE, thickness)


def crop_square(height_px: int, width_px: int, crop: CropRule, region: Region | None = None) -> Region:
    """Return the square of a frame that the network sees: the centre ``crop_px / resize_px`` of the short side of the
    frame, or of the region.
    """
    x_px, y_px = 0, 0
    if region is not None:
        x_px, y_px = min(region.x_px, width_px - 1), min(region.y_px, height_px - 1)
        width_px, height_px = min(region.width_px, width_px - x_px), min(region.height_px, height_px - y_px)
    side_px = max(1, round(min(height_px, width_px) * crop.crop_px / crop.resize_px))
    return Region(x_px + (width_px - side_px) // 2, y_px + (height_px - side_px) // 2, side_px, side_px)


def _put_text(
    image: ImageArray, text: str, baseline: tuple[int, int], text_px: int, room_px: int, color: Color
) -> None:
    """Draw text whose capitals are ``text_px`` high, cut to ``room_px``."""
    scale = text_px / cv2.getTextSize("H", _FONT, 1.0, 1)[0][1]
    thickness = max(1, round(text_px / 14))
    cut = text
    while cut and cv2.getTextSize(cut if cut == text else cut + "..", _FONT, scale, thickness)[0][0] > room_px:
        cut = cut[:-1]
    cv2.putText(image, cut if cut == text else cut + "..", baseline, _FONT, scale, color, thickness, cv2.LINE_AA)


def _ascii(text: str) -> str:
    """Return the text in the letters that OpenCV's font has: accents go, anything else becomes "?"."""
    folded = unicodedata.normalize("NFKD", text)
    folded = "".join(character for character in folded if not unicodedata.combining(character))
    return "".join(character if " " <= character <= "~" else "?" for character in folded)
