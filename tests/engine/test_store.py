from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from googlenet_edge.bundle import Bundle
from googlenet_edge.engine.key import RECIPE, EngineKey
from googlenet_edge.engine.options import BuildOptions
from googlenet_edge.engine.sidecar import BuildFacts, GoldenCheck
from googlenet_edge.engine.store import EnginePlaces, EngineStore, StoredEngine
from googlenet_edge.errors import EngineError, OutputError

KEY = EngineKey("a" * 64, "tensorrt", "10.3.0.30", "8.7", "Orin", BuildOptions())
RTX = EngineKey("a" * 64, "tensorrt_rtx", "1.7.1.116", "8.6+12.0", "", BuildOptions(targets=("8.6", "12.0")))
FACTS = BuildFacts(1.5, "2026-11-22T15:00:00.000000Z", "0.1.0")
CHECK = GoldenCheck("Orin", "8.7", "12.6", "10.3.0.30", 3, True, "2e-05", "2026-11-22T15:01:00.000000Z")

Change = Callable[[Path, Path], None]


@pytest.fixture
def store(tmp_path: Path) -> EngineStore:
    return EngineStore((tmp_path / "engines",))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != ".lock")


def save(store: EngineStore, key: EngineKey = KEY, plan: bytes = b"plan" * 100, created: str = "") -> StoredEngine:
    with store.locked():
        return store.save(key, plan, replace(FACTS, created=created or FACTS.created))


def find(store: EngineStore, key: EngineKey, least_batch: int | None = None) -> StoredEngine | None:
    return store.look(key, least_batch=least_batch).engine


def reasons(store: EngineStore, key: EngineKey) -> str:
    """Why nothing serves this key."""
    lookup = store.look(key)
    assert lookup.engine is None
    assert lookup.plan == b""
    return "\n".join((*lookup.reasons, *lookup.others))


def test_a_plan_comes_back_with_all_that_was_said_of_it(store: EngineStore) -> None:
    facts = replace(FACTS, fallback=("conv1", "fc"))
    with store.locked():
        saved = store.save(KEY, b"the plan", facts, checks=(CHECK,))
    found = find(store, KEY)
    assert found == saved
    assert found is not None
    assert (found.key, found.facts, found.checks, found.size_bytes) == (KEY, facts, (CHECK,), 8)
    assert found.read() == b"the plan"
    assert names(found.path.parent) == [
        found.path.with_name(f"{found.path.stem}.json").name,
        found.path.name,
    ]
    assert found.path.name.startswith("tensorrt-10.3.0.30-sm87-")


def test_an_empty_store_has_nothing_and_makes_no_folder(store: EngineStore) -> None:
    assert reasons(store, KEY) == ""
    assert not store.folders[0].exists()


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (replace(KEY, onnx_sha256="b" * 64), f"ONNX graph (sha256): stored {'a' * 64}, here {'b' * 64}"),
        (replace(KEY, flavour="tensorrt_rtx"), "TensorRT flavour: stored tensorrt, here tensorrt_rtx"),
        (replace(KEY, tensorrt_version="10.3.0.26"), "TensorRT version: stored 10.3.0.30, here 10.3.0.26"),
        (replace(KEY, compute_capability="8.6"), "compute capability: stored 8.7, here 8.6"),
        (replace(KEY, device_name="Thor"), "device: stored Orin, here Thor"),
        (replace(KEY, options=BuildOptions(max_batch=4)), "option max_batch: stored 8, here 4"),
        (replace(KEY, options=BuildOptions(opt_batch=4)), "option opt_batch: stored 1, here 4"),
        (replace(KEY, options=BuildOptions(workspace_bytes=1 << 30)), "workspace_bytes: stored default, here 10737"),
        (replace(KEY, options=BuildOptions(optimization_level=5)), "option optimization_level: stored default, here 5"),
        (replace(KEY, options=BuildOptions(max_batch=1, dla_core=0)), "option dla_core: stored default, here 0"),
        (replace(KEY, options=BuildOptions(version_compatible=True)), "version_compatible: stored False, here True"),
        (replace(KEY, options=BuildOptions(hardware_compatible=True)), "hardware_compatible: stored False, here True"),
        (replace(KEY, recipe=RECIPE + 1), f"googlenet_edge's way of building: stored {RECIPE}, here {RECIPE + 1}"),
    ],
)  # fmt: skip
def test_the_reason_says_which_field_of_the_key_differs(store: EngineStore, wanted: EngineKey, said: str) -> None:
    path = save(store).path
    told = reasons(store, wanted)
    assert f"stored engine {str(path)!r} is not for this: " in told
    assert said in told
    # One that has only other options is in no one's way.
    assert bool(store.look(wanted).others) == said.removeprefix("option ").startswith(tuple(asdict(BuildOptions())))


