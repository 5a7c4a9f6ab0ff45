/* The one device, and what it says of itself. */
#include "softcuda.h"

#include <stdio.h>
#include <string.h>

#define DEVICE(device)                                                            \
    ENTER(NEEDS_INIT);                                                            \
    if (device) FAIL(CUDA_ERROR_INVALID_DEVICE, "there is one device, 0")

API cuInit(unsigned flags)
{
    ENTER(NEEDS_NOTHING);
    if (flags) FAIL(CUDA_ERROR_INVALID_VALUE, "flags must be 0");
    if (!sc_settings[SOFTCUDA_DEVICES]) FAIL(CUDA_ERROR_NO_DEVICE, "asked for");
    sc_initialised = 1;
    return CUDA_SUCCESS;
}

API cuDriverGetVersion(int *version)
{
    ENTER(NEEDS_NOTHING);
    if (!version) FAIL(CUDA_ERROR_INVALID_VALUE, "no place for the version");
    *version = (int)sc_settings[SOFTCUDA_DRIVER_VERSION];
    return CUDA_SUCCESS;
}

API cuDeviceGetCount(int *count)
{
    ENTER(NEEDS_INIT);
    *count = 1;
    return CUDA_SUCCESS;
}

API cuDeviceGet(CUdevice *device, int ordinal)
{
    DEVICE(ordinal);
    *device = 0;
    return CUDA_SUCCESS;
}

API cuDeviceGetName(char *name, int bytes, CUdevice device)
{
    DEVICE(device);
    const char *kind = sc_settings[SOFTCUDA_INTEGRATED] ? "integrated " : "";
    snprintf(name, (size_t)bytes, "Software CUDA %sdevice, sm_%lld", kind, sc_settings[SOFTCUDA_COMPUTE_CAPABILITY]);
    return CUDA_SUCCESS;
}

API cuDeviceGetUuid_v2(CUuuid *uuid, CUdevice device)
{
    DEVICE(device);
    memset(uuid, 0, sizeof *uuid);
    memcpy(uuid->bytes, "softcuda-device", 15);
    return CUDA_SUCCESS;
}

API cuDeviceTotalMem_v2(size_t *bytes, CUdevice device)
{
    DEVICE(device);
    *bytes = (size_t)sc_settings[SOFTCUDA_MEMORY_BYTES];
    return CUDA_SUCCESS;
}

API cuDeviceComputeCapability(int *major, int *minor, CUdevice device)
{
    DEVICE(device);
    *major = (int)sc_settings[SOFTCUDA_COMPUTE_CAPABILITY] / 10;
    *minor = (int)sc_settings[SOFTCUDA_COMPUTE_CAPABILITY] % 10;
    return CUDA_SUCCESS;
}

API cuDeviceGetPCIBusId(char *text, int bytes, CUdevice device)
{
    DEVICE(device);
    snprintf(text, (size_t)bytes, "0000:01:00.0");
    return CUDA_SUCCESS;
}

API cuDeviceCanAccessPeer(int *can, CUdevice, CUdevice)
{
    ENTER(NEEDS_INIT);
    *can = 0;
    return CUDA_SUCCESS;
}

/* Figures of a middling desktop device. What is not listed is 0: absent. */
static int attribute_of(CUdevice_attribute attribute)
{
    long long capability = sc_settings[SOFTCUDA_COMPUTE_CAPABILITY];
    switch ((int)attribute) {
    case CU_DEVICE_ATTRIBUTE_INTEGRATED: return sc_settings[SOFTCUDA_INTEGRATED] != 0;
    case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR: return (int)capability / 10;
    case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR: return (int)capability % 10;
    case CU_DEVICE_ATTRIBUTE_CAN_MAP_HOST_MEMORY:
    case CU_DEVICE_ATTRIBUTE_UNIFIED_ADDRESSING:
    case CU_DEVICE_ATTRIBUTE_HOST_REGISTER_SUPPORTED:
    case CU_DEVICE_ATTRIBUTE_CAN_USE_HOST_POINTER_FOR_REGISTERED_MEM:
    case CU_DEVICE_ATTRIBUTE_CONCURRENT_KERNELS:
    case CU_DEVICE_ATTRIBUTE_GPU_OVERLAP:
    case CU_DEVICE_ATTRIBUTE_STREAM_PRIORITIES_SUPPORTED:
    case CU_DEVICE_ATTRIBUTE_COMPUTE_PREEMPTION_SUPPORTED:
    case CU_DEVICE_ATTRIBUTE_PCI_BUS_ID: return 1;
    case CU_DEVICE_ATTRIBUTE_ASYNC_ENGINE_COUNT: return 2;
    case CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT: return 46;
    case CU_DEVICE_ATTRIBUTE_WARP_SIZE: return 32;
    case CU_DEVICE_ATTRIBUTE_CLOCK_RATE: return 1725000;
    case CU_DEVICE_ATTRIBUTE_MEMORY_CLOCK_RATE: return 7001000;
    case CU_DEVICE_ATTRIBUTE_GLOBAL_MEMORY_BUS_WIDTH: return 256;
    case CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE: return 4 << 20;
    case CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_MULTIPROCESSOR: return 1536;
    case CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK:
    case CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_X:
    case CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Y: return 1024;
    case CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Z: return 64;
    case CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_X:
    case CU_DEVICE_ATTRIBUTE_MAX_PITCH: return 0x7fffffff;
    case CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Y:
    case CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Z: return 65535;
    case CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK: return 49152;
    case CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN: return 101376;
    case CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_MULTIPROCESSOR: return 102400;
    case CU_DEVICE_ATTRIBUTE_MAX_REGISTERS_PER_BLOCK:
    case CU_DEVICE_ATTRIBUTE_MAX_REGISTERS_PER_MULTIPROCESSOR:
    case CU_DEVICE_ATTRIBUTE_TOTAL_CONSTANT_MEMORY: return 65536;
    case CU_DEVICE_ATTRIBUTE_TEXTURE_ALIGNMENT: return 512;
    default: return 0;
    }
}

API cuDeviceGetAttribute(int *value, CUdevice_attribute attribute, CUdevice device)
{
    DEVICE(device);
    if (attribute <= 0) FAIL(CUDA_ERROR_INVALID_VALUE, "no such attribute");
    *value = attribute_of(attribute);
    return CUDA_SUCCESS;
}
