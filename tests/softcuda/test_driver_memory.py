"""The software CUDA driver's memory, through pycuda and cuda-bindings."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.softcuda import control
from tests.softcuda.driver_api import bindings, bytes_of, name_of, pinned, pycuda, value_of

pytestmark = pytest.mark.usefixtures("context")


def resident_bytes() -> int:
    """Memory of this process that is in use, shared memory included."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * 4096


def test_bytes_come_back_from_the_device_as_they_went() -> None:
    stream, start, end = pycuda.Stream(), pycuda.Event(), pycuda.Event()
    sent, received = pinned(480 * 640 * 3), pinned(480 * 640 * 3)
    sent[:] = np.random.default_rng(0).integers(0, 256, sent.shape, np.uint8)
    first, second = pycuda.mem_alloc(sent.nbytes), pycuda.mem_alloc(sent.nbytes)
    before = control.counters()
    start.record(stream)
    pycuda.memcpy_htod_async(first, sent, stream)
    pycuda.memcpy_dtod_async(second, first, sent.nbytes, stream)
    pycuda.memcpy_dtoh_async(received, second, stream)
    end.record(stream)
    end.synchronize()
    np.testing.assert_array_equal(received, sent)
    assert start.time_till(end) > 0
    after = control.counters()
    assert after.copies_to_device - before.copies_to_device == 1
    assert after.copies_within_device - before.copies_within_device == 1
    assert after.copies_to_host - before.copies_to_host == 1
    first.free()
    second.free()


def test_mapped_pinned_memory_is_read_by_the_device_without_a_copy() -> None:
    mapped = pycuda.pagelocked_zeros(1024, np.float32, mem_flags=pycuda.host_alloc_flags.DEVICEMAP)
    address = int(np.intp(mapped.base.get_device_pointer()))
    mapped[:] = 3
    on_device, received = pycuda.mem_alloc(mapped.nbytes), np.empty_like(mapped)
    pycuda.memcpy_dtod(on_device, address, mapped.nbytes)
    pycuda.memcpy_dtoh(received, on_device)
    assert (received == 3).all()
    assert control.memory_kind(address, mapped.nbytes) is control.Memory.PINNED
    on_device.free()


@pytest.mark.parametrize(("fill", "value", "dtype"), [("8", 7, "u1"), ("16", 0x1234, "u2"), ("32", 0x12345678, "u4")])
def test_a_fill_writes_each_element(fill: str, value: int, dtype: str) -> None:
    received = np.zeros(64, dtype)
    on_device = pycuda.mem_alloc(received.nbytes)
    getattr(pycuda, f"memset_d{fill}")(on_device, value, received.size)
    pycuda.memcpy_dtoh(received, on_device)
    assert (received == value).all()
    on_device.free()


def test_rows_are_copied_with_their_pitches() -> None:
    sent = np.arange(8 * 16, dtype=np.uint8).reshape(8, 16)
    received = np.zeros((3, 4), np.uint8)
    on_device, pitch = pycuda.mem_alloc_pitch(16, 8, 4)
    to_device = pycuda.Memcpy2D()
    to_device.set_src_host(sent)
    to_device.set_dst_device(on_device)
    to_device.src_pitch, to_device.dst_pitch, to_device.width_in_bytes, to_device.height = 16, pitch, 16, 8
    to_device(aligned=True)
    back = pycuda.Memcpy2D()
    back.set_src_device(on_device)
    back.set_dst_host(received)
    back.src_x_in_bytes, back.src_y, back.src_pitch = 5, 2, pitch
    back.dst_pitch, back.width_in_bytes, back.height = 4, 4, 3
    back(aligned=True)
    np.testing.assert_array_equal(received, sent[2:5, 5:9])
    on_device.free()


def test_new_memory_holds_nothing_that_a_test_could_rely_on() -> None:
    on_device, on_host = pycuda.mem_alloc(100), pycuda.pagelocked_empty(100, np.uint8)
    assert (bytes_of(int(on_device), 100) == 0xA5).all()
    assert (on_host == 0xA5).all()
    on_device.free()


def test_a_copy_beyond_the_allocation_is_refused() -> None:
    on_device = pycuda.mem_alloc(100)
    with pytest.raises(pycuda.LogicError, match="INVALID_VALUE"):
        pycuda.memcpy_htod(on_device, np.zeros(101, np.uint8))
    with pytest.raises(pycuda.LogicError, match="INVALID_VALUE"):
        pycuda.memcpy_dtoh(np.zeros(2, np.uint8), int(on_device) + 99)
    on_device.free()


