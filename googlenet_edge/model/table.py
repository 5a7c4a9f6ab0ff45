"""Table 1 of "Going deeper with convolutions" (Szegedy et al., 2014, arXiv:1409.4842) as data, one row a module.

:data:`TABLE` is the network; a :class:`Form` says how its rows are read: which kernel stands in the third branch,
whether convolutions carry a bias or a batch norm, whether the stem has local response normalisation. ``googlenet.py``
builds from both.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, TypeAlias

from googlenet_edge.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "FORMS",
    "KERAS_FORM",
    "TABLE",
    "Conv",
    "Form",
    "Inception",
    "Kernel",
    "Linear",
    "Lrn",
    "Pool",
    "Row",
    "form_named",
    "split_kernel",
]

Kernel: TypeAlias = tuple[int, int]
"""Kernel height and width."""


@dataclass(frozen=True)
class Conv:
    """A convolution, square, padded to keep the size (but for its stride)."""

    name: str
    out_channels: int
    kernel: int
    stride: int = 1


@dataclass(frozen=True)
class Pool:
    """A max pool; the output size is rounded up, as in the paper."""

    name: str
    kernel: int
    stride: int


@dataclass(frozen=True)
class Lrn:
    """Local response normalisation; only in forms with ``lrn=True``."""

    name: str


@dataclass(frozen=True)
class Inception:
    """An inception module "with dimension reductions"; the numbers are output channels, named as in Table 1."""

    name: str
    conv1x1: int
    conv3x3_reduce: int
    conv3x3: int
    conv5x5_reduce: int
    conv5x5: int
    pool_proj: int
    auxiliary: str | None = None
    """Name of the auxiliary classifier that hangs on this module's output while training."""

    @property
    def out_channels(self) -> int:
        """Channels after the concatenation."""
        return self.conv1x1 + self.conv3x3 + self.conv5x5 + self.pool_proj


@dataclass(frozen=True)
class Linear:
    """Global average pool, dropout and the classifier."""

    name: str
    dropout: float


Row: TypeAlias = Conv | Pool | Lrn | Inception | Linear

TABLE: tuple[Row, ...] = (
    Conv("conv1", 64, kernel=7, stride=2),
    Pool("maxpool1", kernel=3, stride=2),
    Lrn("lrn1"),
    Conv("conv2", 64, kernel=1),
    Conv("conv3", 192, kernel=3),
    Lrn("lrn2"),
    Pool("maxpool2", kernel=3, stride=2),
    #                         1x1  3x3r 3x3  5x5r 5x5  pool
    Inception("inception3a", 64, 96, 128, 16, 32, 32),
    Inception("inception3b", 128, 128, 192, 32, 96, 64),
    Pool("maxpool3", kernel=3, stride=2),
    Inception("inception4a", 192, 96, 208, 16, 48, 64, auxiliary="aux1"),
    Inception("inception4b", 160, 112, 224, 24, 64, 64),
    Inception("inception4c", 128, 128, 256, 24, 64, 64),
    Inception("inception4d", 112, 144, 288, 32, 64, 64, auxiliary="aux2"),
    Inception("inception4e", 256, 160, 320, 32, 128, 128),
    Pool("maxpool4", kernel=3, stride=2),
    Inception("inception5a", 256, 160, 320, 32, 128, 128),
    Inception("inception5b", 384, 192, 384, 48, 128, 128),
    Linear("fc", dropout=0.4),
)


@dataclass(frozen=True)
class Form:
    """How the rows of the table are read."""

    name: str
    third_branch: Literal["3x3", "5x5", "two 3x3"] = "5x5"
    """What stands where the table says 5x5. torchvision has 3x3; two 3x3 see as far as one 5x5. They cost 28 % less
    where channels in and out are as many; here, where two to four times as many come out, they cost 8 to 80 %
    more."""
    asymmetric: bool = False
    """Inside inception modules, n x n becomes 1 x n then n x 1 (Szegedy et al. 2015, arXiv:1512.00567, section 3.2)."""
    batch_norm: bool = True
    """Batch norm (eps 0.001) after each convolution, which then has no bias; without it, a bias."""
    lrn: bool = False
    """Local response normalisation in the stem (size 5, alpha 1e-4, beta 0.75, k 1)."""
    maxpool4_kernel: int = 3
    """torchvision's fourth max pool is 2 x 2, the paper's is 3 x 3."""


FORMS: Mapping[str, Form] = MappingProxyType(
    {
        form.name: form
        for form in (
            Form("torchvision", third_branch="3x3", maxpool4_kernel=2),
            Form("paper", batch_norm=False, lrn=True),
            Form("factorized", third_branch="two 3x3"),
            Form("factorized-asymmetric", asymmetric=True),
        )
    }
)
"""The forms by name."""

KERAS_FORM = "keras-inception"
"""The small two-module network of ``keras_inception.py``, which is not read from :data:`TABLE`."""


def form_named(name: str) -> Form:
    """Return the form of :data:`FORMS` with this name. Raises :class:`UsageError` for any other name."""
    try:
        return FORMS[name]
    except KeyError:
        known = ", ".join([*FORMS, KERAS_FORM])
        raise UsageError(f"model form: got {name!r}, expected one of {known}") from None


def split_kernel(size: int, form: Form, *, third_branch: bool) -> tuple[Kernel, ...]:
    """Return the kernels, in order, that stand for an n x n convolution of an inception module in this form."""
    if third_branch and form.third_branch != "5x5":
        squares = (3,) if form.third_branch == "3x3" else (3, 3)
    else:
        squares = (size,)
    if form.asymmetric:
        return tuple(kernel for n in squares for kernel in ((1, n), (n, 1)))
    return tuple((n, n) for n in squares)
