/* Contexts: the primary one, others, and the stack of each thread. */
#include "softcuda.h"

#include <stdlib.h>

enum { STACK_SIZE = 32 };

static __thread struct context *stack[STACK_SIZE];
static __thread int depth;
static struct context *primary;
static unsigned primary_flags;
static int primary_references;
static pthread_key_t thread_end;

/* A thread ended: what it left pushed is counted, as pycuda aborts the process there. */
static void thread_ended(void *)
{
    sc_enter();
    if (depth) sc_counters.threads_ended_with_context++;
    for (; depth; depth--) {
        sc_counters.pushed--;
        object_drop(stack[depth - 1]);
    }
    sc_leave(NULL);
}

__attribute__((constructor)) static void make_key(void)
{
    if (pthread_key_create(&thread_end, thread_ended)) abort();
}

struct context *context_current(void)
{
    return depth ? stack[depth - 1] : NULL;
}

int context_depth_here(void)
{
    return depth;
}

static struct context *context_new(int is_primary, unsigned flags)
{
    struct context *context = object_new(KIND_CONTEXT, sizeof *context, NULL);
    context->primary = is_primary;
    context->flags = flags;
    context->null_stream = stream_new(context, 0, 0, 0);
    return context;
}

/* What a context still has goes with it, and is counted as abandoned. */
static void context_destroy(struct context *context)
{
    if (!sc_failed) work_wait_all(context);
    stream_unlist(context->null_stream);
    sc_counters.abandoned += object_close_all(context) + memory_free_all(context);
    context->destroyed = 1;
    struct stream *null_stream = context->null_stream;
    context->null_stream = NULL;
    object_drop(null_stream);
    object_close(context);
}

static CUresult push(const char *call, struct context *context)
{
    if (depth == STACK_SIZE) return sc_error(call, CUDA_ERROR_UNKNOWN, "the stack of contexts is full");
    pthread_setspecific(thread_end, stack);
    stack[depth++] = object_keep(context);
    sc_counters.pushed++;
    return CUDA_SUCCESS;
}

static void pop(void)
{
    sc_counters.pushed--;
    object_drop(stack[--depth]);
}

static CUresult create(const char *call, CUcontext *handle, unsigned flags, CUdevice device)
{
    ENTER(NEEDS_DEVICE);
    if (!handle) FAIL(CUDA_ERROR_INVALID_VALUE, "no place for the context");
    if (device) FAIL(CUDA_ERROR_INVALID_DEVICE, "there is one device, 0");
    FAULT(SOFTCUDA_FAULT_CONTEXT);
    struct context *context = context_new(0, flags);
    *handle = (CUcontext)context->object.handle;
    return push(call, context);
}

API cuCtxCreate_v2(CUcontext *handle, unsigned flags, CUdevice device)
{
    return create(__func__, handle, flags, device);
}

API cuCtxCreate_v4(CUcontext *handle, CUctxCreateParams *, unsigned flags, CUdevice device)
{
    return create(__func__, handle, flags, device);
}

API cuCtxDestroy_v2(CUcontext handle)
{
    ENTER(NEEDS_INIT);
    struct context *context = object_find(KIND_CONTEXT, handle);
    if (!context) FAIL(CUDA_ERROR_INVALID_CONTEXT, "no such context");
    if (context->primary) FAIL(CUDA_ERROR_INVALID_CONTEXT, "the primary context is released, not destroyed");
    object_keep(context);
    context_destroy(context);
    if (context_current() == context) pop();
    object_drop(context);
    return CUDA_SUCCESS;
}

API cuCtxDetach(CUcontext handle)
{
    return cuCtxDestroy_v2(handle);
}

API cuCtxPushCurrent_v2(CUcontext handle)
{
    ENTER(NEEDS_INIT);
    struct context *context = object_find(KIND_CONTEXT, handle);
    if (!context) FAIL(CUDA_ERROR_INVALID_CONTEXT, "no such context");
    return push(__func__, context);
}

