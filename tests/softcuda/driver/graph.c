/* Stream capture, and graphs. A graph's nodes run in the order in which they were captured. */
#include "softcuda.h"

#include <string.h>

/* How this thread treats captures that others began (cuThreadExchangeStreamCaptureMode). */
static __thread CUstreamCaptureMode thread_mode = CU_STREAM_CAPTURE_MODE_GLOBAL;

/* The error for a call that is unsafe while a stream captures, or CUDA_SUCCESS. The capture is spoilt by it. */
CUresult capture_forbids(void)
{
    if (thread_mode == CU_STREAM_CAPTURE_MODE_RELAXED) return CUDA_SUCCESS;
    CUresult result = CUDA_SUCCESS;
    for (struct stream *stream = streams; stream; stream = stream->next) {
        struct graph *capture = stream->capture;
        if (!capture || capture->mode == CU_STREAM_CAPTURE_MODE_RELAXED) continue;
        int ours = pthread_equal(capture->thread, pthread_self());
        int global = capture->mode == CU_STREAM_CAPTURE_MODE_GLOBAL && thread_mode == CU_STREAM_CAPTURE_MODE_GLOBAL;
        if (!ours && !global) continue;
        capture->invalidated = 1;
        result = CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    }
    return result;
}

void graph_append(struct graph *graph, struct operation *operation)
{
    operation->next = NULL;
    if (graph->last) {
        graph->last->next = operation;
    } else {
        graph->first = operation;
    }
    graph->last = operation;
    graph->count++;
}

#define STREAM(handle)                                  \
    struct stream *stream = stream_find(handle);        \
    if (!stream) FAIL(CUDA_ERROR_INVALID_HANDLE, "no such stream in this context")

API cuStreamBeginCapture_v2(CUstream handle, CUstreamCaptureMode mode)
{
    ENTER(NEEDS_CONTEXT);
    STREAM(handle);
    if (!stream->object.handle) FAIL(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, "the default stream cannot be captured");
    if (stream->capture) FAIL(CUDA_ERROR_ILLEGAL_STATE, "the stream captures already");
    FAULT(SOFTCUDA_FAULT_BEGIN_CAPTURE);
    struct graph *graph = object_new(KIND_GRAPH, sizeof *graph, context_current());
    graph->origin = stream;
    graph->mode = mode;
    graph->thread = pthread_self();
    stream->capture = object_keep(graph);
    sc_counters.captures++;
    return CUDA_SUCCESS;
}

API cuStreamEndCapture(CUstream handle, CUgraph *result)
{
    ENTER(NEEDS_CONTEXT);
    STREAM(handle);
    struct graph *graph = stream->capture;
    if (!graph || graph->origin != stream) FAIL(CUDA_ERROR_ILLEGAL_STATE, "no capture began on this stream");
    if (graph->mode != CU_STREAM_CAPTURE_MODE_RELAXED && !pthread_equal(graph->thread, pthread_self())) {
        FAIL(CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD, "the capture began in another thread");
    }
    CUresult injected = fault_check(SOFTCUDA_FAULT_END_CAPTURE);
    graph->origin = NULL;
    for (struct stream *member = streams; member; member = member->next) {
        if (member->capture != graph) continue;
        member->capture = NULL;
        object_drop(graph);
    }
    *result = (CUgraph)graph->object.handle;
    if (!injected && !graph->invalidated) return CUDA_SUCCESS;
    *result = NULL;
    object_close(graph);
    if (injected) FAIL(injected, "a fault that was asked for");
    FAIL(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED, "an earlier call spoilt the capture");
}

static CUstreamCaptureStatus status_of(const struct stream *stream)
{
    if (!stream->capture) return CU_STREAM_CAPTURE_STATUS_NONE;
    return stream->capture->invalidated ? CU_STREAM_CAPTURE_STATUS_INVALIDATED : CU_STREAM_CAPTURE_STATUS_ACTIVE;
}

API cuStreamIsCapturing(CUstream handle, CUstreamCaptureStatus *status)
{
    ENTER(NEEDS_CONTEXT);
    STREAM(handle);
    *status = status_of(stream);
    return CUDA_SUCCESS;
}

API cuThreadExchangeStreamCaptureMode(CUstreamCaptureMode *mode)
{
    ENTER(NEEDS_INIT);
    CUstreamCaptureMode before = thread_mode;
    thread_mode = *mode;
    *mode = before;
    return CUDA_SUCCESS;
}

