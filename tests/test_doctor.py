from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from googlenet_edge.doctor import FEATURES, Machine, examine
from googlenet_edge.doctor.board import read_board, read_cameras, read_resources
from googlenet_edge.doctor.facts import (
    Board,
    Camera,
    CudaDriver,
    Diagnosis,
    GStreamer,
    Package,
    PythonInstall,
    Resources,
)
from googlenet_edge.doctor.features import judge
from googlenet_edge.doctor.software import (
    CSI_ELEMENTS,
    PACKAGES,
    PIPELINE_ELEMENTS,
    read_cuda,
    read_gstreamer,
    read_packages,
    read_python,
)


def write(path: Path, text: str, *, executable: bool = False) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    if executable:
        path.chmod(0o755)
    return path


# ---- files of a Jetson, made up from what one has


@pytest.fixture
def jetson(tmp_path: Path) -> Machine:
    root = tmp_path / "jetson"
    write(root / "proc/device-tree/model", "NVIDIA Jetson Orin Nano Developer Kit\0")
    write(root / "proc/device-tree/compatible", "nvidia,p3768-0000+p3767-0005\0nvidia,tegra234\0")
    write(
        root / "etc/nv_tegra_release", "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64\n"
    )
    write(root / "etc/os-release", 'NAME="Ubuntu"\nPRETTY_NAME="Ubuntu 22.04.5 LTS"\n')
    write(
        root / "var/lib/dpkg/status",
        "Package: nvidia-jetpack-runtime\nStatus: install ok installed\nVersion: 6.0\n\n"
        "Package: nvidia-jetpack\nStatus: install ok installed\nArchitecture: arm64\nVersion: 6.2.1+b38\n",
    )
    write(root / "usr/sbin/nvpmodel", "#!/bin/sh\necho 'NV Power Mode: MAXN_SUPER'\necho 2\n", executable=True)
    write(root / "proc/meminfo", "MemTotal:        7802828 kB\nMemFree:  100 kB\nMemAvailable:    5120000 kB\n")
    for core in range(2):
        folder = root / f"sys/devices/system/cpu/cpu{core}/cpufreq"
        for name, value in (
            ("scaling_min_freq", 729600),
            ("scaling_max_freq", 1728000),
            ("scaling_governor", "schedutil"),
        ):
            write(folder / name, f"{value}\n")
    for number, name in ((0, "vi-output, imx219 9-0010"), (10, "HD Pro Webcam C920")):
        write(root / f"dev/video{number}", "")
        write(root / f"sys/class/video4linux/video{number}/name", f"{name}\n")
    return Machine(root=root, architecture="aarch64", folder=tmp_path)


def test_a_jetson_is_read_from_its_files(jetson: Machine) -> None:
    board = read_board(jetson)
    assert board.is_jetson
    assert board.model == "NVIDIA Jetson Orin Nano Developer Kit"
    assert (board.l4t, board.jetpack, board.system) == ("36.4.3", "6.2.1+b38", "Ubuntu 22.04.5 LTS")
    assert board.power_mode == "MAXN_SUPER (2)"
    assert (board.clocks, board.clocks_locked) == ("729 to 1728 MHz, governor schedutil", False)
    assert [(camera.device, camera.name) for camera in read_cameras(jetson)] == [
        ("/dev/video0", "vi-output, imx219 9-0010"),
        ("/dev/video10", "HD Pro Webcam C920"),
    ]
    resources = read_resources(jetson)
    assert resources.memory_available_bytes == 5_000 * 2**20
    assert resources.disk_free_bytes == pytest.approx(shutil.disk_usage(jetson.folder).free, rel=0.1)


@pytest.mark.parametrize(
    ("release", "jetpack"),
    [
        ("R35 (release), REVISION: 4.1", "5.1"),
        ("R36 (release), REVISION: 3.0", "6.0"),
        ("R39 (release), REVISION: 2.0", "7.2"),
    ],
)
def test_jetpack_follows_from_l4t_where_the_package_is_missing(jetson: Machine, release: str, jetpack: str) -> None:
    (jetson.root / "var/lib/dpkg/status").unlink()
    write(jetson.root / "etc/nv_tegra_release", f"# {release}, GCID: 1\n")
    assert read_board(jetson).jetpack == jetpack