def test_memory_that_was_freed_is_refused() -> None:
    on_device = pycuda.mem_alloc(100)
    address = int(on_device)
    assert control.memory_kind(address, 100) is control.Memory.DEVICE
    assert control.memory_kind(address, 101) is control.Memory.NONE
    on_device.free()
    with pytest.raises(pycuda.LogicError, match="INVALID_VALUE"):
        pycuda.memcpy_htod(address, np.zeros(1, np.uint8))
    with pytest.raises(ValueError, match="expected one that is allocated"):
        control.host_address(address)
    assert name_of(bindings.cuMemFree(address)) == "CUDA_ERROR_INVALID_VALUE"


def test_only_the_start_of_an_allocation_can_be_freed() -> None:
    address = int(value_of(bindings.cuMemAlloc(4096)))
    assert name_of(bindings.cuMemFree(address + 512)) == "CUDA_ERROR_INVALID_VALUE"
    assert name_of(bindings.cuMemFreeHost(address)) == "CUDA_ERROR_INVALID_VALUE"
    value_of(bindings.cuMemFree(address))


def test_the_device_has_as_much_memory_as_it_was_given() -> None:
    with control.changed(control.Setting.MEMORY_BYTES, 1 << 20):
        assert pycuda.mem_get_info() == (1 << 20, 1 << 20)
        half = pycuda.mem_alloc(600_000)
        with pytest.raises(pycuda.MemoryError):
            pycuda.mem_alloc(600_000)
        half.free()
        pycuda.mem_alloc(600_000).free()


def test_neighbours_do_not_share_bytes_and_gaps_are_used_again() -> None:
    blocks = [pycuda.mem_alloc(700) for _ in range(4)]
    for value, block in enumerate(blocks):
        pycuda.memset_d8(block, value, 700)
    assert [set(bytes_of(int(block), 700)) for block in blocks] == [{0}, {1}, {2}, {3}]
    gap = int(blocks[1])
    blocks[1].free()
    blocks[1] = pycuda.mem_alloc(600)
    assert int(blocks[1]) == gap
    for block in blocks:
        block.free()


def test_freed_memory_goes_back_to_the_system() -> None:
    size = 16 << 20
    before = resident_bytes()
    for _ in range(20):
        pycuda.mem_alloc(size).free()
        value_of(bindings.cuMemFreeHost(value_of(bindings.cuMemHostAlloc(size, 0))))
    assert resident_bytes() - before < size


def test_a_device_address_cannot_be_used_by_the_host() -> None:
    program = """
import ctypes, pycuda.driver as cuda
cuda.init()
context = cuda.Device(0).retain_primary_context()
context.push()
ctypes.string_at(int(cuda.mem_alloc(64)), 1)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    assert done.returncode == -signal.SIGSEGV


def test_registered_memory_is_known_until_it_is_given_back() -> None:
    array = np.zeros(4096, np.uint8)
    address = array.ctypes.data
    value_of(bindings.cuMemHostRegister(address, array.nbytes, 0))
    assert control.memory_kind(address, array.nbytes) is control.Memory.REGISTERED
    assert name_of(bindings.cuMemHostRegister(address, 1, 0)) == "CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED"
    value_of(bindings.cuMemHostUnregister(address))
    assert control.memory_kind(address) is control.Memory.NONE
    assert name_of(bindings.cuMemHostUnregister(address)) == "CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED"


def test_the_kind_of_an_address_can_be_asked_of_the_driver() -> None:
    memory_type = bindings.CUpointer_attribute.CU_POINTER_ATTRIBUTE_MEMORY_TYPE
    on_device = pycuda.mem_alloc(16)
    on_host = pinned(16)
    assert value_of(bindings.cuPointerGetAttribute(memory_type, int(on_device))) == 2
    assert value_of(bindings.cuPointerGetAttribute(memory_type, on_host.ctypes.data)) == 1
    assert name_of(bindings.cuPointerGetAttribute(memory_type, 4096)) == "CUDA_ERROR_INVALID_VALUE"
    on_device.free()


def test_an_integrated_device_says_so() -> None:
    device = pycuda.Device(0)
    assert device.get_attribute(pycuda.device_attribute.INTEGRATED) == 0
    with control.changed(control.Setting.INTEGRATED, 1), control.changed(control.Setting.COMPUTE_CAPABILITY, 87):
        assert device.get_attribute(pycuda.device_attribute.INTEGRATED) == 1
        assert device.compute_capability() == (8, 7)
        assert "integrated" in device.name()


def test_what_the_driver_lacks_answers_that_it_is_not_supported() -> None:
    flags = bindings.CUmemAttach_flags.CU_MEM_ATTACH_GLOBAL
    assert name_of(bindings.cuMemAllocManaged(64, flags.value)) == "CUDA_ERROR_NOT_SUPPORTED"
    assert name_of(bindings.cuGraphCreate(0)) == "CUDA_ERROR_NOT_SUPPORTED"
