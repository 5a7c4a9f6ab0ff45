/* Copies and fills. */
#include "softcuda.h"

#include <stdlib.h>
#include <string.h>

/* What the caller says of an address. */
enum side { HOST, DEVICE, EITHER };

struct request {
    enum side to_side, from_side;
    char *to;
    const char *from;
    size_t row_bytes, rows, to_pitch, from_pitch;
};

static struct request flat(enum side to_side, uintptr_t to, enum side from_side, uintptr_t from, size_t bytes)
{
    return (struct request){to_side, from_side, (char *)to, (const char *)from, bytes, 1, bytes, bytes};
}

static void count(const struct request *request)
{
    int to_device = request->to_side == DEVICE || (request->to_side == EITHER && memory_is_device(request->to));
    int from_device = request->from_side == DEVICE || (request->from_side == EITHER && memory_is_device(request->from));
    if (to_device && from_device) {
        sc_counters.copies_within_device++;
    } else if (to_device) {
        sc_counters.copies_to_device++;
    } else if (from_device) {
        sc_counters.copies_to_host++;
    }
}

/* Memory that the device cannot reach by itself goes through a buffer of the driver. */
static int is_pageable(const void *address)
{
    return !memory_find(address) && !memory_is_device(address);
}

static CUresult copy(const char *call, struct request request, CUstream handle, int asynchronous)
{
    ENTER(NEEDS_CONTEXT);
    if (!request.row_bytes || !request.rows) return CUDA_SUCCESS;
    struct stream *stream = stream_find(handle);
    if (!stream) FAIL(CUDA_ERROR_INVALID_HANDLE, "no such stream in this context");
    size_t to_bytes = (request.rows - 1) * request.to_pitch + request.row_bytes;
    size_t from_bytes = (request.rows - 1) * request.from_pitch + request.row_bytes;
    int to_is_pageable = is_pageable(request.to), from_is_pageable = is_pageable(request.from);
    if ((request.to_side == DEVICE || !to_is_pageable) && !memory_holds(request.to, to_bytes)) {
        return sc_error(call, CUDA_ERROR_INVALID_VALUE, "the destination is outside of any allocation");
    }
    if ((request.from_side == DEVICE || !from_is_pageable) && !memory_holds(request.from, from_bytes)) {
        return sc_error(call, CUDA_ERROR_INVALID_VALUE, "the source is outside of any allocation");
    }
    if (!asynchronous) NOT_WHILE_CAPTURING;
    FAULT(SOFTCUDA_FAULT_COPY);
    count(&request);
    int captured = stream->capture != NULL;
    struct operation *operation = operation_new(OPERATION_COPY);
    operation->to = (struct rows){request.to, request.to_pitch, !to_is_pageable};
    operation->from = (struct rows){(char *)request.from, request.from_pitch, !from_is_pageable};
    operation->row_bytes = request.row_bytes;
    operation->rows = request.rows;
    if (from_is_pageable && !captured) {
        operation->staged = malloc(from_bytes);
        if (!operation->staged) abort();
        memcpy(operation->staged, request.from, from_bytes);
    }
    unsigned long long position = 0;
    CUresult result = stream_submit(stream, operation, &position);
    if (result || captured) return result;
    if (!asynchronous || to_is_pageable) work_wait(stream, position);
    return asynchronous ? CUDA_SUCCESS : sc_failed;
}

API cuMemcpyHtoD_v2(CUdeviceptr to, const void *from, size_t bytes)
{
    return copy(__func__, flat(DEVICE, to, HOST, (uintptr_t)from, bytes), NULL, 0);
}

API cuMemcpyDtoH_v2(void *to, CUdeviceptr from, size_t bytes)
{
    return copy(__func__, flat(HOST, (uintptr_t)to, DEVICE, from, bytes), NULL, 0);
}

API cuMemcpyDtoD_v2(CUdeviceptr to, CUdeviceptr from, size_t bytes)
{
    return copy(__func__, flat(DEVICE, to, DEVICE, from, bytes), NULL, 0);
}

API cuMemcpy(CUdeviceptr to, CUdeviceptr from, size_t bytes)
{
    return copy(__func__, flat(EITHER, to, EITHER, from, bytes), NULL, 0);
}

API cuMemcpyHtoDAsync_v2(CUdeviceptr to, const void *from, size_t bytes, CUstream stream)
{
    return copy(__func__, flat(DEVICE, to, HOST, (uintptr_t)from, bytes), stream, 1);
}