def test_of_several_engines_the_nearest_is_named(store: EngineStore) -> None:
    save(store, replace(KEY, compute_capability="12.0", device_name="RTX", tensorrt_version="11.4"))
    near = save(store, replace(KEY, tensorrt_version="10.3.0.26"))
    assert reasons(store, KEY) == (
        f"stored engine {str(near.path)!r} is not for this: TensorRT version: stored 10.3.0.26, here 10.3.0.30"
    )


@pytest.mark.parametrize(
    ("capability", "served"), [("8.6", True), ("12.0", True), ("8.6+12.0", True), ("8.9", False), ("8.6+8.9", False)]
)
def test_an_rtx_engine_serves_each_of_its_targets(store: EngineStore, capability: str, *, served: bool) -> None:
    save(store, RTX)
    wanted = replace(RTX, compute_capability=capability, options=BuildOptions())
    assert (find(store, wanted) is not None) == served


def test_without_asked_options_the_smallest_engine_is_taken_and_of_those_the_last(store: EngineStore) -> None:
    save(store, replace(KEY, options=BuildOptions(opt_batch=4, max_batch=4)), created="2026-11-22T15:00:00.000000Z")
    new = save(store, replace(KEY, options=BuildOptions(max_batch=4)), created="2026-11-22T15:00:00.000001Z")
    old = save(store, replace(KEY, options=BuildOptions(max_batch=16)), created="2026-11-22T15:00:00.000002Z")
    save(store, replace(KEY, options=BuildOptions(2, 2, 2)), created="2026-11-23T15:00:00.000000Z")
    assert find(store, KEY) is None
    assert find(store, KEY, least_batch=1) == new
    assert find(store, KEY, least_batch=5) == old
    assert find(store, KEY, least_batch=17) is None
    assert find(store, replace(KEY, device_name="Thor"), least_batch=1) is None


def test_a_compatible_engine_serves_later_versions_or_other_devices(store: EngineStore) -> None:
    save(store, replace(KEY, options=BuildOptions(version_compatible=True)))
    assert find(store, replace(KEY, tensorrt_version="10.16.1"), least_batch=1) is not None
    assert find(store, replace(KEY, tensorrt_version="10.2.0"), least_batch=1) is None
    assert find(store, replace(KEY, tensorrt_version="11.0.0"), least_batch=1) is None
    desktop = replace(KEY, compute_capability="8.6", device_name="RTX 3060")
    save(store, replace(desktop, options=BuildOptions(hardware_compatible=True)))
    assert find(store, replace(desktop, compute_capability="8.9", device_name="RTX 4060"), least_batch=1) is not None
    assert find(store, replace(desktop, compute_capability="7.5", device_name="RTX 2060"), least_batch=1) is None


def cut(plan: Path, sidecar: Path) -> None:
    plan.write_bytes(plan.read_bytes()[:-1])


