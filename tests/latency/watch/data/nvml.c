/* A stand-in for NVIDIA's management library: two GPUs, of which the second is an old one without an energy counter.
   What it answers is in the environment, as numbers. Types and return codes: nvml.h. */
#include <stdlib.h>
#include <string.h>

#define SUCCESS 0
#define NOT_SUPPORTED 3
#define NO_PERMISSION 4
#define FUNCTION_NOT_FOUND 13

static int users = 0;

static unsigned long long said(const char *name, unsigned long long otherwise) {
    const char *text = getenv(name);
    return text ? strtoull(text, 0, 0) : otherwise;
}

static int is_second(const void *device) { return device == (void *)2; }

int nvmlInitWithFlags(unsigned flags) {
    (void)flags;
    if (said("NVML_REFUSES", 0)) return NO_PERMISSION;
    users++;
    return SUCCESS;
}
int nvmlShutdown(void) { return users-- > 0 ? SUCCESS : 1; }
int stand_in_users(void) { return users; }
const char *nvmlErrorString(int code) { return code == NO_PERMISSION ? "Insufficient Permissions" : "Not Supported"; }
int nvmlDeviceGetCount_v2(unsigned *count) { *count = (unsigned)said("NVML_GPUS", 1); return SUCCESS; }
int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **device) { *device = (void *)(long)(index + 1); return SUCCESS; }
int nvmlDeviceGetName(void *device, char *name, unsigned length) {
    strncpy(name, is_second(device) ? "NVIDIA GeForce GTX 1080" : "NVIDIA GeForce RTX 4070", length);
    return SUCCESS;
}
int nvmlDeviceGetPowerUsage(void *device, unsigned *milliwatts) {
    if (said("NVML_JETSON", 0)) return NOT_SUPPORTED;
    *milliwatts = is_second(device) ? 50000 : (unsigned)said("NVML_POWER_MW", 150250);
    return SUCCESS;
}
int nvmlDeviceGetEnforcedPowerLimit(void *device, unsigned *milliwatts) {
    (void)device;
    if (said("NVML_JETSON", 0)) return NOT_SUPPORTED;
    *milliwatts = 200000;
    return SUCCESS;
}
int nvmlDeviceGetTotalEnergyConsumption(void *device, unsigned long long *millijoules) {
    if (is_second(device) || said("NVML_JETSON", 0)) return NOT_SUPPORTED;
    *millijoules = said("NVML_ENERGY_MJ", 7000000123ULL);
    return SUCCESS;
}
int nvmlDeviceGetTemperature(void *device, int sensor, unsigned *celsius) {
    (void)sensor;
    *celsius = is_second(device) ? 41 : 66;
    return SUCCESS;
}
int nvmlDeviceGetClockInfo(void *device, int clock, unsigned *mhz) {
    (void)device;
    if (said("NVML_JETSON", 0)) return NOT_SUPPORTED;
    *mhz = clock == 1 ? 2475 : 10501;
    return SUCCESS;
}
int nvmlDeviceGetMaxClockInfo(void *device, int clock, unsigned *mhz) {
    (void)device, (void)clock;
    *mhz = 3105;
    return SUCCESS;
}
#ifdef OLD_DRIVER
int nvmlDeviceGetCurrentClocksThrottleReasons(void *device, unsigned long long *reasons) {
#else
int nvmlDeviceGetCurrentClocksEventReasons(void *device, unsigned long long *reasons) {
#endif
    *reasons = is_second(device) ? 0x1 : said("NVML_REASONS", 0);
    return SUCCESS;
}
