/* The lock, the settings, the log, and how each call begins. */
#include "softcuda.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

long long sc_settings[SOFTCUDA_SETTINGS];
struct softcuda_counters sc_counters;
pthread_mutex_t sc_lock = PTHREAD_MUTEX_INITIALIZER;
pthread_cond_t sc_changed = PTHREAD_COND_INITIALIZER;
int sc_initialised;
CUresult sc_failed = CUDA_SUCCESS;

static long log_level;
static FILE *log_file;
/* Set while this thread runs a host function: CUDA forbids calls of the driver from there. */
static __thread int in_host_function;

static long long from_environment(const char *name, long long otherwise)
{
    const char *text = getenv(name);
    return text && *text ? atoll(text) : otherwise;
}

/* When the library is loaded. Tests change the settings later, by softcuda_set. */
__attribute__((constructor)) static void read_environment(void)
{
    log_level = (long)from_environment("SOFTCUDA_LOG", 0);
    const char *path = getenv("SOFTCUDA_LOGFILE");
    log_file = path && *path ? fopen(path, "a") : NULL;
    if (!log_file) log_file = stderr;
    sc_settings[SOFTCUDA_DEFERRED] = from_environment("SOFTCUDA_DEFER", 0);
    sc_settings[SOFTCUDA_MEMORY_BYTES] = from_environment("SOFTCUDA_MEM_MB", 8192) << 20;
    sc_settings[SOFTCUDA_INTEGRATED] = from_environment("SOFTCUDA_INTEGRATED", 0);
    sc_settings[SOFTCUDA_COMPUTE_CAPABILITY] = from_environment("SOFTCUDA_CC", 86);
    sc_settings[SOFTCUDA_DRIVER_VERSION] = from_environment("SOFTCUDA_DRIVER_VERSION", 13000);
    sc_settings[SOFTCUDA_DEVICES] = !from_environment("SOFTCUDA_NODEVICE", 0);
    fault_read_environment();
}

/* At the end of the process: what was left, for tests that look at a child process. */
__attribute__((destructor)) static void write_report(void)
{
    const char *path = getenv("SOFTCUDA_REPORT");
    FILE *file = path && *path ? fopen(path, "w") : NULL;
    if (!file) return;
    struct softcuda_counters now;
    softcuda_read_counters(&now);
    const long long *values = (const long long *)&now;
    for (size_t i = 0; i < sizeof now / sizeof *values; i++) fprintf(file, "%lld\n", values[i]);
    fclose(file);
}

void sc_enter(void)
{
    pthread_mutex_lock(&sc_lock);
}

void sc_leave(const int *)
{
    pthread_mutex_unlock(&sc_lock);
}

CUresult sc_refuse(const char *call, enum needs needs)
{
    sc_log(2, "%s", call);
    if (needs == NEEDS_NOTHING) return CUDA_SUCCESS;
    if (!sc_initialised) return sc_error(call, CUDA_ERROR_NOT_INITIALIZED, "cuInit was not called");
    if (needs == NEEDS_INIT) return CUDA_SUCCESS;
    if (in_host_function) return sc_error(call, CUDA_ERROR_NOT_PERMITTED, "called from a host function");
    if (sc_failed) return sc_error(call, sc_failed, "an earlier call failed for good");
    if (needs == NEEDS_DEVICE) return CUDA_SUCCESS;
    struct context *context = context_current();
    if (!context) return sc_error(call, CUDA_ERROR_INVALID_CONTEXT, "no context is current in this thread");
    if (context->destroyed) return sc_error(call, CUDA_ERROR_CONTEXT_IS_DESTROYED, "this thread's context is gone");
    return CUDA_SUCCESS;
}

CUresult sc_error(const char *call, CUresult result, const char *why)
{
    const char *name = NULL;
    cuGetErrorName(result, &name);
    sc_log(1, "%s: %s (%s)", call, name ? name : "?", why);
    return result;
}

/* What the generated entry points answer (entry_points.py). */
int sc_not_supported(const char *call)
{
    return sc_error(call, CUDA_ERROR_NOT_SUPPORTED, "the software driver does not have it");
}

void sc_log(int level, const char *format, ...)
{
    if (level > log_level) return;
    va_list arguments;
    va_start(arguments, format);
    fprintf(log_file, "[softcuda %ld] ", (long)syscall(SYS_gettid));
    vfprintf(log_file, format, arguments);
    fputc('\n', log_file);
    fflush(log_file);
    va_end(arguments);
}

double sc_now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec * 1e-6;
}

void sc_call_out(CUhostFn function, void *argument)
{
    pthread_mutex_unlock(&sc_lock);
    in_host_function++;
    function(argument);
    in_host_function--;
    pthread_mutex_lock(&sc_lock);
}
