/* Names of errors, and the search for entry points. */
#include "softcuda.h"

#include <string.h>

#define NAMED(error) {error, #error}
static const struct {
    CUresult error;
    const char *name;
} errors[] = {
    NAMED(CUDA_SUCCESS),
    NAMED(CUDA_ERROR_INVALID_VALUE),
    NAMED(CUDA_ERROR_OUT_OF_MEMORY),
    NAMED(CUDA_ERROR_NOT_INITIALIZED),
    NAMED(CUDA_ERROR_DEINITIALIZED),
    NAMED(CUDA_ERROR_NO_DEVICE),
    NAMED(CUDA_ERROR_INVALID_DEVICE),
    NAMED(CUDA_ERROR_INVALID_IMAGE),
    NAMED(CUDA_ERROR_INVALID_CONTEXT),
    NAMED(CUDA_ERROR_ECC_UNCORRECTABLE),
    NAMED(CUDA_ERROR_INVALID_SOURCE),
    NAMED(CUDA_ERROR_OPERATING_SYSTEM),
    NAMED(CUDA_ERROR_INVALID_HANDLE),
    NAMED(CUDA_ERROR_ILLEGAL_STATE),
    NAMED(CUDA_ERROR_NOT_FOUND),
    NAMED(CUDA_ERROR_NOT_READY),
    NAMED(CUDA_ERROR_ILLEGAL_ADDRESS),
    NAMED(CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES),
    NAMED(CUDA_ERROR_LAUNCH_TIMEOUT),
    NAMED(CUDA_ERROR_CONTEXT_IS_DESTROYED),
    NAMED(CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED),
    NAMED(CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED),
    NAMED(CUDA_ERROR_LAUNCH_FAILED),
    NAMED(CUDA_ERROR_NOT_PERMITTED),
    NAMED(CUDA_ERROR_NOT_SUPPORTED),
    NAMED(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED),
    NAMED(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED),
    NAMED(CUDA_ERROR_STREAM_CAPTURE_MERGE),
    NAMED(CUDA_ERROR_STREAM_CAPTURE_ISOLATION),
    NAMED(CUDA_ERROR_STREAM_CAPTURE_IMPLICIT),
    NAMED(CUDA_ERROR_CAPTURED_EVENT),
    NAMED(CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD),
    NAMED(CUDA_ERROR_UNKNOWN),
};

API cuGetErrorName(CUresult error, const char **name)
{
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
        if (errors[i].error != error) continue;
        *name = errors[i].name;
        return CUDA_SUCCESS;
    }
    *name = NULL;
    return CUDA_ERROR_INVALID_VALUE;
}

/* A card's driver has a sentence for each error; the name says as much here. */
API cuGetErrorString(CUresult error, const char **text)
{
    return cuGetErrorName(error, text);
}

/* The table that entry_points.py makes: each name, the CUDA version it came with, and the function. */
struct entry_point {
    const char *name;
    int version;
    void *function;
};
extern const struct entry_point sc_entry_points[];

API cuGetProcAddress_v2(const char *name, void **function, int version, cuuint64_t,
                        CUdriverProcAddressQueryResult *result)
{
    const struct entry_point *newest = NULL;
    int known = 0;
    for (const struct entry_point *entry = sc_entry_points; entry->name; entry++) {
        if (strcmp(entry->name, name)) continue;
        known = 1;
        if (entry->version <= version && (!newest || entry->version >= newest->version)) newest = entry;
    }
    *function = newest ? newest->function : NULL;
    CUdriverProcAddressQueryResult found = CU_GET_PROC_ADDRESS_SUCCESS;
    if (!newest) {
        found = known ? CU_GET_PROC_ADDRESS_VERSION_NOT_SUFFICIENT : CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND;
    }
    if (result) *result = found;
    return newest || result ? CUDA_SUCCESS : CUDA_ERROR_NOT_FOUND;
}

API cuGetProcAddress(const char *name, void **function, int version, cuuint64_t flags)
{
    return cuGetProcAddress_v2(name, function, version, flags, NULL);
}
