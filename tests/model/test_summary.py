"""The summary says of each row what the network really does."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from googlenet_edge.errors import InputError
from googlenet_edge.model.checkpoint import build_network
from googlenet_edge.model.summary import BranchWidths, NetworkSummary, compare_forms, summarize
from googlenet_edge.model.table import FORMS, KERAS_FORM

# Rows of Table 1 at 224 x 224: (channels, height and width) after the row.
STEM = {"conv1": (64, 112), "maxpool1": (64, 56), "conv2": (64, 56), "conv3": (192, 56), "maxpool2": (192, 28)}
MODULES = {
    "inception3a": ((64, 96, 128, 16, 32, 32), (256, 28)),
    "inception3b": ((128, 128, 192, 32, 96, 64), (480, 28)),
    "inception4a": ((192, 96, 208, 16, 48, 64), (512, 14)),
    "inception4b": ((160, 112, 224, 24, 64, 64), (512, 14)),
    "inception4c": ((128, 128, 256, 24, 64, 64), (512, 14)),
    "inception4d": ((112, 144, 288, 32, 64, 64), (528, 14)),
    "inception4e": ((256, 160, 320, 32, 128, 128), (832, 14)),
    "inception5a": ((256, 160, 320, 32, 128, 128), (832, 7)),
    "inception5b": ((384, 192, 384, 48, 128, 128), (1024, 7)),
}
POOLS = {"maxpool3": (480, 14), "maxpool4": (832, 7)}


@pytest.fixture(scope="module")
def forms() -> dict[str, NetworkSummary]:
    return {summary.form: summary for summary in compare_forms()}


@pytest.mark.parametrize("form", list(FORMS))
def test_table_1_row_by_row(form: str, forms: dict[str, NetworkSummary]) -> None:
    rows = {row.name: row for row in forms[form].rows}
    for name, (channels, size) in {**STEM, **POOLS}.items():
        assert rows[name].output_shape == (channels, size, size), name
        assert rows[name].widths is None
    for name, (widths, (channels, size)) in MODULES.items():
        assert rows[name].widths == BranchWidths(*widths), name
        assert rows[name].output_shape == (channels, size, size), name
    lrn = {"lrn1": (64, 56), "lrn2": (192, 56)} if form == "paper" else {}
    for name, (channels, size) in lrn.items():
        assert rows[name].output_shape == (channels, size, size)
    assert rows["avgpool"].output_shape == (1024, 1, 1)
    assert rows["dropout"].output_shape == (1024,)
    assert rows["fc"].output_shape == (1000,)
    assert list(rows)[-3:] == ["avgpool", "dropout", "fc"]
    assert len(rows) == len(STEM) + len(MODULES) + len(POOLS) + len(lrn) + 3
    inputs = [row.input_shape for row in forms[form].rows[1:-2]]
    assert inputs == [row.output_shape for row in forms[form].rows[:-3]]  # each row takes what the one before it gave


@pytest.mark.parametrize(
    ("form", "parameters", "macs"),
    [
        ("torchvision", 6_624_904, 1_498_376_192),
        ("paper", 6_998_552, 1_582_671_872),
        ("factorized", 7_292_264, 1_639_721_984),
        ("factorized-asymmetric", 6_854_280, 1_509_615_616),
        (KERAS_FORM, 50_688, 173_239_552),
    ],
)
def test_totals(form: str, parameters: int, macs: int, forms: dict[str, NetworkSummary]) -> None:
    assert (forms[form].parameters, forms[form].macs) == (parameters, macs)
    assert next(iter(forms)) == "torchvision"


def test_macs_by_hand(forms: dict[str, NetworkSummary]) -> None:
    rows = {row.name: row for row in forms["paper"].rows}
    assert rows["conv1"].macs == 112 * 112 * 64 * 3 * 7 * 7
    assert rows["fc"].macs == 1024 * 1000
    assert rows["maxpool1"].macs == rows["lrn1"].macs == rows["avgpool"].macs == 0
    of_3a = 192 * (64 + 96 + 16 + 32) + 96 * 128 * 9 + 16 * 32 * 25
    assert rows["inception3a"].macs == 28 * 28 * of_3a
    assert rows["inception3a"].parameters == of_3a + 64 + 96 + 128 + 16 + 32 + 32
    factorized = {row.name: row for row in forms["factorized-asymmetric"].rows}
    chains = 96 * 128 * 3 + 128 * 128 * 3 + 16 * 32 * 5 + 32 * 32 * 5
    assert factorized["inception3a"].macs == 28 * 28 * (192 * (64 + 96 + 16 + 32) + chains)


def test_operations(forms: dict[str, NetworkSummary]) -> None:
    names = ("conv1", "maxpool4", "inception3a", "fc", "avgpool", "dropout")
    operations = {form: {row.name: row.operation for row in summary.rows} for form, summary in forms.items()}
    assert [operations["torchvision"][name] for name in names] == [
        *("conv 7x7/2", "max pool 2x2/2", "inception 3x3, 3x3", "linear", "global average pool", "dropout 0.4")
    ]
    assert operations["paper"]["maxpool4"] == "max pool 3x3/2"
    assert operations["paper"]["lrn1"] == "local response norm 5"
    assert operations["factorized"]["inception3a"] == "inception 3x3, 3x3 + 3x3"
    assert operations["factorized-asymmetric"]["inception3a"] == "inception 1x3 + 3x1, 1x5 + 5x1"
    assert operations[KERAS_FORM]["a"] == "conv 1x1/1, average pool 1x1/2"


def test_it_agrees_with_a_real_pass_and_leaves_the_network_alone() -> None:
    network = build_network("paper", 5, auxiliary=True)  # in training mode, with auxiliary heads
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    summary = summarize(network, 65)
    assert network.training
    assert not any(module._forward_hooks for module in network.modules())
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert not any(row.name.startswith("aux") for row in summary.rows)
    assert (summary.class_count, summary.input_px) == (5, 65)

    shapes: dict[str, tuple[int, ...]] = {}
    for name, module in network.named_children():
        module.register_forward_hook(lambda _, __, output, name=name: shapes.update({name: tuple(output.shape[1:])}))
    with torch.inference_mode():
        network.eval()(torch.rand(1, 3, 65, 65))
    assert {row.name: row.output_shape for row in summary.rows} == shapes


def test_grey_input() -> None:
    assert summarize(build_network(KERAS_FORM, 5, channels=1), 32).rows[0].input_shape == (1, 32, 32)


@pytest.mark.parametrize(
    ("form", "input_px"), [("torchvision", 31), ("torchvision", 4097), (KERAS_FORM, 3), ("paper", -1)]
)
def test_sizes_that_make_no_sense(form: str, input_px: int) -> None:
    with torch.device("meta"):
        network: nn.Module = build_network(form)
    with pytest.raises(InputError, match=f"got {input_px} pixels, expected"):
        summarize(network, input_px)


def test_the_smallest_sizes_work() -> None:
    assert all(row.output_shape for summary in compare_forms(2, 32) for row in summary.rows)
