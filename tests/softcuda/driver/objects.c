/* A table of all that callers hold handles of. A handle is looked up at each use, so a dead one is refused, and the
 * memory of a dead object can be given back. */
#include "softcuda.h"

#include <stdlib.h>

enum { BUCKETS = 1024, HANDLE_STEP = 64 };

static struct object *table[BUCKETS];
static uintptr_t serial;
static long counts[KINDS];

static struct object **bucket(uintptr_t handle)
{
    return &table[handle / HANDLE_STEP % BUCKETS];
}

void *object_new_unlisted(enum kind kind, size_t bytes, struct context *context)
{
    struct object *object = calloc(1, bytes);
    if (!object) abort();
    object->kind = kind;
    object->references = 1;
    object->context = context ? object_keep(context) : NULL;
    return object;
}

void *object_new(enum kind kind, size_t bytes, struct context *context)
{
    struct object *object = object_new_unlisted(kind, bytes, context);
    object->handle = ((uintptr_t)kind << 40) + ++serial * HANDLE_STEP;
    object->next = *bucket(object->handle);
    *bucket(object->handle) = object;
    counts[kind]++;
    return object;
}

void *object_find(enum kind kind, const void *handle)
{
    for (struct object *object = *bucket((uintptr_t)handle); object; object = object->next) {
        if (object->handle == (uintptr_t)handle && object->kind == kind) return object;
    }
    if (handle) sc_counters.late_uses++;
    return NULL;
}

void *object_keep(void *object)
{
    ((struct object *)object)->references++;
    return object;
}

static void finish(struct object *object)
{
    if (object->kind == KIND_STREAM) {
        struct stream *stream = (struct stream *)object;
        operations_free(stream->first);
        if (stream->capture) object_drop(stream->capture);
    } else if (object->kind == KIND_EVENT) {
        struct event *event = (struct event *)object;
        if (event->stream) object_drop(event->stream);
        if (event->capture) object_drop(event->capture);
    } else if (object->kind == KIND_GRAPH || object->kind == KIND_GRAPH_EXEC) {
        operations_free(((struct graph *)object)->first);
    }
}

void object_drop(void *dropped)
{
    struct object *object = dropped;
    if (--object->references > 0) return;
    struct context *context = object->context;
    finish(object);
    free(object);
    if (context) object_drop(context);
}

void object_close(void *closed)
{
    struct object *object = closed;
    struct object **link = bucket(object->handle);
    while (*link != object) link = &(*link)->next;
    *link = object->next;
    counts[object->kind]--;
    object_drop(object);
}

long object_count(enum kind kind)
{
    return counts[kind];
}

int object_close_all(const struct context *context)
{
    int closed = 0;
    for (int i = 0; i < BUCKETS; i++) {
        struct object *object = table[i];
        while (object) {
            struct object *next = object->next;
            if (object->context == context) {
                if (object->kind == KIND_STREAM) stream_unlist((struct stream *)object);
                object_close(object);
                closed++;
            }
            object = next;
        }
    }
    return closed;
}
