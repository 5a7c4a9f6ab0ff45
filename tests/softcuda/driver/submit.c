/* How an operation gets into a stream. */
#include "softcuda.h"

/* An event stands for the place in the stream where it was recorded last, by itself or by a graph. */
static void attach_events(const struct operation *operation, struct stream *stream, unsigned long long position)
{
    if (operation->kind == OPERATION_RECORD) event_attach(operation->event, stream, position);
    if (operation->kind != OPERATION_GRAPH) return;
    for (const struct operation *node = operation->graph->first; node; node = node->next) {
        attach_events(node, stream, position);
    }
}

static void append(struct stream *stream, struct operation *operation)
{
    operation->position = ++stream->submitted;
    operation->next = NULL;
    attach_events(operation, stream, operation->position);
    if (stream->last) {
        stream->last->next = operation;
    } else {
        stream->first = operation;
    }
    stream->last = operation;
    sc_counters.pending++;
}

static void await(struct stream *stream, struct stream *other)
{
    if (other->completed == other->submitted) return;
    struct operation *operation = operation_new(OPERATION_WAIT);
    operation->awaited = object_keep(other);
    operation->awaited_position = other->submitted;
    append(stream, operation);
}

/* The legacy default stream waits for the streams that were not made non-blocking, and they wait for it. */
static void order_with_default_stream(struct stream *stream)
{
    struct context *context = stream->object.context;
    if (stream->flags & CU_STREAM_NON_BLOCKING) return;
    if (stream != context->null_stream) {
        await(stream, context->null_stream);
        return;
    }
    for (struct stream *other = streams; other; other = other->next) {
        int blocks = other->object.context == context && !(other->flags & CU_STREAM_NON_BLOCKING);
        if (blocks && other != stream) await(stream, other);
    }
}

/* A capture of a blocking stream does not survive a use of the legacy default stream. */
static CUresult implicit_use(const struct stream *stream)
{
    const struct context *context = stream->object.context;
    if (stream != context->null_stream) return CUDA_SUCCESS;
    for (struct stream *other = streams; other; other = other->next) {
        if (other->object.context != context || !other->capture || other->flags & CU_STREAM_NON_BLOCKING) continue;
        other->capture->invalidated = 1;
        return sc_error("submit", CUDA_ERROR_STREAM_CAPTURE_IMPLICIT, "the default stream, while another captures");
    }
    return CUDA_SUCCESS;
}

/* Puts an operation into the stream, or into the graph that the stream captures; either way it is the stream's now.
 * Its position is stored, unless that is NULL, before it can run. */
CUresult stream_submit(struct stream *stream, struct operation *operation, unsigned long long *position)
{
    if (stream->capture) {
        if (!stream->capture->invalidated) {
            graph_append(stream->capture, operation);
            return CUDA_SUCCESS;
        }
        operation_free(operation);
        return sc_error("submit", CUDA_ERROR_STREAM_CAPTURE_INVALIDATED, "an earlier call spoilt the capture");
    }
    CUresult refused = implicit_use(stream);
    if (refused) {
        operation_free(operation);
        return refused;
    }
    order_with_default_stream(stream);
    append(stream, operation);
    if (position) *position = stream->submitted;
    if (sc_settings[SOFTCUDA_DEFERRED]) return CUDA_SUCCESS;
    /* A thread that runs this stream's work now goes on to ours when it is done: submitting never waits. */
    object_keep(stream);
    while (!sc_failed && work_step(stream)) continue;
    object_drop(stream);
    return CUDA_SUCCESS;
}
