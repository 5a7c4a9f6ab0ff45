/* What LD_PRELOAD puts in front of the C library: open, close, ioctl, mmap and poll, for the cameras of the folder
 * SOFTV4L2. A camera's node there is a link to /dev/null: a character device, as stat(2) says. Its descriptor is an
 * eventfd, so that poll(2), select(2) and epoll(7) wait for its frames. */
#define _GNU_SOURCE
#include "softv4l2.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { MAX_FDS = 4096, MAX_DEVICES = 32 };
static struct device *devices[MAX_DEVICES];
static struct device *_Atomic by_fd[MAX_FDS];
static pthread_mutex_t all = PTHREAD_MUTEX_INITIALIZER;

#define REAL(name, type, ...)                                                   \
  static type (*real)(__VA_ARGS__);                                             \
  if (!real) real = (type (*)(__VA_ARGS__))dlsym(RTLD_NEXT, name);

static int real_close(int fd) {
  REAL("close", int, int)
  return real(fd);
}

static struct device *device_of(int fd) { return fd >= 0 && fd < MAX_FDS ? by_fd[fd] : NULL; }

/* Follows links until the path is that of a camera's node; false if it is not. */
static bool find_node(const char *path, char *node) {
  const char *folder = getenv("SOFTV4L2");
  if (!folder || !path || snprintf(node, NAME_BYTES, "%s", path) >= NAME_BYTES) return false;
  size_t length = strlen(folder);
  for (int links = 0; links < 8; links++) {
    char target[NAME_BYTES], copy[NAME_BYTES];
    ssize_t used = readlink(node, target, sizeof target - 1);
    if (used < 0) return false;
    target[used] = 0;
    if (!strncmp(node, folder, length) && !strncmp(node + length, "/video", 6)) return !strcmp(target, "/dev/null");
    strcpy(copy, node);
    if (target[0] == '/') strcpy(node, target);
    else if (snprintf(node, NAME_BYTES, "%s/%s", dirname(copy), target) >= NAME_BYTES) return false;
    char resolved[PATH_MAX];
    strcpy(copy, node);
    if (!realpath(dirname(copy), resolved)) return false;
    strcpy(copy, node);
    if (snprintf(node, NAME_BYTES, "%s/%s", resolved, basename(copy)) >= NAME_BYTES) return false;
  }
  return false;
}

static struct device *new_device(const char *node) {
  struct device *device = calloc(1, sizeof *device);
  char path[2 * NAME_BYTES], copy[NAME_BYTES], copy2[NAME_BYTES];
  strcpy(device->path, node);
  strcpy(copy, node);
  strcpy(copy2, node);
  const char *folder = dirname(copy), *name = basename(copy2);
  snprintf(path, sizeof path, "%s/conf/%s", folder, name);
  read_settings(path, &device->settings);
  snprintf(path, sizeof path, "%s/control/%s", folder, name);
  int fd = open(path, O_RDWR | O_CLOEXEC);
  if (fd < 0) abort();
  device->control = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  real_close(fd);
  if (device->control == MAP_FAILED) abort();
  pthread_mutex_init(&device->lock, NULL);
  device->owner = device->memory_fd = -1;
  if (device->settings.mode_count) {
    const struct mode *mode = &device->settings.modes[0];
    device->format = (struct v4l2_pix_format){.width = mode->width, .height = mode->height, .pixelformat = mode->fourcc};
    settle_format(device, &device->format);
    device->interval = mode->interval_count ? mode->intervals[0] : (struct v4l2_fract){1, 30};
  }
  return device;
}

/* A node that nobody has open has new settings perhaps; one that was unplugged and came back is a new device. */
static struct device *find_device(const char *node) {
  for (int i = 0; i < MAX_DEVICES; i++) {
    struct device *device = devices[i];
    if (device && device->files && !strcmp(device->path, node) && !device_is_gone(device)) return device;
  }
  for (int i = 0; i < MAX_DEVICES; i++) {
    if (devices[i] && devices[i]->files) continue;
    if (devices[i]) munmap(devices[i]->control, 4096);
    free(devices[i]);
    return devices[i] = new_device(node);
  }
  abort();
}

