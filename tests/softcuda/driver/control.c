/* What tests may change and see while the driver runs. */
#include "softcuda.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FAULTS = 8 };

struct fault {
    unsigned kinds; /* 0: a free place */
    long calls_before;
    long times;
    CUresult error;
    int sticky;
};

static struct fault faults[FAULTS];

/* Counts a call of this kind, and gives the error if it is the one that has to fail. */
CUresult fault_check(unsigned kind)
{
    CUresult result = CUDA_SUCCESS;
    for (int i = 0; i < FAULTS; i++) {
        struct fault *fault = &faults[i];
        if (!(fault->kinds & kind) || result) continue;
        if (fault->calls_before) {
            fault->calls_before--;
            continue;
        }
        result = fault->error;
        sc_counters.faults++;
        if (--fault->times == 0) fault->kinds = 0;
        if (fault->sticky) fault_stick(result);
    }
    return result;
}

void fault_stick(CUresult result)
{
    if (sc_failed) return;
    sc_failed = result;
    work_drop_all();
}

static int arm(unsigned kinds, long nth, long times, int error, int sticky)
{
    for (int i = 0; i < FAULTS; i++) {
        if (faults[i].kinds) continue;
        faults[i] = (struct fault){kinds, nth > 1 ? nth - 1 : 0, times, (CUresult)error, sticky};
        return 1;
    }
    return 0;
}

/* SOFTCUDA_FAULT="kinds nth times error sticky", all numbers, for a process that a test starts. */
void fault_read_environment(void)
{
    unsigned kinds;
    long nth, times;
    int error, sticky;
    const char *text = getenv("SOFTCUDA_FAULT");
    if (!text || !*text) return;
    if (sscanf(text, "%u %ld %ld %d %d", &kinds, &nth, &times, &error, &sticky) != 5) {
        fprintf(stderr, "SOFTCUDA_FAULT: got '%s', expected five numbers: kinds nth times error sticky\n", text);
        exit(2);
    }
    arm(kinds, nth, times, error, sticky);
}

int softcuda_fail(unsigned kinds, long nth, long times, int error, int sticky)
{
    sc_enter();
    int armed = arm(kinds, nth, times, error, sticky);
    sc_leave(NULL);
    return armed;
}

void softcuda_clear_faults(void)
{
    sc_enter();
    memset(faults, 0, sizeof faults);
    sc_failed = CUDA_SUCCESS;
    sc_leave(NULL);
}

void softcuda_set(enum softcuda_setting setting, long long value)
{
    sc_enter();
    if ((unsigned)setting < SOFTCUDA_SETTINGS) sc_settings[setting] = value;
    sc_leave(NULL);
}

long long softcuda_get(enum softcuda_setting setting)
{
    return (unsigned)setting < SOFTCUDA_SETTINGS ? sc_settings[setting] : -1;
}

void softcuda_read_counters(struct softcuda_counters *counters)
{
    sc_enter();
    *counters = sc_counters;
    counters->contexts = object_count(KIND_CONTEXT);
    counters->streams = object_count(KIND_STREAM);
    counters->events = object_count(KIND_EVENT);
    counters->graphs = object_count(KIND_GRAPH);
    counters->graph_execs = object_count(KIND_GRAPH_EXEC);
    counters->modules = object_count(KIND_MODULE);
    counters->pushed_here = context_depth_here();
    sc_leave(NULL);
}

int softcuda_progress(int operations)
{
    sc_enter();
    int done = 0;
    struct stream *stream = streams;
    while (stream && done < operations && !sc_failed) {
        if (work_step(stream)) {
            done++;
            stream = streams; /* the list may have changed while the lock was released */
        } else {
            stream = stream->next;
        }
    }
    sc_leave(NULL);
    return done;
}
