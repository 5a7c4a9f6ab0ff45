/* Modules and kernels: they load and launch, and compute nothing. */
#include "softcuda.h"

struct module {
    struct object object;
};

struct function { /* lives with its module's context: pycuda never gives one back by itself */
    struct object object;
    const struct module *module;
};

static CUresult load(CUmodule *handle, const void *image)
{
    ENTER(NEEDS_CONTEXT);
    if (!image) FAIL(CUDA_ERROR_INVALID_VALUE, "no image");
    *handle = (CUmodule)((struct module *)object_new(KIND_MODULE, sizeof(struct module), context_current()))->object.handle;
    return CUDA_SUCCESS;
}

API cuModuleLoadData(CUmodule *handle, const void *image)
{
    return load(handle, image);
}

API cuModuleLoadDataEx(CUmodule *handle, const void *image, unsigned, CUjit_option *, void **)
{
    return load(handle, image);
}

API cuModuleUnload(CUmodule handle)
{
    ENTER(NEEDS_CONTEXT);
    struct module *module = object_find(KIND_MODULE, handle);
    if (!module) FAIL(CUDA_ERROR_INVALID_HANDLE, "no such module");
    object_close(module);
    return CUDA_SUCCESS;
}

API cuModuleGetFunction(CUfunction *handle, CUmodule module_handle, const char *)
{
    ENTER(NEEDS_CONTEXT);
    struct module *module = object_find(KIND_MODULE, module_handle);
    if (!module) FAIL(CUDA_ERROR_INVALID_HANDLE, "no such module");
    struct function *function = object_new(KIND_FUNCTION, sizeof *function, context_current());
    function->module = module;
    *handle = (CUfunction)function->object.handle;
    return CUDA_SUCCESS;
}

API cuFuncGetAttribute(int *value, CUfunction_attribute attribute, CUfunction handle)
{
    ENTER(NEEDS_CONTEXT);
    if (!object_find(KIND_FUNCTION, handle)) FAIL(CUDA_ERROR_INVALID_HANDLE, "no such function");
    switch ((int)attribute) {
    case CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK: *value = 1024; break;
    case CU_FUNC_ATTRIBUTE_NUM_REGS: *value = 32; break;
    default: *value = 0;
    }
    return CUDA_SUCCESS;
}

/* The oldest way to say a launch's shape: pycuda still sets it, and then launches with cuLaunchKernel. */
API cuFuncSetBlockShape(CUfunction handle, int, int, int)
{
    ENTER(NEEDS_CONTEXT);
    if (!object_find(KIND_FUNCTION, handle)) FAIL(CUDA_ERROR_INVALID_HANDLE, "no such function");
    return CUDA_SUCCESS;
}

API cuLaunchKernel(CUfunction handle, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x,
                   unsigned block_y, unsigned block_z, unsigned, CUstream stream_handle, void **, void **)
{
    ENTER(NEEDS_CONTEXT);
    if (!object_find(KIND_FUNCTION, handle)) FAIL(CUDA_ERROR_INVALID_HANDLE, "no such function");
    struct stream *stream = stream_find(stream_handle);
    if (!stream) FAIL(CUDA_ERROR_INVALID_HANDLE, "no such stream in this context");
    unsigned long long threads = (unsigned long long)block_x * block_y * block_z;
    if (!grid_x || !grid_y || !grid_z || !threads || threads > 1024) FAIL(CUDA_ERROR_INVALID_VALUE, "shape of the launch");
    FAULT(SOFTCUDA_FAULT_LAUNCH);
    sc_counters.kernel_launches++;
    return stream_submit(stream, operation_new(OPERATION_KERNEL), NULL);
}

API cuProfilerStart(void)
{
    return CUDA_SUCCESS;
}

API cuProfilerStop(void)
{
    return CUDA_SUCCESS;
}