def test_in_a_container_the_kernel_tells_that_it_is_a_jetson(tmp_path: Path) -> None:
    board = Machine(root=tmp_path, architecture="aarch64", folder=tmp_path)
    assert not read_board(board).is_jetson
    write(tmp_path / "proc/sys/kernel/osrelease", "5.15.148-tegra\n")
    assert read_board(board).is_jetson


def test_the_power_mode_without_permission_to_ask(jetson: Machine) -> None:
    write(jetson.root / "usr/sbin/nvpmodel", "#!/bin/sh\necho 'must be root' >&2\nexit 1\n", executable=True)
    assert read_board(jetson).power_mode is None
    write(jetson.root / "var/lib/nvpmodel/status", "pmode:0001\n")
    assert read_board(jetson).power_mode == "mode 1"
    write(jetson.root / "etc/nvpmodel.conf", "< POWER_MODEL ID=0 NAME=15W >\n< POWER_MODEL ID=1 NAME=25W >\n")
    assert read_board(jetson).power_mode == "25W (1)"


@pytest.mark.parametrize(
    ("modes", "number"), [("0 NAME=15W", None), ("0 NAME=MAXN", 0), ("2 NAME=MAXN_SUPER", 2), ("1 NAME=MODE_30W", None)]
)
def test_the_fastest_mode_is_found_by_its_name(jetson: Machine, modes: str, number: int | None) -> None:
    write(jetson.root / "etc/nvpmodel.conf", f"< POWER_MODEL ID={modes} >\n< POWER_MODEL ID=7 NAME=7W >\n")
    assert read_board(jetson).fastest_mode == number


def test_locked_clocks(jetson: Machine) -> None:
    for core in range(2):
        write(jetson.root / f"sys/devices/system/cpu/cpu{core}/cpufreq/scaling_min_freq", "1728000\n")
    board = read_board(jetson)
    assert (board.clocks, board.clocks_locked) == ("fixed at 1728 MHz, governor schedutil", True)


def test_a_bare_tree_is_no_error(tmp_path: Path) -> None:
    machine = Machine(root=tmp_path, folder=tmp_path / "gone")
    board = read_board(machine)
    assert not board.is_jetson
    assert board.system == "unknown"
    assert read_cameras(machine) == ()
    assert read_resources(machine) == Resources(None, None, None)


def test_a_pci_bus_with_and_without_a_card(tmp_path: Path) -> None:
    assert read_board(Machine(root=tmp_path)).nvidia_gpu_on_pci is None
    write(tmp_path / "sys/bus/pci/devices/0000:00:00.0/vendor", "0x8086\n")
    assert read_board(Machine(root=tmp_path)).nvidia_gpu_on_pci is False
    write(tmp_path / "sys/bus/pci/devices/0000:01:00.0/vendor", "0x10de\n")
    assert read_board(Machine(root=tmp_path)).nvidia_gpu_on_pci is True


# ---- packages, really imported by processes of their own

BROKEN = {
    "raises": "raise RuntimeError('no such\\n  symbol')",
    "exits": "raise SystemExit(3)",
    "lacks": "import a_module_that_is_not_there",
    "crashes": "import os, signal\nos.kill(os.getpid(), signal.SIGILL)",
    "ends": "import os\nos._exit(7)",
    "prints": "print('{\"done\": \"x\"}', flush=True)\n__version__ = '1.5'",
    "hangs": "import time\ntime.sleep(60)",
    "closes": "import os\nos.closerange(0, 256)\nraise OSError('closed')",
}


@pytest.fixture
def broken(tmp_path: Path) -> Machine:
    for name, code in BROKEN.items():
        write(tmp_path / "site" / name / "__init__.py", code)
    return Machine(package_paths=(tmp_path / "site",), import_timeout_s=20)


def test_whatever_an_import_does_costs_only_itself(broken: Machine) -> None:
    names = ("raises", "json", "exits", "lacks", "crashes", "ends", "prints", "not_there", "email")
    found = broken.look_at(*names)
    assert set(found) == set(names)
    errors = {name: found[name].get("error") for name in names}
    assert errors["raises"] == "RuntimeError: no such symbol"
    assert errors["exits"] == "SystemExit: 3"
    assert "a_module_that_is_not_there" in str(errors["lacks"])
    assert "SIGILL" in str(errors["crashes"])
    assert "exit code 7" in str(errors["ends"])
    assert [name for name in names if errors[name] is None] == ["json", "prints", "not_there", "email"]
    assert found["prints"]["version"] == "1.5"
    assert found["not_there"]["installed"] is False


