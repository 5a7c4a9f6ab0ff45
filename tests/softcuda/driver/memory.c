/* Memory of the device, and pinned memory of the host. */
#include "softcuda.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE ((size_t)4096)
#define ALIGNMENT ((size_t)512)
/* Address space, not memory: more than any device that a test asks for. */
#define ARENA_BYTES ((size_t)64 << 30)
/* New memory is filled up to here with a pattern, so that reading it before writing shows. */
#define POISON_BYTES ((size_t)64 << 20)
#define POISON 0xA5

/* The device's memory is one file in memory. Device addresses lie in a region that nobody may touch, so that a program
 * that takes one for a host address faults, as it would on a card; the file is mapped a second time for the driver. */
static char *device_region, *device_bytes;
static int device_file = -1;
static struct block *blocks; /* sorted by address */
static unsigned long long next_id;

static size_t round_up(size_t bytes, size_t step)
{
    return (bytes + step - 1) / step * step;
}

static int map_device(void)
{
    if (device_region) return 1;
    device_file = memfd_create("softcuda", 0);
    if (device_file < 0 || ftruncate(device_file, (off_t)ARENA_BYTES)) return 0;
    void *region = mmap(NULL, ARENA_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    void *bytes = mmap(NULL, ARENA_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, device_file, 0);
    if (region == MAP_FAILED || bytes == MAP_FAILED) return 0;
    device_region = region;
    device_bytes = bytes;
    return 1;
}

int memory_is_device(const void *address)
{
    const char *at = address;
    return device_region && at >= device_region && at < device_region + ARENA_BYTES;
}

char *memory_host(const void *address)
{
    if (!memory_is_device(address)) return (char *)address;
    return device_bytes + ((const char *)address - device_region);
}

struct block *memory_find(const void *address)
{
    const char *at = address;
    for (struct block *block = blocks; block && block->address <= at; block = block->next) {
        if (at < block->address + block->bytes) return block;
    }
    return NULL;
}

int memory_holds(const void *address, size_t bytes)
{
    if (!bytes) return 1;
    const struct block *block = memory_find(address);
    return block && (const char *)address + bytes <= block->address + block->bytes;
}

static void add_block(char *address, size_t bytes, enum memory kind, unsigned flags)
{
    struct block *block = calloc(1, sizeof *block);
    if (!block) abort();
    *block = (struct block){NULL, address, bytes, kind, flags, context_current(), ++next_id};
    struct block **link = &blocks;
    while (*link && (*link)->address < address) link = &(*link)->next;
    block->next = *link;
    *link = block;
    if (kind == MEMORY_DEVICE) {
        sc_counters.device_bytes += (long long)bytes;
        sc_counters.device_blocks++;
    } else {
        sc_counters.pinned_bytes += (long long)bytes;
        sc_counters.pinned_blocks++;
    }
    if (kind != MEMORY_REGISTERED) memset(memory_host(address), POISON, bytes < POISON_BYTES ? bytes : POISON_BYTES);
}

static void free_block(struct block *block)
{
    struct block **link = &blocks;
    while (*link != block) link = &(*link)->next;
    *link = block->next;
    if (block->kind == MEMORY_DEVICE) {
        sc_counters.device_bytes -= (long long)block->bytes;
        sc_counters.device_blocks--;
        /* Gives the whole pages back to the system. Pages that a neighbour shares stay. */
        size_t start = (size_t)(block->address - device_region);
        size_t first = round_up(start, PAGE), last = (start + block->bytes) / PAGE * PAGE;
        if (last > first) {
            int mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
            if (fallocate(device_file, mode, (off_t)first, (off_t)(last - first))) sc_log(1, "memory is not given back");
        }
    } else {
        sc_counters.pinned_bytes -= (long long)block->bytes;
        sc_counters.pinned_blocks--;
        if (block->kind == MEMORY_PINNED) munmap(block->address, round_up(block->bytes, PAGE));
    }
    free(block);
}

int memory_free_all(const struct context *context)
{
    int freed = 0;
    for (struct block *block = blocks, *next; block; block = next) {
        next = block->next;
        if (block->context != context) continue;
        free_block(block);
        freed++;
    }
    return freed;
}

/* The first gap that is large enough; 0 if the device is full. */
CUdeviceptr memory_allocate(size_t bytes)
{
    long long limit = sc_settings[SOFTCUDA_MEMORY_BYTES];
    if (!map_device() || bytes > ARENA_BYTES || sc_counters.device_bytes + (long long)bytes > limit) return 0;
    char *at = device_region + ALIGNMENT;
    for (const struct block *block = blocks; block; block = block->next) {
        if (block->kind != MEMORY_DEVICE) continue;
        if (block->address >= at && (size_t)(block->address - at) >= bytes) break;
        at = block->address + round_up(block->bytes, ALIGNMENT);
    }
    if (bytes > (size_t)(device_region + ARENA_BYTES - at)) return 0;
    add_block(at, bytes, MEMORY_DEVICE, 0);
    return (CUdeviceptr)at;
}

API cuMemGetInfo_v2(size_t *free_bytes, size_t *total)
{
    ENTER(NEEDS_CONTEXT);
    *total = (size_t)sc_settings[SOFTCUDA_MEMORY_BYTES];
    *free_bytes = *total - (size_t)sc_counters.device_bytes;
    return CUDA_SUCCESS;
}

API cuMemAlloc_v2(CUdeviceptr *address, size_t bytes)
{
    ENTER(NEEDS_CONTEXT);
    if (!address || !bytes) FAIL(CUDA_ERROR_INVALID_VALUE, "nothing to allocate");
    NOT_WHILE_CAPTURING;
    FAULT(SOFTCUDA_FAULT_DEVICE_MEMORY);
    *address = memory_allocate(bytes);
    if (!*address) FAIL(CUDA_ERROR_OUT_OF_MEMORY, "the device is full");
    return CUDA_SUCCESS;
}

API cuMemAllocPitch_v2(CUdeviceptr *address, size_t *pitch, size_t width, size_t height, unsigned)
{
    *pitch = round_up(width, ALIGNMENT);
    return cuMemAlloc_v2(address, *pitch * height);
}

/* Waits for the device first, as on a card. */
API cuMemFree_v2(CUdeviceptr address)
{
    ENTER(NEEDS_CONTEXT);
    if (!address) return CUDA_SUCCESS;
    NOT_WHILE_CAPTURING;
    work_wait_all(NULL);
    if (sc_failed) FAIL(sc_failed, "the device failed");
    struct block *block = memory_find((void *)address);
    if (!block || block->address != (char *)address || block->kind != MEMORY_DEVICE) {
        FAIL(CUDA_ERROR_INVALID_VALUE, "not the start of an allocation");
    }
    free_block(block);
    return CUDA_SUCCESS;
}

API cuMemHostAlloc(void **address, size_t bytes, unsigned flags)
{
    ENTER(NEEDS_CONTEXT);
    if (!address || !bytes) FAIL(CUDA_ERROR_INVALID_VALUE, "nothing to allocate");
    NOT_WHILE_CAPTURING;
    FAULT(SOFTCUDA_FAULT_PINNED_MEMORY);
    void *at = mmap(NULL, round_up(bytes, PAGE), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED) FAIL(CUDA_ERROR_OUT_OF_MEMORY, "the host has no memory left");
    add_block(at, bytes, MEMORY_PINNED, flags);
    *address = at;
    return CUDA_SUCCESS;
}

API cuMemAllocHost_v2(void **address, size_t bytes)
{
    return cuMemHostAlloc(address, bytes, 0);
}

API cuMemFreeHost(void *address)
{
    ENTER(NEEDS_CONTEXT);
    NOT_WHILE_CAPTURING;
    work_wait_all(NULL);
    if (sc_failed) FAIL(sc_failed, "the device failed");
    struct block *block = memory_find(address);
    if (!block || block->address != address || block->kind != MEMORY_PINNED) {
        FAIL(CUDA_ERROR_INVALID_VALUE, "not the start of pinned memory");
    }
    free_block(block);
    return CUDA_SUCCESS;
}

API cuMemHostRegister_v2(void *address, size_t bytes, unsigned flags)
{
    ENTER(NEEDS_CONTEXT);
    if (memory_find(address)) FAIL(CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED, "registered, or ours");
    FAULT(SOFTCUDA_FAULT_PINNED_MEMORY);
    add_block(address, bytes, MEMORY_REGISTERED, flags);
    return CUDA_SUCCESS;
}

API cuMemHostUnregister(void *address)
{
    ENTER(NEEDS_CONTEXT);
    work_wait_all(NULL);
    if (sc_failed) FAIL(sc_failed, "the device failed");
    struct block *block = memory_find(address);
    if (!block || block->address != address || block->kind != MEMORY_REGISTERED) {
        FAIL(CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED, "not the start of registered memory");
    }
    free_block(block);
    return CUDA_SUCCESS;
}