API cuCtxPopCurrent_v2(CUcontext *handle)
{
    ENTER(NEEDS_INIT);
    if (!depth) FAIL(CUDA_ERROR_INVALID_CONTEXT, "no context is on the stack of this thread");
    if (handle) *handle = (CUcontext)context_current()->object.handle;
    pop();
    return CUDA_SUCCESS;
}

API cuCtxSetCurrent(CUcontext handle)
{
    ENTER(NEEDS_INIT);
    struct context *context = handle ? object_find(KIND_CONTEXT, handle) : NULL;
    if (handle && !context) FAIL(CUDA_ERROR_INVALID_CONTEXT, "no such context");
    if (depth) pop();
    return context ? push(__func__, context) : CUDA_SUCCESS;
}

API cuCtxGetCurrent(CUcontext *handle)
{
    ENTER(NEEDS_INIT);
    struct context *context = context_current();
    *handle = context ? (CUcontext)context->object.handle : NULL;
    return CUDA_SUCCESS;
}

API cuCtxGetDevice(CUdevice *device)
{
    ENTER(NEEDS_CONTEXT);
    *device = 0;
    return CUDA_SUCCESS;
}

API cuCtxGetFlags(unsigned *flags)
{
    ENTER(NEEDS_CONTEXT);
    *flags = context_current()->flags;
    return CUDA_SUCCESS;
}

API cuCtxGetApiVersion(CUcontext, unsigned *version)
{
    ENTER(NEEDS_INIT);
    *version = 3020;
    return CUDA_SUCCESS;
}

API cuCtxSynchronize(void)
{
    ENTER(NEEDS_CONTEXT);
    NOT_WHILE_CAPTURING;
    FAULT(SOFTCUDA_FAULT_SYNCHRONIZE);
    work_wait_all(context_current());
    return sc_failed;
}

API cuCtxGetStreamPriorityRange(int *least, int *greatest)
{
    ENTER(NEEDS_CONTEXT);
    if (least) *least = 0;
    if (greatest) *greatest = -5;
    return CUDA_SUCCESS;
}

API cuDevicePrimaryCtxRetain(CUcontext *handle, CUdevice device)
{
    ENTER(NEEDS_INIT);
    if (device) FAIL(CUDA_ERROR_INVALID_DEVICE, "there is one device, 0");
    FAULT(SOFTCUDA_FAULT_CONTEXT);
    if (!primary) primary = context_new(1, primary_flags);
    primary_references++;
    sc_counters.primary_references++;
    *handle = (CUcontext)primary->object.handle;
    return CUDA_SUCCESS;
}

API cuDevicePrimaryCtxRelease_v2(CUdevice device)
{
    ENTER(NEEDS_INIT);
    if (device) FAIL(CUDA_ERROR_INVALID_DEVICE, "there is one device, 0");
    if (!primary_references) FAIL(CUDA_ERROR_INVALID_CONTEXT, "the primary context is not retained");
    sc_counters.primary_references--;
    if (--primary_references) return CUDA_SUCCESS;
    struct context *context = primary;
    primary = NULL;
    context_destroy(context);
    return CUDA_SUCCESS;
}

API cuDevicePrimaryCtxSetFlags_v2(CUdevice device, unsigned flags)
{
    ENTER(NEEDS_INIT);
    if (device) FAIL(CUDA_ERROR_INVALID_DEVICE, "there is one device, 0");
    primary_flags = flags;
    if (primary) primary->flags = flags;
    return CUDA_SUCCESS;
}

API cuDevicePrimaryCtxGetState(CUdevice device, unsigned *flags, int *active)
{
    ENTER(NEEDS_INIT);
    if (device) FAIL(CUDA_ERROR_INVALID_DEVICE, "there is one device, 0");
    if (flags) *flags = primary_flags;
    if (active) *active = primary != NULL;
    return CUDA_SUCCESS;
}