def test_an_import_that_never_ends_is_ended(broken: Machine) -> None:
    found = replace(broken, import_timeout_s=3.0).look_at("json", "hangs", "email")
    assert found["hangs"]["error"] == "the import did not end within 3 s"
    assert found["json"].get("error") is found["email"].get("error") is None


def test_an_import_that_closes_our_pipe(broken: Machine) -> None:
    found = broken.look_at("closes", "json")
    assert "error" in found["closes"]
    assert found["json"]["installed"] is True


def test_a_python_that_cannot_be_started(tmp_path: Path) -> None:
    machine = Machine(python=PythonInstall((3, 10, 0), str(tmp_path / "python"), "", ""))
    assert "could not be started" in str(machine.look_at("json")["json"]["error"])


def test_real_packages_are_described() -> None:
    packages = read_packages(Machine(), [("numpy", "cv2"), ("onnxruntime",)])
    assert list(packages) == ["numpy", "cv2", "onnxruntime"]
    opencv, runtime = packages["cv2"], packages["onnxruntime"]
    assert opencv.works
    assert runtime.works
    assert str(opencv.details["FFMPEG"]).startswith(("YES", "NO"))
    assert opencv.distributions.keys() <= {"opencv-python", "opencv-python-headless", "opencv-contrib-python"}
    providers = runtime.details["providers"]
    assert isinstance(providers, list)
    assert "CPUExecutionProvider" in providers
    assert packages["numpy"].version is not None


def test_the_doctor_itself_needs_no_package() -> None:
    code = "import sys, googlenet_edge.doctor; print({'numpy', 'cv2', 'rich', 'torch'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "set()"


def test_a_package_of_the_systems_python_is_found_where_this_one_does_not_look(jetson: Machine) -> None:
    write(jetson.root / "usr/lib/python3.10/dist-packages/tensorrt/__init__.py", "")
    write(jetson.root / "usr/lib/python3.10/dist-packages/cv2.cpython-310-aarch64-linux-gnu.so", "")
    packages = read_packages(jetson, [("tensorrt", "cv2")])
    assert packages["tensorrt"].hidden == "/usr/lib/python3.10/dist-packages"
    assert packages["cv2"].hidden == "/usr/lib/python3.10/dist-packages"


@pytest.mark.parametrize(
    ("line", "expected"), [("include-system-site-packages = true", True), ("home = /usr/bin", False)]
)
def test_what_the_virtual_environment_sees(tmp_path: Path, line: str, expected: bool) -> None:
    write(tmp_path / "pyvenv.cfg", f"{line}\n")
    python = PythonInstall((3, 10, 12), sys.executable, str(tmp_path), "/usr")
    assert read_python(Machine(python=python)).system_site_packages is expected
    outside = replace(python, base_prefix=str(tmp_path))
    assert read_python(Machine(python=outside)).system_site_packages is None


# ---- the CUDA driver: a stand-in for hardware, compiled, and called as the real one is

DRIVER = r"""
#include <stddef.h>
#include <string.h>
int cuDriverGetVersion(int *v) { *v = 12060; return 0; }
int cuInit(unsigned f) { return INIT; }
int cuGetErrorName(int e, const char **s) { *s = "CUDA_ERROR_NO_DEVICE"; return e == 100 ? 0 : 1; }
int cuDeviceGetCount(int *n) { *n = 1; return 0; }
int cuDeviceGet(int *d, int i) { *d = 7 + i; return 0; }
int cuDeviceGetName(char *s, int n, int d) { strncpy(s, "Orin", n); return d == 7 ? 0 : 101; }
int cuDeviceTotalMem_v2(size_t *m, int d) { *m = (size_t)7 << 30; return d == 7 ? 0 : 101; }
int cuDeviceGetAttribute(int *v, int a, int d) { *v = a == 75 ? 8 : a == 76 ? 7 : -1; return d == 7 ? 0 : 101; }
"""


def driver(tmp_path: Path, init: int) -> CudaDriver:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("needs a C compiler, to stand in for a driver that only comes with a GPU")
    source, library = write(tmp_path / "driver.c", DRIVER), tmp_path / "libcuda.so.1"
    subprocess.run([compiler, "-shared", "-fPIC", f"-DINIT={init}", "-o", library, source], check=True, timeout=60)
    return read_cuda(Machine(cuda_library=str(library)))


def test_a_driver_with_a_device(tmp_path: Path) -> None:
    cuda = driver(tmp_path, init=0)
    assert (cuda.version, cuda.error) == ("12.6", None)
    (device,) = cuda.devices
    assert (device.name, device.compute_capability, device.memory_bytes) == ("Orin", "8.7", 7 * 2**30)