#define GRAPH(handle)                                              \
    struct graph *graph = object_find(KIND_GRAPH, handle);         \
    if (!graph) FAIL(CUDA_ERROR_INVALID_VALUE, "no such graph")

API cuGraphDestroy(CUgraph handle)
{
    ENTER(NEEDS_DEVICE);
    GRAPH(handle);
    object_close(graph);
    return CUDA_SUCCESS;
}

API cuGraphGetNodes(CUgraph handle, CUgraphNode *nodes, size_t *count)
{
    ENTER(NEEDS_DEVICE);
    GRAPH(handle);
    size_t room = *count, at = 0;
    *count = graph->count;
    if (!nodes) return CUDA_SUCCESS;
    for (struct operation *node = graph->first; node && at < room; node = node->next) nodes[at++] = (CUgraphNode)node;
    return CUDA_SUCCESS;
}

/* Nodes are asked for while their graph lives, so their handles are plain addresses. */
API cuGraphNodeGetType(CUgraphNode node, CUgraphNodeType *type)
{
    ENTER(NEEDS_DEVICE);
    if (!node) FAIL(CUDA_ERROR_INVALID_VALUE, "no node");
    switch (((const struct operation *)node)->kind) {
    case OPERATION_COPY: *type = CU_GRAPH_NODE_TYPE_MEMCPY; break;
    case OPERATION_FILL: *type = CU_GRAPH_NODE_TYPE_MEMSET; break;
    case OPERATION_KERNEL: *type = CU_GRAPH_NODE_TYPE_KERNEL; break;
    case OPERATION_HOST: *type = CU_GRAPH_NODE_TYPE_HOST; break;
    case OPERATION_RECORD: *type = CU_GRAPH_NODE_TYPE_EVENT_RECORD; break;
    case OPERATION_WAIT: *type = CU_GRAPH_NODE_TYPE_WAIT_EVENT; break;
    case OPERATION_GRAPH: *type = CU_GRAPH_NODE_TYPE_GRAPH; break;
    }
    return CUDA_SUCCESS;
}

static CUresult instantiate(CUgraphExec *result, CUgraph handle)
{
    ENTER(NEEDS_CONTEXT);
    GRAPH(handle);
    FAULT(SOFTCUDA_FAULT_INSTANTIATE);
    struct graph *executable = object_new(KIND_GRAPH_EXEC, sizeof *executable, context_current());
    for (const struct operation *node = graph->first; node; node = node->next) {
        graph_append(executable, operation_copy(node));
    }
    *result = (CUgraphExec)executable->object.handle;
    return CUDA_SUCCESS;
}

API cuGraphInstantiateWithFlags(CUgraphExec *result, CUgraph graph, unsigned long long)
{
    return instantiate(result, graph);
}

API cuGraphInstantiateWithParams(CUgraphExec *result, CUgraph graph, CUDA_GRAPH_INSTANTIATE_PARAMS *parameters)
{
    CUresult error = instantiate(result, graph);
    parameters->result_out = error ? CUDA_GRAPH_INSTANTIATE_ERROR : CUDA_GRAPH_INSTANTIATE_SUCCESS;
    return error;
}

#define EXECUTABLE(handle)                                                           \
    struct graph *executable = object_find(KIND_GRAPH_EXEC, handle);                 \
    if (!executable) FAIL(CUDA_ERROR_INVALID_HANDLE, "no such executable graph")

API cuGraphUpload(CUgraphExec handle, CUstream stream_handle)
{
    ENTER(NEEDS_CONTEXT);
    EXECUTABLE(handle);
    STREAM(stream_handle);
    (void)stream;
    return CUDA_SUCCESS;
}

API cuGraphLaunch(CUgraphExec handle, CUstream stream_handle)
{
    ENTER(NEEDS_CONTEXT);
    EXECUTABLE(handle);
    STREAM(stream_handle);
    FAULT(SOFTCUDA_FAULT_LAUNCH);
    sc_counters.graph_launches++;
    struct operation *operation = operation_new(OPERATION_GRAPH);
    operation->graph = object_keep(executable);
    return stream_submit(stream, operation, NULL);
}

/* A launch that still waits keeps the graph. */
API cuGraphExecDestroy(CUgraphExec handle)
{
    ENTER(NEEDS_DEVICE);
    EXECUTABLE(handle);
    object_close(executable);
    return CUDA_SUCCESS;
}
