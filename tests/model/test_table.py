"""Table 1 as data."""

from __future__ import annotations

import pytest

from googlenet_edge.errors import UsageError
from googlenet_edge.model.table import FORMS, TABLE, Inception, form_named, split_kernel

# Table 1 of the paper: 1x1, 3x3 reduce, 3x3, 5x5 reduce, 5x5, pool proj, output.
PUBLISHED = {
    "inception3a": (64, 96, 128, 16, 32, 32, 256),
    "inception3b": (128, 128, 192, 32, 96, 64, 480),
    "inception4a": (192, 96, 208, 16, 48, 64, 512),
    "inception4b": (160, 112, 224, 24, 64, 64, 512),
    "inception4c": (128, 128, 256, 24, 64, 64, 512),
    "inception4d": (112, 144, 288, 32, 64, 64, 528),
    "inception4e": (256, 160, 320, 32, 128, 128, 832),
    "inception5a": (256, 160, 320, 32, 128, 128, 832),
    "inception5b": (384, 192, 384, 48, 128, 128, 1024),
}


def test_the_inception_rows_are_those_of_the_paper() -> None:
    rows = {
        row.name: (
            *(row.conv1x1, row.conv3x3_reduce, row.conv3x3, row.conv5x5_reduce, row.conv5x5, row.pool_proj),
            row.out_channels,
        )
        for row in TABLE
        if isinstance(row, Inception)
    }
    assert rows == PUBLISHED


def test_the_auxiliary_heads_hang_on_4a_and_4d() -> None:
    heads = {row.name: row.auxiliary for row in TABLE if isinstance(row, Inception) and row.auxiliary}
    assert heads == {"inception4a": "aux1", "inception4d": "aux2"}


@pytest.mark.parametrize(
    ("form", "second", "third"),
    [
        ("torchvision", ((3, 3),), ((3, 3),)),
        ("paper", ((3, 3),), ((5, 5),)),
        ("factorized", ((3, 3),), ((3, 3), (3, 3))),
        ("factorized-asymmetric", ((1, 3), (3, 1)), ((1, 5), (5, 1))),
    ],
)
def test_kernels_of_each_form(form: str, second: object, third: object) -> None:
    assert split_kernel(3, FORMS[form], third_branch=False) == second
    assert split_kernel(5, FORMS[form], third_branch=True) == third


def test_an_unknown_form_names_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"got 'resnet', expected one of torchvision, paper, .*keras-inception"):
        form_named("resnet")


def test_the_forms_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        FORMS["mine"] = FORMS["paper"]  # type: ignore[index]