def test_a_driver_without_a_device(tmp_path: Path) -> None:
    cuda = driver(tmp_path, init=100)
    assert (cuda.version, cuda.devices, cuda.error) == ("12.6", (), "cuInit failed: CUDA_ERROR_NO_DEVICE")


def test_no_driver(tmp_path: Path) -> None:
    cuda = read_cuda(Machine(cuda_library=str(tmp_path / "libcuda.so.1")))
    assert cuda.version is None
    assert "libcuda.so.1" in str(cuda.error)


# ---- what is missing, and what mends it

ORIN = Board("Cortex-A78AE", "aarch64", "Ubuntu 22.04.5 LTS", model="Orin", is_jetson=True, l4t="36.4.3", jetpack="6.2")
DESKTOP = Board("a CPU", "x86_64", "Debian GNU/Linux 12", nvidia_gpu_on_pci=True)
VENV = PythonInstall((3, 10, 12), "/v/bin/python", "/v", "/usr", system_site_packages=False)


def machine(board: Board, python: PythonInstall = VENV, **packages: Package) -> Diagnosis:
    """A diagnosis in which only the given packages are installed; a name's dots are written as underscores."""
    found = {name: packages.get(name.replace(".", "_"), Package(name, installed=False)) for name in PACKAGES}
    return Diagnosis("0", python, found, CudaDriver(None, error="libcuda.so.1"), board, Resources(None, None, None), ())


def works(name: str, version: str = "1.0", **details: object) -> Package:
    return Package(name, installed=True, version=version, path=f"/v/lib/{name}/__init__.py", details=details)


def lacks(diagnosis: Diagnosis, feature: str) -> str:
    (found,) = (found for found in judge(diagnosis) if found.name == feature)
    return "\n".join(f"{need.what} -> {need.remedy}" for need in found.missing)


@pytest.mark.parametrize("board", [ORIN, DESKTOP])
def test_every_need_names_a_remedy(board: Board) -> None:
    features = judge(machine(board))
    assert [feature.name for feature in features] == list(FEATURES)
    for feature in features:
        assert feature.ready == (feature.name == "steady-clocks")
        assert all(need.what and need.remedy for need in feature.missing)


def test_classifying_on_the_cpu() -> None:
    desktop = machine(DESKTOP)
    assert "pip install '.[cpu]'" in lacks(desktop, "classify-cpu")
    assert "[cpu]" not in lacks(machine(ORIN), "classify-cpu")  # it would bring an OpenCV that hides JetPack's
    ready = machine(DESKTOP, numpy=works("numpy"), cv2=works("cv2"), onnxruntime=works("onnxruntime"))
    assert not lacks(ready, "classify-cpu")


def test_a_broken_package_shows_what_its_import_raised() -> None:
    torch = Package("torch", installed=True, error="OSError: libcudnn.so.9", distributions={"torch": "2.13.0"})
    assert "torch is installed but fails: OSError: libcudnn.so.9 -> pip install --force" in lacks(
        machine(DESKTOP, torch=torch), "export"
    )
    opencv = Package("cv2", installed=True, error="ImportError: libGL.so.1: cannot open shared object file")
    assert "sudo apt install libgl1" in lacks(machine(DESKTOP, cv2=opencv), "video-files")


def gstreamer(*missing: str, launch: str | None = "/usr/bin/gst-launch-1.0") -> GStreamer:
    return GStreamer(launch, {name: name not in missing for name in (*PIPELINE_ELEMENTS, *CSI_ELEMENTS)})


@pytest.mark.parametrize("feature", ["gstreamer", "csi-camera"])
def test_pipelines_need_gstreamers_programs_and_no_opencv_that_is_built_with_it(feature: str) -> None:
    board = replace(machine(ORIN, cv2=works("cv2", FFMPEG="YES")), cameras=(Camera("/dev/video0", "imx219", True),))
    assert "gst-launch-1.0 is not installed -> sudo apt install gstreamer1.0-tools" in lacks(board, feature)
    without = replace(board, gstreamer=gstreamer("gdppay"))
    assert "GStreamer has no gdppay -> sudo apt install gstreamer1.0-tools" in lacks(without, feature)
    assert "gstreamer1.0-plugins-bad" in lacks(without, feature)
    assert not lacks(replace(board, gstreamer=gstreamer()), feature)
    assert not lacks(replace(board, gstreamer=GStreamer("/usr/bin/gst-launch-1.0")), feature)  # nothing known of more


