/* What tests may ask of the software CUDA driver while it runs. tests/softcuda/control.py says the same in Python. */
#ifndef SOFTCUDA_CONTROL_H
#define SOFTCUDA_CONTROL_H

#include <stddef.h>

#define SOFTCUDA_EXPORT __attribute__((visibility("default")))

enum softcuda_setting {
    SOFTCUDA_DEFERRED,           /* 1: the work of streams runs only when something synchronises */
    SOFTCUDA_MEMORY_BYTES,       /* of the device */
    SOFTCUDA_INTEGRATED,         /* 1: the device says that it shares the host's memory */
    SOFTCUDA_COMPUTE_CAPABILITY, /* 86 is 8.6 */
    SOFTCUDA_DRIVER_VERSION,     /* 13000 is CUDA 13.0 */
    SOFTCUDA_DEVICES,            /* 0 or 1; read by cuInit */
    SOFTCUDA_SETTINGS,
};

/* Kinds of calls that can be made to fail; a fault may name several. */
enum softcuda_fault {
    SOFTCUDA_FAULT_DEVICE_MEMORY = 1,
    SOFTCUDA_FAULT_PINNED_MEMORY = 2,
    SOFTCUDA_FAULT_COPY = 4,           /* copies and fills */
    SOFTCUDA_FAULT_LAUNCH = 8,         /* kernels and graphs */
    SOFTCUDA_FAULT_HOST_FUNCTION = 16, /* enqueueing one */
    SOFTCUDA_FAULT_RECORD = 32,        /* recording an event */
    SOFTCUDA_FAULT_SYNCHRONIZE = 64,   /* of a stream, an event, the context */
    SOFTCUDA_FAULT_BEGIN_CAPTURE = 128,
    SOFTCUDA_FAULT_END_CAPTURE = 256,
    SOFTCUDA_FAULT_INSTANTIATE = 512,
    SOFTCUDA_FAULT_CREATE = 1024,  /* a stream or an event */
    SOFTCUDA_FAULT_CONTEXT = 2048, /* making or retaining a context */
    SOFTCUDA_FAULT_EXECUTE = 4096, /* an operation, when its turn comes: the next call finds it */
};

/* What lives now, then what happened since the start. */
struct softcuda_counters {
    long long device_bytes, device_blocks, pinned_bytes, pinned_blocks;
    long long contexts, streams, events, graphs, graph_execs, modules;
    long long primary_references;     /* retains of the primary context that were not released */
    long long pushed_here, pushed;    /* contexts on the stack of this thread; of all threads that live */
    long long pending;                /* operations that wait in streams */
    long long copies_to_device, copies_to_host, copies_within_device, fills;
    long long kernel_launches, host_functions, graph_launches, captures;
    long long faults;                 /* calls that failed because a test asked for it */
    long long late_uses;              /* calls with a handle that was destroyed, or never was one */
    long long abandoned;              /* objects and memory that went only with their context */
    long long threads_ended_with_context;
};

SOFTCUDA_EXPORT void softcuda_set(enum softcuda_setting setting, long long value);
SOFTCUDA_EXPORT long long softcuda_get(enum softcuda_setting setting);
/* The nth next call of these kinds fails with this error, and so do the calls of these kinds after it until this many
 * failed. Sticky: from then on every call fails. Returns 0 if there is no room for one more fault. */
SOFTCUDA_EXPORT int softcuda_fail(unsigned kinds, long nth, long times, int error, int sticky);
/* Forgets faults that have not happened, and the sticky error. */
SOFTCUDA_EXPORT void softcuda_clear_faults(void);
SOFTCUDA_EXPORT void softcuda_read_counters(struct softcuda_counters *counters);
/* The device goes on by itself: runs at most this many operations that wait, oldest stream first. Returns how many. */
SOFTCUDA_EXPORT int softcuda_progress(int operations);
/* Where the bytes of a device address lie, for a host function that computes on them; other addresses are returned as
 * they are. NULL for an address of the device's memory that is not allocated. */
SOFTCUDA_EXPORT void *softcuda_host_address(const void *address);
/* Whether the device may use this memory: 0 no, 1 device, 2 pinned, 3 registered. */
SOFTCUDA_EXPORT int softcuda_memory_kind(const void *address, size_t bytes);

#endif
