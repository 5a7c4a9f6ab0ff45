/* Operations, and who runs them when. There is no thread of the device's own: an operation runs on a thread that waits
 * for it, or, without deferred execution, on the thread that submitted it. */
#include "softcuda.h"

#include <stdlib.h>
#include <string.h>

struct operation *operation_new(enum operation_kind kind)
{
    struct operation *operation = calloc(1, sizeof *operation);
    if (!operation) abort();
    operation->kind = kind;
    operation->rows = 1;
    return operation;
}

struct operation *operation_copy(const struct operation *original)
{
    struct operation *copy = operation_new(original->kind);
    *copy = *original;
    copy->next = NULL;
    if (copy->event) object_keep(copy->event);
    if (copy->awaited) object_keep(copy->awaited);
    if (copy->graph) object_keep(copy->graph);
    return copy;
}

void operation_free(struct operation *operation)
{
    if (operation->event) object_drop(operation->event);
    if (operation->awaited) object_drop(operation->awaited);
    if (operation->graph) object_drop(operation->graph);
    free(operation->staged);
    free(operation);
}

void operations_free(struct operation *first)
{
    while (first) {
        struct operation *next = first->next;
        operation_free(first);
        first = next;
    }
}

static int rows_are_there(const struct operation *operation, const struct rows *rows)
{
    return !rows->checked || memory_holds(rows->address, (operation->rows - 1) * rows->pitch + operation->row_bytes);
}

static void copy(const struct operation *operation)
{
    if (!rows_are_there(operation, &operation->to) || !rows_are_there(operation, &operation->from)) {
        fault_stick(sc_error("copy", CUDA_ERROR_ILLEGAL_ADDRESS, "the memory was freed before the copy ran"));
        return;
    }
    const char *from = operation->staged ? operation->staged : memory_host(operation->from.address);
    char *to = memory_host(operation->to.address);
    for (size_t row = 0; row < operation->rows; row++) {
        memmove(to + row * operation->to.pitch, from + row * operation->from.pitch, operation->row_bytes);
    }
}

static void fill(const struct operation *operation)
{
    if (!rows_are_there(operation, &operation->to)) {
        fault_stick(sc_error("fill", CUDA_ERROR_ILLEGAL_ADDRESS, "the memory was freed before the fill ran"));
        return;
    }
    char *to = memory_host(operation->to.address);
    /* The host is little-endian: an element's first bytes are the value's lowest. */
    for (size_t at = 0; at < operation->row_bytes; at += operation->element_bytes) {
        memcpy(to + at, &operation->value, operation->element_bytes);
    }
}

static void execute(const struct operation *operation)
{
    CUresult injected = fault_check(SOFTCUDA_FAULT_EXECUTE);
    if (injected) fault_stick(injected);
    if (sc_failed) return;
    switch (operation->kind) {
    case OPERATION_COPY: copy(operation); break;
    case OPERATION_FILL: fill(operation); break;
    case OPERATION_KERNEL: break; /* kernels compute nothing here */
    case OPERATION_HOST: sc_call_out(operation->function, operation->argument); break;
    case OPERATION_RECORD: operation->event->recorded_ms = sc_now_ms(); break;
    case OPERATION_WAIT: work_wait(operation->awaited, operation->awaited_position); break;
    case OPERATION_GRAPH:
        for (const struct operation *node = operation->graph->first; node; node = node->next) execute(node);
        break;
    }
}

/* Runs the stream's first operation. The caller holds a reference of the stream. */
static void run_first(struct stream *stream)
{
    struct operation *operation = stream->first;
    stream->first = operation->next;
    if (!stream->first) stream->last = NULL;
    sc_counters.pending--;
    stream->running = 1;
    execute(operation);
    stream->running = 0;
    if (stream->completed < operation->position) stream->completed = operation->position;
    operation_free(operation);
    pthread_cond_broadcast(&sc_changed);
}

/* Returns when the stream's operations up to this position have ended, or the device failed. */
void work_wait(struct stream *stream, unsigned long long position)
{
    object_keep(stream);
    while (!sc_failed && stream->completed < position) {
        if (stream->running || !stream->first) {
            pthread_cond_wait(&sc_changed, &sc_lock);
        } else {
            run_first(stream);
        }
    }
    object_drop(stream);
}

void work_wait_all(const struct context *context)
{
    struct stream *stream = streams;
    while (stream && !sc_failed) {
        if ((context && stream->object.context != context) || stream->completed == stream->submitted) {
            stream = stream->next;
            continue;
        }
        work_wait(stream, stream->submitted);
        stream = streams; /* the list may have changed while the lock was released */
    }
}

int work_step(struct stream *stream)
{
    if (stream->running || !stream->first) return 0;
    object_keep(stream);
    run_first(stream);
    object_drop(stream);
    return 1;
}

void work_drop_all(void)
{
    for (struct stream *stream = streams; stream; stream = stream->next) {
        struct operation *first = stream->first;
        stream->first = NULL;
        stream->last = NULL;
        stream->completed = stream->submitted;
        for (const struct operation *operation = first; operation; operation = operation->next) sc_counters.pending--;
        operations_free(first);
    }
    pthread_cond_broadcast(&sc_changed);
}