def test_csi_cameras_need_jetpacks_elements() -> None:
    opencv, camera = works("cv2"), (Camera("/dev/video0", "imx219", True),)
    board = replace(machine(ORIN, cv2=opencv), cameras=camera, gstreamer=gstreamer("nvarguscamerasrc", "nvvidconv"))
    answer = lacks(board, "csi-camera")
    assert answer.startswith("GStreamer has no nvarguscamerasrc and no nvvidconv, which come with JetPack -> sudo apt")
    assert not lacks(board, "gstreamer")
    contained = replace(board, board=replace(ORIN, in_container=True))
    assert "-v /tmp/argus_socket:/tmp/argus_socket" in lacks(contained, "csi-camera")
    desktop = replace(machine(DESKTOP, cv2=opencv), gstreamer=gstreamer(*CSI_ELEMENTS))
    assert "on Jetson boards only" in lacks(desktop, "csi-camera")


def test_network_streams_need_pyav() -> None:
    opencv = works("cv2", FFMPEG="NO")
    assert "av is not installed -> pip install '.[cpu]'" in lacks(machine(DESKTOP, cv2=opencv), "rtsp")
    assert lacks(machine(ORIN, cv2=opencv), "rtsp") == "av is not installed -> pip install av"
    broken = Package("av", installed=True, error="ImportError: libavcodec.so.61", distributions={"av": "13.0"})
    assert "av is installed but fails" in lacks(machine(ORIN, cv2=opencv, av=broken), "rtsp")
    assert not lacks(machine(DESKTOP, cv2=opencv, av=works("av")), "rtsp")  # OpenCV's FFmpeg is for files
    assert "without FFmpeg" in lacks(machine(DESKTOP, cv2=opencv), "video-files")


def test_gstreamer_is_asked_for_each_element(jetson: Machine) -> None:
    assert read_gstreamer(jetson) == GStreamer(None, dict.fromkeys((*PIPELINE_ELEMENTS, *CSI_ELEMENTS)))
    launch = write(jetson.root / "usr/bin/gst-launch-1.0", "#!/bin/sh\n", executable=True)
    inspect = '#!/bin/sh\n[ "$1" = --exists ] && case $2 in gdppay|nvvidconv) exit 1;; esac\n'
    write(jetson.root / "usr/bin/gst-inspect-1.0", inspect, executable=True)
    found = read_gstreamer(jetson)
    assert found.launch == str(launch)
    assert [name for name, there in found.elements.items() if not there] == ["gdppay", "nvvidconv"]


def test_jetpacks_opencv_with_numpy_2() -> None:
    opencv = Package("cv2", installed=True, error="ImportError: numpy.core.multiarray failed to import")
    answer = lacks(machine(ORIN, cv2=opencv, numpy=works("numpy", "2.2.6")), "classify-cpu")
    assert "-> pip install 'numpy<2'" in answer


def test_tensorrt_out_of_the_environments_sight() -> None:
    hidden = Package("tensorrt", installed=False, hidden="/usr/lib/python3.10/dist-packages")
    answer = lacks(machine(ORIN, tensorrt=hidden), "tensorrt")
    assert "which this virtual environment does not look into -> python3 -m venv --system-site-packages .venv" in answer
    other = replace(VENV, version=(3, 12, 1))
    assert "it is for Python 3.10, this is Python 3.12" in lacks(machine(ORIN, other, tensorrt=hidden), "tensorrt")
    assert "-> sudo apt install nvidia-jetpack" in lacks(machine(ORIN), "tensorrt")


@pytest.mark.parametrize(
    ("version", "builder", "message"),
    [("10.3.0.30", True, ""), ("8.6.1", True, "TensorRT 8.6.1 is older than 10.3"), ("0.1", False, "has no Builder")],
)
def test_which_tensorrt_is_one(version: str, builder: bool, message: str) -> None:
    answer = lacks(machine(DESKTOP, tensorrt=works("tensorrt", version, builder=builder)), "tensorrt")
    assert message in answer
    assert ("tensorrt can be imported" in answer) == (not builder)


def test_an_older_jetpack_is_out_of_scope() -> None:
    answer = lacks(machine(replace(ORIN, l4t="35.4.1", jetpack="5.1")), "tensorrt")
    assert "L4T 35.4.1 (JetPack 5.1) has a TensorRT older than 10.3 -> flash JetPack 6.1" in answer


