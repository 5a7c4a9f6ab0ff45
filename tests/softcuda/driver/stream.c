/* Streams, and host functions on them. */
#include "softcuda.h"

struct stream *streams; /* all, the default streams of contexts among them */

#define STREAM(handle)                                  \
    struct stream *stream = stream_find(handle);        \
    if (!stream) FAIL(CUDA_ERROR_INVALID_HANDLE, "no such stream in this context")

/* Waiting for a stream, or asking after it, spoils a capture of it. */
#define NOT_CAPTURED(stream)                                                                   \
    if ((stream)->capture) {                                                                   \
        (stream)->capture->invalidated = 1;                                                    \
        FAIL(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, "the stream captures");                    \
    }                                                                                          \
    NOT_WHILE_CAPTURING

struct stream *stream_new(struct context *context, unsigned flags, int priority, int listed)
{
    struct stream *stream = listed ? object_new(KIND_STREAM, sizeof *stream, context)
                                   : object_new_unlisted(KIND_STREAM, sizeof *stream, context);
    stream->flags = flags;
    stream->priority = priority;
    struct stream **link = &streams;
    while (*link) link = &(*link)->next;
    *link = stream;
    return stream;
}

void stream_unlist(struct stream *stream)
{
    struct stream **link = &streams;
    while (*link != stream) link = &(*link)->next;
    *link = stream->next;
    if (stream->capture && stream->capture->origin == stream) {
        stream->capture->origin = NULL;
        stream->capture->invalidated = 1;
    }
    for (const struct operation *left = stream->first; left; left = left->next) sc_counters.pending--;
}

struct stream *stream_find(CUstream handle)
{
    struct context *context = context_current();
    if (!handle || handle == CU_STREAM_LEGACY) return context->null_stream;
    struct stream *stream = object_find(KIND_STREAM, handle);
    return stream && stream->object.context == context ? stream : NULL;
}

API cuStreamCreateWithPriority(CUstream *handle, unsigned flags, int priority)
{
    ENTER(NEEDS_CONTEXT);
    if (flags & ~(unsigned)CU_STREAM_NON_BLOCKING) FAIL(CUDA_ERROR_INVALID_VALUE, "unknown flags");
    FAULT(SOFTCUDA_FAULT_CREATE);
    *handle = (CUstream)stream_new(context_current(), flags, priority, 1)->object.handle;
    return CUDA_SUCCESS;
}

API cuStreamCreate(CUstream *handle, unsigned flags)
{
    return cuStreamCreateWithPriority(handle, flags, 0);
}

/* Returns at once on a card, which frees the stream when its work is done; here its work is done first. */
API cuStreamDestroy_v2(CUstream handle)
{
    ENTER(NEEDS_CONTEXT);
    STREAM(handle);
    if (!stream->object.handle) FAIL(CUDA_ERROR_INVALID_HANDLE, "the default stream belongs to its context");
    object_keep(stream);
    work_wait(stream, stream->submitted);
    /* While the lock was released another thread may have destroyed it too. */
    int ours = object_find(KIND_STREAM, handle) != NULL;
    if (ours) {
        stream_unlist(stream);
        object_close(stream);
    }
    object_drop(stream);
    if (!ours) FAIL(CUDA_ERROR_INVALID_HANDLE, "destroyed by two threads at once");
    return sc_failed;
}

API cuStreamSynchronize(CUstream handle)
{
    ENTER(NEEDS_CONTEXT);
    STREAM(handle);
    NOT_CAPTURED(stream);
    FAULT(SOFTCUDA_FAULT_SYNCHRONIZE);
    work_wait(stream, stream->submitted);
    return sc_failed;
}

/* A question is no synchronisation. Still the device gets on, by one operation for each question. */
API cuStreamQuery(CUstream handle)
{
    ENTER(NEEDS_CONTEXT);
    STREAM(handle);
    NOT_CAPTURED(stream);
    if (stream->completed == stream->submitted) return CUDA_SUCCESS;
    work_step(stream);
    return sc_failed ? sc_failed : CUDA_ERROR_NOT_READY;
}

API cuStreamGetFlags(CUstream handle, unsigned *flags)
{
    ENTER(NEEDS_CONTEXT);
    STREAM(handle);
    *flags = stream->flags;
    return CUDA_SUCCESS;
}

API cuStreamGetPriority(CUstream handle, int *priority)
{
    ENTER(NEEDS_CONTEXT);
    STREAM(handle);
    *priority = stream->priority;
    return CUDA_SUCCESS;
}

API cuStreamGetCtx(CUstream handle, CUcontext *context)
{
    ENTER(NEEDS_CONTEXT);
    STREAM(handle);
    *context = (CUcontext)stream->object.context->object.handle;
    return CUDA_SUCCESS;
}

API cuLaunchHostFunc(CUstream handle, CUhostFn function, void *argument)
{
    ENTER(NEEDS_CONTEXT);
    STREAM(handle);
    if (!function) FAIL(CUDA_ERROR_INVALID_VALUE, "no function");
    FAULT(SOFTCUDA_FAULT_HOST_FUNCTION);
    sc_counters.host_functions++;
    struct operation *operation = operation_new(OPERATION_HOST);
    operation->function = function;
    operation->argument = argument;
    return stream_submit(stream, operation, NULL);
}
