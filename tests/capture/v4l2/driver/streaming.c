/* Buffers and the stream: a thread that makes a picture at each interval, as a sensor does, whether or not there is a
 * buffer for it. */
#define _GNU_SOURCE
#include "softv4l2.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

static const size_t PAGE = 4096;

static void describe(const struct device *device, uint32_t index, struct v4l2_buffer *buffer) {
  const struct buffer *own = &device->buffers[index];
  *buffer = own->facts;
  buffer->index = index;
  buffer->type = V4L2_BUF_TYPE_VIDEO_CAPTURE;
  buffer->memory = V4L2_MEMORY_MMAP;
  buffer->length = device->format.sizeimage;
  buffer->m.offset = (uint32_t)(index * device->buffer_bytes);
  buffer->flags |= device->settings.stamp_flags | (own->state == QUEUED ? V4L2_BUF_FLAG_QUEUED : 0);
}

void buffers_free(struct device *device) {
  if (device->memory) munmap(device->memory, device->buffer_bytes * device->buffer_count);
  if (device->memory_fd >= 0) close(device->memory_fd);
  device->memory = NULL;
  device->memory_fd = device->owner = -1;
  device->buffer_count = device->control->buffers = 0;
}

int buffers_request(struct device *device, int fd, struct v4l2_requestbuffers *request) {
  if (request->type != V4L2_BUF_TYPE_VIDEO_CAPTURE || request->memory != V4L2_MEMORY_MMAP) return EINVAL;
  if (device->owner >= 0 && (device->owner != fd || device->running)) return EBUSY;
  buffers_free(device);
  if (request->count > device->settings.max_buffers) request->count = device->settings.max_buffers;
  if (!request->count) return 0;
  device->buffer_bytes = (device->format.sizeimage + PAGE - 1) / PAGE * PAGE;
  device->memory_fd = memfd_create("softv4l2", MFD_CLOEXEC);
  size_t size = device->buffer_bytes * request->count;
  if (device->memory_fd < 0 || ftruncate(device->memory_fd, (off_t)size)) return ENOMEM;
  device->memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, device->memory_fd, 0);
  if (device->memory == MAP_FAILED) abort();
  memset(device->buffers, 0, sizeof device->buffers);
  device->owner = device->wake_fd = fd;
  device->buffer_count = device->control->buffers = request->count;
  request->capabilities = V4L2_BUF_CAP_SUPPORTS_MMAP;
  return 0;
}

int buffer_query(struct device *device, struct v4l2_buffer *buffer) {
  if (buffer->index >= device->buffer_count) return EINVAL;
  describe(device, buffer->index, buffer);
  return 0;
}

int buffer_queue(struct device *device, int fd, struct v4l2_buffer *buffer) {
  if (device->owner != fd) return device->owner < 0 ? EINVAL : EBUSY;
  if (buffer->index >= device->buffer_count || buffer->memory != V4L2_MEMORY_MMAP) return EINVAL;
  struct buffer *own = &device->buffers[buffer->index];
  if (own->state != HELD) return EINVAL;
  own->state = QUEUED;
  own->order = device->order++;
  describe(device, buffer->index, buffer);
  return 0;
}

static struct buffer *first(struct device *device, enum buffer_state state) {
  struct buffer *found = NULL;
  for (uint32_t i = 0; i < device->buffer_count; i++) {
    struct buffer *own = &device->buffers[i];
    if (own->state == state && (!found || own->order < found->order)) found = own;
  }
  return found;
}

int buffer_dequeue(struct device *device, int fd, struct v4l2_buffer *buffer) {
  if (device->owner != fd) return device->owner < 0 ? EINVAL : EBUSY;
  if (!device->running) return EINVAL;
  struct buffer *own = first(device, FILLED);
  if (!own) return EAGAIN;
  uint64_t count;
  if (read(device->wake_fd, &count, sizeof count) < 0) abort(); /* a semaphore: one per filled buffer */
  bool failed = own->facts.bytesused == UINT32_MAX;
  own->state = failed ? QUEUED : HELD;
  if (failed) return EIO;
  describe(device, (uint32_t)(own - device->buffers), buffer);
  return 0;
}