def flip(plan: Path, sidecar: Path) -> None:
    data = bytearray(plan.read_bytes())
    data[len(data) // 2] ^= 1
    plan.write_bytes(data)


def lose(plan: Path, sidecar: Path) -> None:
    plan.unlink()


def longer(plan: Path, sidecar: Path) -> None:
    plan.write_bytes(plan.read_bytes() + b"x")


def pipe(plan: Path, sidecar: Path) -> None:
    plan.unlink()
    os.mkfifo(plan)


def pipe_for_a_sidecar(plan: Path, sidecar: Path) -> None:
    sidecar.unlink()
    os.mkfifo(sidecar)


def empty_sidecar(plan: Path, sidecar: Path) -> None:
    sidecar.write_bytes(b"")


def cut_sidecar(plan: Path, sidecar: Path) -> None:
    sidecar.write_bytes(sidecar.read_bytes()[:300])


def edit_sidecar(plan: Path, sidecar: Path) -> None:
    text = sidecar.read_text()
    assert "10.3.0.30" in text
    sidecar.write_text(text.replace("10.3.0.30", "10.3.0.31"))


def huge_sidecar(plan: Path, sidecar: Path) -> None:
    with sidecar.open("r+b") as file:
        file.truncate(1 << 33)


def newer_sidecar(plan: Path, sidecar: Path) -> None:
    sidecar.write_text(json.dumps({"schema_version": 2}))


def no_object(plan: Path, sidecar: Path) -> None:
    sidecar.write_text("[1, 2]")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (cut, "got 399 bytes, expected 400: it was cut short"),
        (flip, "it was altered"),
        (lose, "No such file"),
        (empty_sidecar, "it is damaged: 0 bytes that are no JSON"),
        (cut_sidecar, "it is damaged: 300 bytes that are no JSON"),
        (edit_sidecar, "it is damaged: its contents do not fit its own sha256"),
        (longer, "got more than 400 bytes: it was altered"),
        (pipe, "cannot be read: it is a folder, pipe or device, not a regular file"),
        (pipe_for_a_sidecar, "cannot be used: it is a folder, pipe or device, not a regular file"),
        (huge_sidecar, "it is damaged: got more than 1 MiB"),
        (newer_sidecar, "it is of schema version 2, expected 1"),
        (no_object, "it is damaged: got no integer schema_version"),
    ],
)
def test_a_damaged_engine_is_not_found_and_the_reason_is_said(store: EngineStore, change: Change, said: str) -> None:
    path = save(store).path
    change(path, path.with_name(f"{path.name.removesuffix('.plan')}.json"))
    told = reasons(store, KEY)
    assert said in told
    assert str(path.parent) in told
    if change is pipe:
        with pytest.raises(OutputError, match=r"not a regular file; delete it, or keep engines in another folder with"):
            save(store, plan=b"new")
        path.unlink()
    rebuilt = save(store, plan=b"new")
    assert find(store, KEY) == rebuilt
    assert len(names(path.parent)) == 2


def test_links_in_the_places_of_an_engine_are_replaced_and_not_followed(store: EngineStore, tmp_path: Path) -> None:
    path = save(store).path
    mine = tmp_path / "mine"
    mine.write_text("mine")
    for place in (path, path.with_suffix(".json")):
        place.unlink()
        place.symlink_to(mine)
    saved = save(store)
    assert mine.read_text() == "mine"
    assert find(store, KEY) == saved
    assert not path.is_symlink()
    path.with_suffix(".json").rename(tmp_path / "record")
    path.with_suffix(".json").symlink_to(tmp_path / "record")
    record = (tmp_path / "record").read_bytes()
    store.record(saved, CHECK)
    assert (tmp_path / "record").read_bytes() == record


def test_what_passed_its_golden_frames_here_goes_first_and_what_missed_them_last(store: EngineStore) -> None:
    made = {most: save(store, replace(KEY, options=BuildOptions(max_batch=most))) for most in (4, 8, 16)}
    store.record(made[16], CHECK)
    store.record(made[4], replace(CHECK, passed=False))
    order = []
    for _ in made:
        found = store.look(KEY, least_batch=1, here=CHECK, skip=lambda engine: engine.key.options.max_batch in order)
        assert found.engine is not None
        order.append(found.engine.key.options.max_batch)
    assert order == [16, 8, 4]


