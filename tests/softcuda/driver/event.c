/* Events. */
#include "softcuda.h"

#define EVENT(handle)                                              \
    struct event *event = object_find(KIND_EVENT, handle);         \
    if (!event) FAIL(CUDA_ERROR_INVALID_HANDLE, "no such event")

#define NOT_CAPTURED(event) \
    if ((event)->capture) FAIL(CUDA_ERROR_CAPTURED_EVENT, "the event was recorded last in a capture")

static int is_done(const struct event *event)
{
    return !event->stream || event->stream->completed >= event->position;
}

/* From now on the event stands for this position of the stream. */
void event_attach(struct event *event, struct stream *stream, unsigned long long position)
{
    object_keep(stream);
    if (event->stream) object_drop(event->stream);
    event->stream = stream;
    event->position = position;
    if (event->capture) object_drop(event->capture);
    event->capture = NULL;
}

API cuEventCreate(CUevent *handle, unsigned flags)
{
    ENTER(NEEDS_CONTEXT);
    FAULT(SOFTCUDA_FAULT_CREATE);
    struct event *event = object_new(KIND_EVENT, sizeof *event, context_current());
    event->flags = flags;
    *handle = (CUevent)event->object.handle;
    return CUDA_SUCCESS;
}

/* Does not wait: operations that still need the event keep it. */
API cuEventDestroy_v2(CUevent handle)
{
    ENTER(NEEDS_DEVICE);
    EVENT(handle);
    object_close(event);
    return CUDA_SUCCESS;
}

API cuEventRecordWithFlags(CUevent handle, CUstream stream_handle, unsigned flags)
{
    ENTER(NEEDS_CONTEXT);
    EVENT(handle);
    struct stream *stream = stream_find(stream_handle);
    if (!stream || event->object.context != stream->object.context) {
        FAIL(CUDA_ERROR_INVALID_HANDLE, "no such stream in this context, or an event of another context");
    }
    FAULT(SOFTCUDA_FAULT_RECORD);
    if (stream->capture && !(flags & CU_EVENT_RECORD_EXTERNAL)) {
        /* It marks a place in the capture; no node is made, and it can only be waited for by captured streams. */
        if (event->capture) object_drop(event->capture);
        event->capture = object_keep(stream->capture);
        return CUDA_SUCCESS;
    }
    struct operation *operation = operation_new(OPERATION_RECORD);
    operation->event = object_keep(event);
    return stream_submit(stream, operation, NULL);
}

API cuEventRecord(CUevent handle, CUstream stream)
{
    return cuEventRecordWithFlags(handle, stream, 0);
}

API cuStreamWaitEvent(CUstream stream_handle, CUevent handle, unsigned)
{
    ENTER(NEEDS_CONTEXT);
    EVENT(handle);
    struct stream *stream = stream_find(stream_handle);
    if (!stream) FAIL(CUDA_ERROR_INVALID_HANDLE, "no such stream in this context");
    if (event->capture) {
        if (stream->capture == event->capture) return CUDA_SUCCESS;
        if (stream->capture) FAIL(CUDA_ERROR_STREAM_CAPTURE_MERGE, "the event is of another capture");
        if (!event->capture->origin) FAIL(CUDA_ERROR_CAPTURED_EVENT, "the event's capture has ended");
        stream->capture = object_keep(event->capture); /* the stream joins the capture */
        return CUDA_SUCCESS;
    }
    if (stream->capture) FAIL(CUDA_ERROR_STREAM_CAPTURE_ISOLATION, "the event was recorded outside of the capture");
    if (is_done(event)) return CUDA_SUCCESS;
    struct operation *operation = operation_new(OPERATION_WAIT);
    operation->awaited = object_keep(event->stream);
    operation->awaited_position = event->position;
    return stream_submit(stream, operation, NULL);
}

API cuEventSynchronize(CUevent handle)
{
    ENTER(NEEDS_DEVICE);
    EVENT(handle);
    NOT_CAPTURED(event);
    NOT_WHILE_CAPTURING;
    FAULT(SOFTCUDA_FAULT_SYNCHRONIZE);
    if (event->stream) work_wait(event->stream, event->position);
    return sc_failed;
}

/* A question is no synchronisation. Still the device gets on, by one operation for each question. */
API cuEventQuery(CUevent handle)
{
    ENTER(NEEDS_DEVICE);
    EVENT(handle);
    NOT_CAPTURED(event);
    NOT_WHILE_CAPTURING;
    if (is_done(event)) return CUDA_SUCCESS;
    work_step(event->stream);
    return sc_failed ? sc_failed : CUDA_ERROR_NOT_READY;
}

API cuEventElapsedTime_v2(float *milliseconds, CUevent start, CUevent end)
{
    ENTER(NEEDS_DEVICE);
    const struct event *from = object_find(KIND_EVENT, start), *to = object_find(KIND_EVENT, end);
    if (!from || !to) FAIL(CUDA_ERROR_INVALID_HANDLE, "no such event");
    if ((from->flags | to->flags) & CU_EVENT_DISABLE_TIMING) {
        FAIL(CUDA_ERROR_INVALID_HANDLE, "an event that was made without timing");
    }
    if (!from->stream || !to->stream) FAIL(CUDA_ERROR_INVALID_HANDLE, "an event that was never recorded");
    if (!is_done(from) || !is_done(to)) return CUDA_ERROR_NOT_READY;
    *milliseconds = (float)(to->recorded_ms - from->recorded_ms);
    return CUDA_SUCCESS;
}

API cuEventElapsedTime(float *milliseconds, CUevent start, CUevent end)
{
    return cuEventElapsedTime_v2(milliseconds, start, end);
}