/* Damages the picture in memory as the test wants it; returns the bytes used. */
static uint32_t damaged(struct device *device, struct buffer *own, uint8_t *memory, uint32_t used) {
  switch (device->control->damage_kind) {
    case CUT_SHORT: return used / 2;
    case MIDDLE_GONE: memmove(memory + used / 3, memory + used / 3 * 2, used - used / 3 * 2); return used - used / 3;
    case EMPTY: return 0;
    case MARKED: own->facts.flags |= V4L2_BUF_FLAG_ERROR; return used;
    case IO_ERROR: return UINT32_MAX;
    case NO_END: return used - 2;
    default: abort();
  }
}

static void make_frame(struct device *device, const struct timespec *start) {
  struct control *control = device->control;
  uint32_t number = device->sequence++;
  control->frames++;
  if (control->lose) {
    control->lose--;
    return;
  }
  struct buffer *own = first(device, QUEUED);
  if (!own) {
    control->starved++;
    return;
  }
  uint8_t *memory = device->memory + (size_t)(own - device->buffers) * device->buffer_bytes;
  memset(&own->facts, 0, sizeof own->facts);
  own->facts.bytesused = draw(device, number, memory);
  if (control->damage) {
    control->damage--;
    own->facts.bytesused = damaged(device, own, memory, own->facts.bytesused);
  }
  int64_t stamp_us = start->tv_sec * 1000000 + start->tv_nsec / 1000 + device->settings.stamp_shift_us;
  if (control->bad_stamps) {
    control->bad_stamps--;
    stamp_us += 60000000;
  }
  own->facts.timestamp.tv_sec = stamp_us / 1000000;
  own->facts.timestamp.tv_usec = stamp_us % 1000000;
  own->facts.sequence = device->settings.counts ? number : 0;
  own->facts.field = V4L2_FIELD_NONE;
  own->state = FILLED;
  own->order = device->order++;
  uint64_t one = 1;
  if (write(device->wake_fd, &one, sizeof one) < 0) abort();
}

static void *sensor(void *argument) {
  struct device *device = argument;
  struct timespec next;
  clock_gettime(CLOCK_MONOTONIC, &next);
  pthread_mutex_lock(&device->lock);
  int64_t interval_ns = (int64_t)device->interval.numerator * 1000000000 / device->interval.denominator;
  while (device->running) {
    struct timespec start = next;
    int64_t ns = next.tv_nsec + interval_ns;
    next.tv_sec += ns / 1000000000;
    next.tv_nsec = ns % 1000000000;
    pthread_mutex_unlock(&device->lock);
    /* In short steps, so that switching it off need not wait for a frame. */
    for (bool waiting = true; waiting && device->running;) {
      struct timespec now, until;
      clock_gettime(CLOCK_MONOTONIC, &now);
      int64_t left_ns = (next.tv_sec - now.tv_sec) * 1000000000 + next.tv_nsec - now.tv_nsec;
      if (left_ns <= 0) break;
      waiting = left_ns > 20000000;
      until = (struct timespec){0, waiting ? 20000000 : left_ns};
      clock_nanosleep(CLOCK_MONOTONIC, 0, &until, NULL);
      if (device->control->unplugged) break;
    }
    pthread_mutex_lock(&device->lock);
    if (device_is_gone(device)) {
      uint64_t one = 1; /* wakes whoever waits */
      if (write(device->wake_fd, &one, sizeof one) < 0) abort();
      break;
    }
    if (device->running && !device->control->frozen) make_frame(device, &start);
  }
  pthread_mutex_unlock(&device->lock);
  return NULL;
}

int stream_on(struct device *device, int fd) {
  if (device->owner != fd) return device->owner < 0 ? EINVAL : EBUSY;
  if (device->settings.stream_errno) return device->settings.stream_errno;
  if (device->running) return 0;
  device->running = true;
  device->sequence = 0;
  device->control->stream_ons++;
  device->control->streaming = 1;
  if (pthread_create(&device->thread, NULL, sensor, device)) abort();
  return 0;
}

void stream_off(struct device *device) {
  if (!device->running) return;
  device->running = false;
  pthread_mutex_unlock(&device->lock);
  pthread_join(device->thread, NULL);
  pthread_mutex_lock(&device->lock);
  device->control->streaming = 0;
  for (uint32_t i = 0; i < device->buffer_count; i++) {
    uint64_t count;
    if (device->buffers[i].state == FILLED && read(device->wake_fd, &count, sizeof count) < 0) abort();
    device->buffers[i].state = HELD;
  }
}