def test_a_name_that_is_too_long_is_told_with_a_remedy(tmp_path: Path) -> None:
    store = EngineStore((tmp_path / ("a" * 300),))
    assert reasons(store, KEY) == ""
    with pytest.raises(OutputError, match="File name too long; make it writable, or name another folder"):
        store.writable()


def test_any_flipped_byte_of_a_sidecar_is_found(store: EngineStore) -> None:
    path = save(store).path
    sidecar = path.with_name(f"{path.name.removesuffix('.plan')}.json")
    data = sidecar.read_bytes()
    for index in range(0, len(data), 7):
        if chr(data[index]).isspace():
            continue  # it may become another kind of space, which says nothing
        damaged = bytearray(data)
        damaged[index] ^= 1
        sidecar.write_bytes(damaged)
        assert store.look(KEY).engine is None, f"byte {index}"
    sidecar.write_bytes(data)
    assert store.look(KEY).engine is not None


def test_an_engine_of_a_version_with_other_options_is_not_taken_for_ours(store: EngineStore) -> None:
    # As a later version of the package would write it: one more option, of which this one knows nothing.
    import hashlib

    import msgspec

    path = save(store).path
    sidecar = path.with_name(f"{path.name.removesuffix('.plan')}.json")
    document = json.loads(sidecar.read_text())
    document["key"]["options"]["sparsity"] = True
    document.pop("sidecar_sha256")
    document["key_sha256"] = hashlib.sha256(msgspec.json.encode(document["key"], order="sorted")).hexdigest()
    document["sidecar_sha256"] = hashlib.sha256(msgspec.json.encode(document, order="sorted")).hexdigest()
    sidecar.write_text(json.dumps(document))
    lookup = store.look(KEY)
    assert lookup.engine is None
    assert "of another version of googlenet_edge" in lookup.reasons[0]


def test_a_plan_that_changes_between_finding_and_reading_is_refused(store: EngineStore) -> None:
    engine = save(store)
    flip(engine.path, engine.path)
    with pytest.raises(EngineError, match=r"got sha256 [0-9a-f]{64}, expected [0-9a-f]{64}: it was altered"):
        engine.read()


def test_a_golden_check_is_recorded_once_for_each_device_and_driver(store: EngineStore) -> None:
    engine = save(store)
    assert engine.check_like(CHECK) is None
    store.record(engine, replace(CHECK, passed=False, detail="off"))
    engine = store.record(engine, CHECK)
    engine = store.record(engine, replace(CHECK, driver_version="13.0"))
    found = find(store, KEY)
    assert found == engine
    assert len(engine.checks) == 2
    assert engine.check_like(replace(CHECK, detail="x", date="y", passed=False)) == CHECK


def test_an_engine_of_an_older_version_makes_room_and_others_stay(store: EngineStore) -> None:
    older = replace(KEY, tensorrt_version="10.3.0.26")
    kept = (
        replace(older, options=BuildOptions(version_compatible=True)),
        replace(older, device_name="Thor", compute_capability="11.0"),
        replace(RTX, tensorrt_version="1.0.0"),
        replace(KEY, tensorrt_version="10.10.0"),
        replace(KEY, options=BuildOptions(max_batch=1)),
    )
    for key in (older, *kept):
        save(store, key)
    save(store, KEY)
    assert find(store, older) is None
    assert [key for key in (*kept, KEY) if find(store, key) is None] == []


def test_engines_of_another_graph_go_and_files_of_other_people_stay(store: EngineStore) -> None:
    former = save(store)
    folder = former.path.parent
    for name in ("notes.json", "mine.plan", f"{former.path.name}.copy"):
        (folder / name).write_text("{}")
    new = save(store, replace(KEY, onnx_sha256="c" * 64))
    sidecar = new.path.name.replace(".plan", ".json")
    assert names(folder) == sorted(["notes.json", "mine.plan", f"{former.path.name}.copy", new.path.name, sidecar])