static int open_node(const char *node, int flags) {
  pthread_mutex_lock(&all);
  struct device *device = find_device(node);
  int error = device->control->unplugged ? ENODEV : device->settings.open_errno;
  int fd = error ? -1 : eventfd(0, EFD_SEMAPHORE | EFD_NONBLOCK | (flags & O_CLOEXEC ? EFD_CLOEXEC : 0));
  if (fd >= MAX_FDS) abort();
  if (fd >= 0) {
    by_fd[fd] = device;
    device->files++;
    device->control->open_files++;
  } else {
    errno = error ? error : errno;
  }
  pthread_mutex_unlock(&all);
  return fd;
}

#define OPEN(name)                                                              \
  int name(const char *path, int flags, ...) {                                  \
    REAL(#name, int, const char *, int, ...)                                    \
    char node[NAME_BYTES];                                                      \
    if (find_node(path, node)) return open_node(node, flags);                   \
    va_list rest;                                                               \
    va_start(rest, flags);                                                      \
    mode_t mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(rest, mode_t) : 0;   \
    va_end(rest);                                                               \
    return real(path, flags, mode);                                             \
  }
OPEN(open)
OPEN(open64)

int openat(int folder, const char *path, int flags, ...) {
  REAL("openat", int, int, const char *, int, ...)
  char node[NAME_BYTES];
  if (path[0] == '/' && find_node(path, node)) return open_node(node, flags);
  va_list rest;
  va_start(rest, flags);
  mode_t mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(rest, mode_t) : 0;
  va_end(rest);
  return real(folder, path, flags, mode);
}

int close(int fd) {
  struct device *device = device_of(fd);
  if (!device) return real_close(fd);
  pthread_mutex_lock(&all);
  pthread_mutex_lock(&device->lock);
  by_fd[fd] = NULL;
  device_closed(device, fd);
  pthread_mutex_unlock(&device->lock);
  pthread_mutex_unlock(&all);
  return real_close(fd);
}

int ioctl(int fd, unsigned long request, ...) {
  REAL("ioctl", int, int, unsigned long, ...)
  va_list rest;
  va_start(rest, request);
  void *argument = va_arg(rest, void *);
  va_end(rest);
  struct device *device = device_of(fd);
  if (!device) return real(fd, request, argument);
  pthread_mutex_lock(&device->lock);
  int error = device_ioctl(device, fd, request, argument);
  pthread_mutex_unlock(&device->lock);
  if (error) errno = error;
  return error ? -1 : 0;
}

#define MMAP(name, offset_type)                                                                       \
  void *name(void *address, size_t length, int protection, int flags, int fd, offset_type offset) {   \
    REAL(#name, void *, void *, size_t, int, int, int, offset_type)                                   \
    struct device *device = device_of(fd);                                                            \
    return real(address, length, protection, flags, device ? device->memory_fd : fd, offset);         \
  }
MMAP(mmap, off_t)
MMAP(mmap64, off64_t)

static int corrected(struct pollfd *fds, nfds_t count) {
  int ready = 0;
  for (nfds_t i = 0; i < count; i++) {
    struct device *device = device_of(fds[i].fd);
    if (device) {
      pthread_mutex_lock(&device->lock);
      fds[i].revents = device_events(device, fds[i].fd, fds[i].events, fds[i].revents & POLLIN);
      pthread_mutex_unlock(&device->lock);
    }
    ready += fds[i].revents != 0;
  }
  return ready;
}

int poll(struct pollfd *fds, nfds_t count, int timeout) {
  REAL("poll", int, struct pollfd *, nfds_t, int)
  bool ours = false;
  for (nfds_t i = 0; i < count; i++) {
    fds[i].revents = 0;
    ours |= device_of(fds[i].fd) != NULL;
  }
  if (!ours) return real(fds, count, timeout);
  int ready = corrected(fds, count); /* errors that are there before anything happens */
  if (ready) return ready;
  int answer = real(fds, count, timeout);
  return answer < 0 ? answer : corrected(fds, count);
}

int ppoll(struct pollfd *fds, nfds_t count, const struct timespec *timeout, const sigset_t *mask) {
  REAL("ppoll", int, struct pollfd *, nfds_t, const struct timespec *, const sigset_t *)
  int answer = real(fds, count, timeout, mask);
  return answer < 0 ? answer : corrected(fds, count);
}
