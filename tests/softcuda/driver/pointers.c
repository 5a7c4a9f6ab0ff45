/* What can be asked about an address, by programs and by tests. */
#include "softcuda.h"

API cuMemHostGetDevicePointer_v2(CUdeviceptr *device, void *address, unsigned)
{
    ENTER(NEEDS_CONTEXT);
    const struct block *block = memory_find(address);
    if (!block || block->kind == MEMORY_DEVICE) FAIL(CUDA_ERROR_INVALID_VALUE, "not pinned memory");
    *device = (CUdeviceptr)address;
    return CUDA_SUCCESS;
}

API cuMemHostGetFlags(unsigned *flags, void *address)
{
    ENTER(NEEDS_CONTEXT);
    const struct block *block = memory_find(address);
    if (!block || block->kind == MEMORY_DEVICE) FAIL(CUDA_ERROR_INVALID_VALUE, "not pinned memory");
    /* With unified addressing, pinned memory is always mapped. */
    *flags = block->flags | CU_MEMHOSTALLOC_DEVICEMAP;
    return CUDA_SUCCESS;
}

API cuMemGetAddressRange_v2(CUdeviceptr *base, size_t *bytes, CUdeviceptr address)
{
    ENTER(NEEDS_CONTEXT);
    const struct block *block = memory_find((void *)address);
    if (!block) FAIL(CUDA_ERROR_NOT_FOUND, "not in an allocation");
    if (base) *base = (CUdeviceptr)block->address;
    if (bytes) *bytes = block->bytes;
    return CUDA_SUCCESS;
}

API cuPointerGetAttribute(void *value, CUpointer_attribute attribute, CUdeviceptr address)
{
    ENTER(NEEDS_INIT);
    const struct block *block = memory_find((void *)address);
    if (!block) FAIL(CUDA_ERROR_INVALID_VALUE, "not in an allocation");
    int on_device = block->kind == MEMORY_DEVICE;
    switch ((int)attribute) {
    case CU_POINTER_ATTRIBUTE_CONTEXT: *(CUcontext *)value = (CUcontext)block->context->object.handle; break;
    case CU_POINTER_ATTRIBUTE_MEMORY_TYPE:
        *(unsigned *)value = on_device ? CU_MEMORYTYPE_DEVICE : CU_MEMORYTYPE_HOST;
        break;
    case CU_POINTER_ATTRIBUTE_DEVICE_POINTER: *(CUdeviceptr *)value = address; break;
    case CU_POINTER_ATTRIBUTE_HOST_POINTER:
        if (on_device) FAIL(CUDA_ERROR_INVALID_VALUE, "device memory has no host address");
        *(void **)value = (void *)address;
        break;
    case CU_POINTER_ATTRIBUTE_BUFFER_ID: *(unsigned long long *)value = block->id; break;
    case CU_POINTER_ATTRIBUTE_IS_MANAGED: *(unsigned *)value = 0; break;
    case CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL: *(int *)value = 0; break;
    case CU_POINTER_ATTRIBUTE_RANGE_START_ADDR: *(CUdeviceptr *)value = (CUdeviceptr)block->address; break;
    case CU_POINTER_ATTRIBUTE_RANGE_SIZE: *(size_t *)value = block->bytes; break;
    case CU_POINTER_ATTRIBUTE_MAPPED: *(unsigned *)value = 1; break;
    default: FAIL(CUDA_ERROR_NOT_SUPPORTED, "attribute");
    }
    return CUDA_SUCCESS;
}

void *softcuda_host_address(const void *address)
{
    sc_enter();
    void *found = memory_is_device(address) && !memory_find(address) ? NULL : memory_host(address);
    sc_leave(NULL);
    return found;
}

int softcuda_memory_kind(const void *address, size_t bytes)
{
    sc_enter();
    const struct block *block = memory_holds(address, bytes ? bytes : 1) ? memory_find(address) : NULL;
    int kind = block ? (int)block->kind : MEMORY_NONE;
    sc_leave(NULL);
    return kind;
}