API cuMemcpyDtoHAsync_v2(void *to, CUdeviceptr from, size_t bytes, CUstream stream)
{
    return copy(__func__, flat(HOST, (uintptr_t)to, DEVICE, from, bytes), stream, 1);
}

API cuMemcpyDtoDAsync_v2(CUdeviceptr to, CUdeviceptr from, size_t bytes, CUstream stream)
{
    return copy(__func__, flat(DEVICE, to, DEVICE, from, bytes), stream, 1);
}

API cuMemcpyAsync(CUdeviceptr to, CUdeviceptr from, size_t bytes, CUstream stream)
{
    return copy(__func__, flat(EITHER, to, EITHER, from, bytes), stream, 1);
}

static CUresult copy_2d(const char *call, const CUDA_MEMCPY2D *copied, CUstream stream, int asynchronous)
{
    if (copied->srcMemoryType == CU_MEMORYTYPE_ARRAY || copied->dstMemoryType == CU_MEMORYTYPE_ARRAY) {
        return sc_error(call, CUDA_ERROR_NOT_SUPPORTED, "arrays");
    }
    int to_host = copied->dstMemoryType == CU_MEMORYTYPE_HOST, from_host = copied->srcMemoryType == CU_MEMORYTYPE_HOST;
    struct request request = {
        .to_side = to_host ? HOST : DEVICE,
        .from_side = from_host ? HOST : DEVICE,
        .row_bytes = copied->WidthInBytes,
        .rows = copied->Height,
        .to_pitch = copied->dstPitch ? copied->dstPitch : copied->WidthInBytes,
        .from_pitch = copied->srcPitch ? copied->srcPitch : copied->WidthInBytes,
    };
    char *to = to_host ? copied->dstHost : (char *)copied->dstDevice;
    const char *from = from_host ? copied->srcHost : (const char *)copied->srcDevice;
    request.to = to + copied->dstY * request.to_pitch + copied->dstXInBytes;
    request.from = from + copied->srcY * request.from_pitch + copied->srcXInBytes;
    return copy(call, request, stream, asynchronous);
}

API cuMemcpy2D_v2(const CUDA_MEMCPY2D *copied)
{
    return copy_2d(__func__, copied, NULL, 0);
}

API cuMemcpy2DUnaligned_v2(const CUDA_MEMCPY2D *copied)
{
    return copy_2d(__func__, copied, NULL, 0);
}

API cuMemcpy2DAsync_v2(const CUDA_MEMCPY2D *copied, CUstream stream)
{
    return copy_2d(__func__, copied, stream, 1);
}

static CUresult fill(CUdeviceptr to, unsigned value, unsigned element_bytes, size_t elements, CUstream handle)
{
    ENTER(NEEDS_CONTEXT);
    size_t bytes = elements * element_bytes;
    struct stream *stream = stream_find(handle);
    if (!stream) FAIL(CUDA_ERROR_INVALID_HANDLE, "no such stream in this context");
    if (!memory_holds((void *)to, bytes)) FAIL(CUDA_ERROR_INVALID_VALUE, "outside of any allocation");
    FAULT(SOFTCUDA_FAULT_COPY);
    sc_counters.fills++;
    struct operation *operation = operation_new(OPERATION_FILL);
    operation->to = (struct rows){(char *)to, bytes, 1};
    operation->row_bytes = bytes;
    operation->value = value;
    operation->element_bytes = element_bytes;
    return stream_submit(stream, operation, NULL);
}

/* The plain forms, too, return before the fill is done: they are asynchronous for device memory. */
API cuMemsetD8_v2(CUdeviceptr to, unsigned char value, size_t elements)
{
    return fill(to, value, 1, elements, NULL);
}

API cuMemsetD16_v2(CUdeviceptr to, unsigned short value, size_t elements)
{
    return fill(to, value, 2, elements, NULL);
}

API cuMemsetD32_v2(CUdeviceptr to, unsigned value, size_t elements)
{
    return fill(to, value, 4, elements, NULL);
}

API cuMemsetD8Async(CUdeviceptr to, unsigned char value, size_t elements, CUstream stream)
{
    return fill(to, value, 1, elements, stream);
}

API cuMemsetD16Async(CUdeviceptr to, unsigned short value, size_t elements, CUstream stream)
{
    return fill(to, value, 2, elements, stream);
}

API cuMemsetD32Async(CUdeviceptr to, unsigned value, size_t elements, CUstream stream)
{
    return fill(to, value, 4, elements, stream);
}