def test_tensorrt_rtx() -> None:
    assert "made for x86-64, this machine is aarch64" in lacks(machine(ORIN), "tensorrt-rtx-build")
    assert ".[rtx]" in lacks(machine(DESKTOP), "tensorrt-rtx-build")
    rtx = works("tensorrt_rtx", builder=True)
    assert not lacks(machine(DESKTOP, tensorrt_rtx=rtx), "tensorrt-rtx-build")
    assert "tensorrt is not" not in lacks(machine(DESKTOP, tensorrt_rtx=rtx), "tensorrt")


def test_no_gpu_to_be_seen() -> None:
    assert "docker run --gpus all" in lacks(machine(replace(DESKTOP, in_container=True)), "tensorrt")
    assert "docker run --runtime nvidia" in lacks(machine(replace(ORIN, in_container=True)), "tensorrt")
    assert "nvidia-driver" in lacks(machine(DESKTOP), "tensorrt")
    assert "no NVIDIA card" in lacks(machine(replace(DESKTOP, nvidia_gpu_on_pci=False)), "tensorrt")


def test_pycuda_without_a_driver_is_not_blamed() -> None:
    pycuda = Package("pycuda.driver", installed=True, error="ImportError: libcuda.so.1: cannot open shared object file")
    answer = lacks(machine(DESKTOP, pycuda_driver=pycuda), "tensorrt")
    assert "pycuda" not in answer


def test_bindings_of_a_newer_cuda_than_the_driver() -> None:
    found = replace(
        machine(DESKTOP, cuda_bindings_driver=works("cuda.bindings.driver", "13.0.1")), cuda=CudaDriver("12.6")
    )
    assert "-> pip install 'cuda-bindings==12.*'" in lacks(found, "cuda-graphs")


def test_clocks_that_follow_the_load() -> None:
    clocks = "729 to 1728 MHz, governor schedutil"
    loose = replace(ORIN, clocks=clocks, clocks_locked=False, power_mode="15W (0)")
    assert lacks(machine(replace(loose, fastest_mode=2)), "steady-clocks").endswith(
        "(729 to 1728 MHz, governor schedutil; power mode 15W (0)) -> sudo nvpmodel -m 2 && sudo jetson_clocks"
    )
    assert "sudo nvpmodel -m N && sudo jetson_clocks   (N of the fastest mode" in lacks(machine(loose), "steady-clocks")
    assert "cpupower" in lacks(machine(replace(DESKTOP, clocks=clocks, clocks_locked=False)), "steady-clocks")
    for board in (
        replace(ORIN, clocks=clocks, clocks_locked=True),
        replace(DESKTOP, clocks="1 to 2 MHz, governor performance"),
    ):
        assert not lacks(machine(board), "steady-clocks")


def test_a_camera_that_may_not_be_opened(jetson: Machine) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may open every camera")
    for path in jetson.glob("dev/video*"):
        path.chmod(0)
    assert "usermod -aG video" in lacks(replace(machine(ORIN), cameras=read_cameras(jetson)), "usb-camera")


# ---- all together


def test_a_jetson_from_end_to_end(jetson: Machine, tmp_path: Path) -> None:
    write(tmp_path / "site" / "tensorrt" / "__init__.py", "raise ImportError('libnvdla_compiler.so: cannot open')")
    for name in ("torch", "onnx", "onnxsim", "onnxscript", "safetensors", "tensorrt_rtx"):  # what a board does without
        write(tmp_path / "site" / name / "__init__.py", f"raise ModuleNotFoundError(name='{name}')")
    diagnosis = examine(replace(jetson, package_paths=(tmp_path / "site",), cuda_library=str(tmp_path / "none.so")))
    document = json.loads(json.dumps(diagnosis.to_dict(), allow_nan=False))
    assert document["schema_version"] == 1
    assert document["board"]["jetpack"] == "6.2.1+b38"
    assert "libnvdla_compiler.so" in document["packages"]["tensorrt"]["error"]
    by_name = {feature["name"]: feature for feature in document["features"]}
    assert {name for name, package in document["packages"].items() if package["installed"]} >= {"numpy", "tensorrt"}
    assert document["packages"]["torch"]["installed"] is False
    assert by_name["tensorrt"]["ready"] is False
    assert any("libnvdla_compiler.so" in need["what"] for need in by_name["tensorrt"]["missing"])