def test_what_a_crashed_process_left_is_cleared_away(store: EngineStore) -> None:
    engine = save(store)
    orphan = engine.path.with_name("tensorrt-10.3.0.30-sm87-0123456789ab.plan")
    orphan.write_bytes(b"without a sidecar")
    old, fresh = (engine.path.with_name(f".{engine.path.name}.{number}.partial") for number in (1, 2))
    for path in (old, fresh):
        path.write_bytes(b"half a plan")
    hours_ago = old.stat().st_mtime - 7200
    os.utime(old, (hours_ago, hours_ago))
    with store.locked():
        pass
    assert [path.exists() for path in (orphan, old, fresh, engine.path)] == [False, False, True, True]


def test_the_folder_is_the_bundles_or_the_cache(tiny_bundle: Path, tmp_path: Path) -> None:
    bundle = Bundle.open(tiny_bundle)
    inside = tiny_bundle / "engines"
    fallback, cache = tmp_path / "fallback", tmp_path / "cache"
    assert EngineStore.for_bundle(bundle).folders == (inside,)
    with_fallback = EngineStore.for_bundle(bundle, EnginePlaces(fallback=fallback))
    assert with_fallback.folders == (inside, fallback / bundle.graph_sha256)
    with_cache = EngineStore.for_bundle(bundle, EnginePlaces(cache=cache, fallback=fallback))
    assert with_cache.folders == (cache / bundle.graph_sha256,)
    key = replace(KEY, onnx_sha256=bundle.graph_sha256)
    save(with_fallback, key)
    assert find(with_cache, key) is not None  # an engine that came with the bundle is used all the same
    assert save(with_cache, key).path.parent == cache / bundle.graph_sha256


def blocked(folder: Path) -> Path:
    """Make a folder that cannot be made: a file is in its place. Root may write everywhere, and tests may be root."""
    folder.write_text("in the way")
    return folder / "engines"


def test_where_the_bundle_cannot_be_written_the_fallback_serves(tmp_path: Path) -> None:
    inside, fallback = blocked(tmp_path / "bundle"), tmp_path / "fallback"
    store = EngineStore((inside, fallback))
    engine = save(store)
    assert engine.path.parent == fallback
    assert find(store, KEY) == engine


def test_where_nothing_can_be_written_one_message_names_all_folders(tmp_path: Path) -> None:
    store = EngineStore((blocked(tmp_path / "one"), blocked(tmp_path / "two")))
    with pytest.raises(
        OutputError, match=r"cannot be kept in '.*one/engines': Not a directory, nor in '.*two.*--cache"
    ):
        store.writable()
    with pytest.raises(OutputError), store.locked():
        pass


SAVER = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from test_store import save
from googlenet_edge.engine.store import EngineStore
from googlenet_edge.errors import OutputError
try:
    save(EngineStore((Path({folder!r}),)), plan=b"p" * {size_bytes})
except OutputError as error:
    print(error)
    raise SystemExit(1)
"""


def save_on_full_disk(folder: Path, size_bytes: int, limit_bytes: int) -> str:
    """Store a plan in a process whose files end at a limit, as on a disk that is full; return its message."""

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, limit_bytes))

    code = SAVER.format(tests=str(Path(__file__).parent), folder=str(folder), size_bytes=size_bytes)
    done = subprocess.run(
        [sys.executable, "-c", code], preexec_fn=limit, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (1, "")
    return done.stdout


def test_a_disk_too_full_for_a_plan_leaves_the_former_one_as_it_was(store: EngineStore) -> None:
    former = save(store)
    said = save_on_full_disk(store.folders[0], 200_000, 100_000)
    assert said.startswith("engine '")
    assert "cannot be written: File too large; make room there, or keep engines in another folder with --cache" in said
    assert find(store, KEY) == former
    assert len(names(store.folders[0])) == 2


def test_a_disk_too_full_for_the_sidecar_leaves_no_plan_without_one(store: EngineStore) -> None:
    said = save_on_full_disk(store.folders[0], 100, 500)
    assert said.startswith("record of the engine '")
    assert names(store.folders[0]) == []
