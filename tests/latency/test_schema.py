from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from googlenet_edge.latency.schema import derived_schema, report_schema
from tests.latency.report_files import Run, steady, write_run

jsonschema = pytest.importorskip("jsonschema")


@pytest.fixture
def validator() -> Any:
    schema = json.loads(report_schema())
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


@pytest.fixture
def document(tmp_path: Path) -> Any:
    return json.loads(write_run(tmp_path / "r.json", Run({"a": steady(20), "b": steady(20)})).read_text())


def test_the_published_schema_is_the_one_that_follows_from_the_reader() -> None:
    """`googlenet_edge.latency.schema.derived_schema` gives the text of report_schema.json where the two differ."""
    assert json.loads(report_schema()) == derived_schema()


def test_the_schema_says_which_draft_it_is() -> None:
    assert json.loads(report_schema())["$schema"] == "https://json-schema.org/draft/2020-12/schema"


@pytest.mark.parametrize(
    "run",
    [
        Run({None: steady(700)}, device=(("compute", 1_000_000),)),
        Run({None: steady(1)}),
        Run({"a": steady(20), "b": steady(20)}),
        Run({None: steady(200)}, capacity=20),
    ],
)
def test_reports_of_runs_are_valid(validator: Any, tmp_path: Path, run: Run) -> None:
    validator.validate(json.loads(write_run(tmp_path / "r.json", run).read_text()))


def test_sections_to_come_are_valid(validator: Any, document: Any) -> None:
    document["events"] = [{"kind": "throttled", "from_s": 1.0, "to_s": 2.0}]
    document["power"] = {"joules_per_frame": 0.1}
    validator.validate(document)


def _version(document: Any) -> None:
    document["schema_version"] = 2


def _text(document: Any) -> None:
    document["latency"]["stages"]["queue"]["mean_ms"] = "1"


def _negative(document: Any) -> None:
    document["frames"]["measured"] = -1


def _missing(document: Any) -> None:
    del document["warmup"]


def _camera(document: Any) -> None:
    document["cameras"][0]["live"] = "yes"


@pytest.mark.parametrize("change", [_version, _text, _negative, _missing, _camera])
def test_what_is_wrong_is_not_valid(validator: Any, document: Any, change: Callable[[Any], None]) -> None:
    validator.validate(document)
    change(document)
    with pytest.raises(jsonschema.ValidationError):
        validator.validate(document)
