/* A software V4L2 driver: a library for LD_PRELOAD that answers for the cameras of one folder. See ../README.md. */
#ifndef SOFTV4L2_H
#define SOFTV4L2_H

#include <linux/videodev2.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

enum { MAX_BUFFERS = 32, MAX_MODES = 64, MAX_RATES = 8, NAME_BYTES = 512 };

/* One page, in a file, that the tests and the driver share. The order is that of control.py. */
struct control {
  /* set by the test */
  uint32_t unplugged;     /* the camera is gone: its node is removed, every call fails with ENODEV */
  uint32_t frozen;        /* it streams, but no frame comes */
  uint32_t lose;          /* so many frames are lost before they reach a buffer; counted down */
  uint32_t damage;        /* so many frames are damaged; counted down */
  uint32_t damage_kind;   /* enum damage */
  uint32_t bad_stamps;    /* so many frames are stamped a minute ahead; counted down */
  /* counted by the driver */
  uint32_t frames;        /* frames that the sensor made */
  uint32_t starved;       /* of them, lost because no buffer was queued */
  uint32_t open_files;    /* descriptors that are open now */
  uint32_t stream_ons;
  uint32_t buffers;       /* of the last REQBUFS */
  uint32_t fourcc;        /* the format that is set */
  uint32_t width, height;
  uint32_t interval_us;
  uint32_t streaming;     /* now */
};

enum damage { CUT_SHORT = 1, MIDDLE_GONE = 2, EMPTY = 3, MARKED = 4, IO_ERROR = 5, NO_END = 6 };

struct mode {
  uint32_t fourcc, width, height;
  uint32_t max_width, max_height, step; /* a range of sizes, where step is not 0 */
  struct v4l2_fract intervals[MAX_RATES];
  int interval_count;
};

/* What the test has set, from the file conf/NAME: lines of a word and its values. */
struct settings {
  char driver[16], card[32], pictures[NAME_BYTES];
  uint32_t capabilities, device_caps;
  struct mode modes[MAX_MODES];
  int mode_count;
  uint32_t padding;      /* bytes behind each row */
  uint32_t stamp_flags;  /* V4L2_BUF_FLAG_TIMESTAMP_* and _TSTAMP_SRC_* */
  int64_t stamp_shift_us;
  uint32_t max_buffers;
  uint32_t quantization;
  bool lists_formats, lists_sizes, has_rates, counts;
  int open_errno, format_errno, stream_errno;
};

enum buffer_state { HELD, QUEUED, FILLED };

struct buffer {
  enum buffer_state state;
  uint64_t order; /* among those of its state */
  struct v4l2_buffer facts;
};

struct device {
  char path[NAME_BYTES];
  struct settings settings;
  struct control *control;
  pthread_mutex_t lock;
  pthread_t thread;
  bool running, gone;
  struct v4l2_pix_format format;
  struct v4l2_fract interval;
  int files;      /* descriptors that are open */
  int owner;      /* the descriptor that owns the buffers, or -1 */
  int wake_fd;    /* eventfd of the owner: readable when a buffer is filled or the camera is gone */
  int memory_fd;
  uint8_t *memory;
  size_t buffer_bytes;
  struct buffer buffers[MAX_BUFFERS];
  uint32_t buffer_count;
  uint64_t order;
  uint32_t sequence;
};

/* device.c: all of these return 0 or an errno. */
int device_ioctl(struct device *device, int fd, unsigned long request, void *argument);
bool device_is_gone(struct device *device);
void device_closed(struct device *device, int fd);
short device_events(struct device *device, int fd, short events, bool readable);
void settle_format(struct device *device, struct v4l2_pix_format *format);

/* streaming.c */
int buffers_request(struct device *device, int fd, struct v4l2_requestbuffers *request);
int buffer_query(struct device *device, struct v4l2_buffer *buffer);
int buffer_queue(struct device *device, int fd, struct v4l2_buffer *buffer);
int buffer_dequeue(struct device *device, int fd, struct v4l2_buffer *buffer);
int stream_on(struct device *device, int fd);
void stream_off(struct device *device);
void buffers_free(struct device *device);

/* pictures.c: draws frame `number` into memory and returns the bytes used. */
uint32_t draw(const struct device *device, uint32_t number, uint8_t *memory);
uint32_t row_bytes(uint32_t fourcc, uint32_t width);
uint32_t picture_bytes(const struct v4l2_pix_format *format);

/* settings.c */
void read_settings(const char *path, struct settings *settings);

#endif
