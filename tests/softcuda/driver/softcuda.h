/* What the parts of the software CUDA driver share: its state, its objects, and the rules for entering a call.
 *
 * One pretend device, backed by the memory of the process. See ../README.md for what it models and what not. */
#ifndef SOFTCUDA_H
#define SOFTCUDA_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
/* Makes cuda.h declare every version of each entry point under its own name, as a driver exports them. */
#define __CUDA_API_VERSION_INTERNAL
#include <cuda.h>
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

#include "control.h"

/* ---- state.c: the lock, the settings, the log, and how each call begins */

/* What a call needs before it may do anything. */
enum needs {
    NEEDS_NOTHING,
    NEEDS_INIT,    /* cuInit was called; works after a sticky error, as contexts can still be put away */
    NEEDS_DEVICE,  /* the same, and no sticky error */
    NEEDS_CONTEXT, /* the same, and a context that is current in this thread */
};

extern long long sc_settings[SOFTCUDA_SETTINGS];
extern struct softcuda_counters sc_counters;
extern pthread_mutex_t sc_lock;
extern pthread_cond_t sc_changed; /* some stream's operation ended */
extern int sc_initialised;
extern CUresult sc_failed; /* the sticky error, or CUDA_SUCCESS */

void sc_enter(void);
void sc_leave(const int *guard);
CUresult sc_refuse(const char *call, enum needs needs);
CUresult sc_error(const char *call, CUresult result, const char *why);
void sc_log(int level, const char *format, ...) __attribute__((format(printf, 2, 3)));
double sc_now_ms(void);
/* Runs a caller's function on this thread with the lock released: it may need the interpreter's lock, which a thread
 * that waits here may hold. */
void sc_call_out(CUhostFn function, void *argument);

#define API CUresult CUDAAPI
/* Begins a call: takes the lock until the function returns, and returns at once what forbids the call. */
#define ENTER(needs)                                                       \
    __attribute__((cleanup(sc_leave))) int sc_guard = 0;                   \
    sc_enter();                                                            \
    do {                                                                   \
        (void)sc_guard;                                                    \
        CUresult sc_refused = sc_refuse(__func__, needs);                  \
        if (sc_refused) return sc_refused;                                 \
    } while (0)
#define FAIL(result, why) return sc_error(__func__, result, why)
/* Returns the error of a fault that a test asked for. */
#define FAULT(kind)                                                        \
    do {                                                                   \
        CUresult sc_injected = fault_check(kind);                          \
        if (sc_injected) FAIL(sc_injected, "a fault that was asked for");  \
    } while (0)
/* Refuses a call that is unsafe while a stream captures. */
#define NOT_WHILE_CAPTURING                                                \
    do {                                                                   \
        CUresult sc_capturing = capture_forbids();                         \
        if (sc_capturing) FAIL(sc_capturing, "not permitted while a stream captures"); \
    } while (0)

/* ---- control.c: faults */

CUresult fault_check(unsigned kind);
/* From now on every call fails with this error; work that waits is dropped. */
void fault_stick(CUresult result);
void fault_read_environment(void);

/* ---- objects.c: whatever a caller holds a handle of */

enum kind { KIND_CONTEXT = 1, KIND_STREAM, KIND_EVENT, KIND_GRAPH, KIND_GRAPH_EXEC, KIND_MODULE, KIND_FUNCTION, KINDS };

struct context;
struct object {
    enum kind kind;
    uintptr_t handle; /* what the caller holds: a number that is never used twice, so that late use is always seen */
    int references;   /* one is the table's, until the caller destroys the object */
    struct context *context;
    struct object *next;
};

void *object_new(enum kind kind, size_t bytes, struct context *context);
void *object_new_unlisted(enum kind kind, size_t bytes, struct context *context);
void *object_find(enum kind kind, const void *handle);
void *object_keep(void *object);
void object_drop(void *object);
void object_close(void *object); /* takes it out of the table: its handle is dead, its memory lives while it is needed */
long object_count(enum kind kind);
int object_close_all(const struct context *context);

/* ---- context.c */

struct stream;
struct context {
    struct object object;
    int primary;
    int destroyed;
    unsigned flags;
    struct stream *null_stream;
};

struct context *context_current(void);
int context_depth_here(void);

/* ---- memory.c */

enum memory { MEMORY_NONE, MEMORY_DEVICE, MEMORY_PINNED, MEMORY_REGISTERED };

struct block {
    struct block *next;
    char *address;
    size_t bytes;
    enum memory kind;
    unsigned flags;
    const struct context *context;
    unsigned long long id;
};

struct block *memory_find(const void *address);
int memory_holds(const void *address, size_t bytes);
int memory_is_device(const void *address); /* an address of the device's own memory, allocated or not */
char *memory_host(const void *address);
CUdeviceptr memory_allocate(size_t bytes);
int memory_free_all(const struct context *context);

/* ---- work.c: operations of streams */

enum operation_kind {
    OPERATION_COPY,
    OPERATION_FILL,
    OPERATION_KERNEL,
    OPERATION_HOST,
    OPERATION_RECORD,
    OPERATION_WAIT,
    OPERATION_GRAPH,
};

struct rows { /* memory in rows of equal length */
    char *address;
    size_t pitch;
    int checked; /* whether it must lie in allocated memory when the operation runs */
};

struct operation {
    struct operation *next;
    enum operation_kind kind;
    unsigned long long position; /* in its stream */
    struct rows to, from;        /* copy, fill */
    size_t row_bytes, rows;
    void *staged; /* copy: what was in pageable memory when the copy was asked for */
    unsigned value, element_bytes; /* fill */
    CUhostFn function; /* host */
    void *argument;
    struct event *event; /* record */
    struct stream *awaited; /* wait */
    unsigned long long awaited_position;
    struct graph *graph; /* graph */
};

struct operation *operation_new(enum operation_kind kind);
struct operation *operation_copy(const struct operation *operation);
void operation_free(struct operation *operation);
void operations_free(struct operation *first);
void work_wait(struct stream *stream, unsigned long long position);
void work_wait_all(const struct context *context); /* NULL: of all contexts */
int work_step(struct stream *stream); /* runs one operation, if one waits and none runs; whether it did */
void work_drop_all(void);

/* ---- stream.c, event.c */

struct stream {
    struct object object;
    unsigned flags;
    int priority;
    struct operation *first, *last;
    unsigned long long submitted, completed; /* positions of the last operation submitted, and ended */
    int running;
    struct graph *capture;
    struct stream *next;
};

struct event {
    struct object object;
    unsigned flags;
    struct stream *stream; /* where it was recorded last, or NULL */
    unsigned long long position;
    struct graph *capture; /* when it was recorded in a capture */
    double recorded_ms;
};

extern struct stream *streams;
struct stream *stream_new(struct context *context, unsigned flags, int priority, int listed);
struct stream *stream_find(CUstream handle); /* of the current context; NULL if it is no stream of that */
void stream_unlist(struct stream *stream);
CUresult stream_submit(struct stream *stream, struct operation *operation, unsigned long long *position); /* submit.c */
void event_attach(struct event *event, struct stream *stream, unsigned long long position);

/* ---- graph.c */

struct graph { /* of a capture, or made executable */
    struct object object;
    struct operation *first, *last;
    size_t count;
    struct stream *origin; /* while it is captured */
    CUstreamCaptureMode mode;
    pthread_t thread;
    int invalidated;
};

CUresult capture_forbids(void);
void graph_append(struct graph *graph, struct operation *operation);

#endif
