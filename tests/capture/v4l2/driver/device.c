/* The calls that set a camera up, as the kernel's drivers answer them. */
#define _GNU_SOURCE
#include "softv4l2.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct mode *nth_mode(const struct device *device, uint32_t fourcc, uint32_t index) {
  for (int i = 0; i < device->settings.mode_count; i++)
    if (device->settings.modes[i].fourcc == fourcc && index-- == 0) return &device->settings.modes[i];
  return NULL;
}

static uint32_t distance(uint32_t a, uint32_t b) { return a < b ? b - a : a - b; }

static uint32_t within(uint32_t value, uint32_t low, uint32_t high) { return value < low ? low : value > high ? high : value; }

/* The mode of this pixel format (or, where there is none, of the first one) whose size is the nearest. */
static const struct mode *nearest_mode(const struct device *device, const struct v4l2_pix_format *asked) {
  uint32_t fourcc = nth_mode(device, asked->pixelformat, 0) ? asked->pixelformat : device->settings.modes[0].fourcc;
  const struct mode *best = nth_mode(device, fourcc, 0), *mode;
  for (uint32_t i = 0; (mode = nth_mode(device, fourcc, i)); i++)
    if (distance(mode->width, asked->width) + distance(mode->height, asked->height) <
        distance(best->width, asked->width) + distance(best->height, asked->height))
      best = mode;
  return best;
}

void settle_format(struct device *device, struct v4l2_pix_format *format) {
  const struct mode *mode = nearest_mode(device, format);
  if (mode->step) {
    format->width = within(format->width / mode->step * mode->step, mode->width, mode->max_width);
    format->height = within(format->height / mode->step * mode->step, mode->height, mode->max_height);
  } else {
    format->width = mode->width;
    format->height = mode->height;
  }
  format->pixelformat = mode->fourcc;
  format->field = V4L2_FIELD_NONE;
  format->bytesperline = row_bytes(mode->fourcc, format->width);
  if (format->bytesperline) format->bytesperline += device->settings.padding;
  format->sizeimage = picture_bytes(format);
  format->colorspace = mode->fourcc == V4L2_PIX_FMT_MJPEG ? V4L2_COLORSPACE_JPEG : V4L2_COLORSPACE_SRGB;
  format->quantization = device->settings.quantization;
}

static void settle_interval(struct device *device, struct v4l2_fract asked) {
  const struct mode *mode = nearest_mode(device, &device->format);
  double wanted = asked.denominator && asked.numerator ? (double)asked.denominator / asked.numerator : 1e9;
  double best = -1;
  if (mode->step) {
    struct v4l2_fract high = mode->intervals[0], low = mode->intervals[mode->interval_count - 1];
    bool is_high = wanted > (double)high.denominator / high.numerator, is_low = wanted < (double)low.denominator / low.numerator;
    device->interval = is_high ? high : is_low ? low : asked;
  }
  for (int i = 0; i < mode->interval_count && !mode->step; i++) {
    double rate = (double)mode->intervals[i].denominator / mode->intervals[i].numerator;
    double missed = rate > wanted ? rate - wanted : wanted - rate;
    if (best < 0 || missed < best) {
      best = missed;
      device->interval = mode->intervals[i];
    }
  }
  device->control->interval_us = (uint32_t)(1000000ull * device->interval.numerator / device->interval.denominator);
}

static int set_format(struct device *device, int fd, struct v4l2_format *format) {
  if (device->settings.format_errno) return device->settings.format_errno;
  if (device->owner >= 0 && device->owner != fd) return EBUSY;
  if (device->owner >= 0) return EBUSY;
  settle_format(device, &format->fmt.pix);
  device->format = format->fmt.pix;
  device->control->fourcc = device->format.pixelformat;
  device->control->width = device->format.width;
  device->control->height = device->format.height;
  settle_interval(device, device->interval);
  return 0;
}

static int list_formats(const struct device *device, struct v4l2_fmtdesc *entry) {
  uint32_t left = entry->index;
  if (!device->settings.lists_formats) return EINVAL;
  for (int i = 0; i < device->settings.mode_count; i++) {
    const struct mode *mode = &device->settings.modes[i];
    if (nth_mode(device, mode->fourcc, 0) != mode || left--) continue;
    entry->pixelformat = mode->fourcc;
    entry->flags = mode->fourcc == V4L2_PIX_FMT_MJPEG ? V4L2_FMT_FLAG_COMPRESSED : 0;
    snprintf((char *)entry->description, sizeof entry->description, "%.4s", (const char *)&mode->fourcc);
    return 0;
  }
  return EINVAL;
}

static int list_sizes(const struct device *device, struct v4l2_frmsizeenum *entry) {
  if (!device->settings.lists_sizes) return ENOTTY;
  const struct mode *mode = nth_mode(device, entry->pixel_format, entry->index);
  if (!mode) return EINVAL;
  if (mode->step) {
    entry->type = V4L2_FRMSIZE_TYPE_STEPWISE;
    entry->stepwise = (struct v4l2_frmsize_stepwise){mode->width, mode->max_width, mode->step, mode->height, mode->max_height, mode->step};
  } else {
    entry->type = V4L2_FRMSIZE_TYPE_DISCRETE;
    entry->discrete = (struct v4l2_frmsize_discrete){mode->width, mode->height};
  }
  return 0;
}

static int list_intervals(const struct device *device, struct v4l2_frmivalenum *entry) {
  const struct mode *mode;
  for (uint32_t i = 0; (mode = nth_mode(device, entry->pixel_format, i)); i++) {
    if (!mode->step && (mode->width != entry->width || mode->height != entry->height)) continue;
    if (entry->index >= (uint32_t)mode->interval_count) return EINVAL;
    if (mode->step) {
      entry->type = V4L2_FRMIVAL_TYPE_CONTINUOUS;
      entry->stepwise = (struct v4l2_frmival_stepwise){mode->intervals[0], mode->intervals[mode->interval_count - 1], {1, 1}};
      return entry->index ? EINVAL : 0;
    }
    entry->type = V4L2_FRMIVAL_TYPE_DISCRETE;
    entry->discrete = mode->intervals[entry->index];
    return 0;
  }
  return EINVAL;
}

static int parameters(struct device *device, struct v4l2_streamparm *parameters, bool set) {
  if (!device->settings.has_rates) return ENOTTY;
  if (set && device->running) return EBUSY;
  if (set) settle_interval(device, parameters->parm.capture.timeperframe);
  memset(&parameters->parm, 0, sizeof parameters->parm);
  parameters->parm.capture.capability = V4L2_CAP_TIMEPERFRAME;
  parameters->parm.capture.timeperframe = device->interval;
  return 0;
}

static int capability(const struct device *device, struct v4l2_capability *answer) {
  memset(answer, 0, sizeof *answer);
  memcpy(answer->driver, device->settings.driver, sizeof answer->driver);
  memcpy(answer->card, device->settings.card, sizeof answer->card);
  strcpy((char *)answer->bus_info, "soft:0");
  answer->version = 0x060000;
  answer->capabilities = device->settings.capabilities;
  answer->device_caps = device->settings.device_caps;
  return 0;
}

/* Whether a call is for frames that lie in one plane, and this camera's do. */
static bool captures(const struct device *device, uint32_t type) {
  return type == V4L2_BUF_TYPE_VIDEO_CAPTURE && device->settings.device_caps & V4L2_CAP_VIDEO_CAPTURE;
}

/* Once unplugged, an open camera stays gone, even if one of the same name comes back. */
bool device_is_gone(struct device *device) { return device->gone |= device->control->unplugged != 0; }

int device_ioctl(struct device *device, int fd, unsigned long request, void *argument) {
  if (device_is_gone(device)) return ENODEV;
  /* The first field of most of these is the type of the buffers. */
  uint32_t type = *(uint32_t *)argument;
  switch ((uint32_t)request) {
    case VIDIOC_QUERYCAP: return capability(device, argument);
    case VIDIOC_ENUM_FMT:
      return captures(device, ((struct v4l2_fmtdesc *)argument)->type) ? list_formats(device, argument) : EINVAL;
    case VIDIOC_ENUM_FRAMESIZES: return list_sizes(device, argument);
    case VIDIOC_ENUM_FRAMEINTERVALS: return list_intervals(device, argument);
    case VIDIOC_G_FMT:
      if (!captures(device, type)) return EINVAL;
      ((struct v4l2_format *)argument)->fmt.pix = device->format;
      return 0;
    case VIDIOC_TRY_FMT:
      if (!captures(device, type)) return EINVAL;
      settle_format(device, &((struct v4l2_format *)argument)->fmt.pix);
      return 0;
    case VIDIOC_S_FMT: return captures(device, type) ? set_format(device, fd, argument) : EINVAL;
    case VIDIOC_G_PARM: return captures(device, type) ? parameters(device, argument, false) : EINVAL;
    case VIDIOC_S_PARM: return captures(device, type) ? parameters(device, argument, true) : EINVAL;
    case VIDIOC_G_INPUT: *(int *)argument = 0; return 0;
    case VIDIOC_S_INPUT: return *(int *)argument ? EINVAL : 0;
    case VIDIOC_ENUMINPUT: {
      struct v4l2_input *input = argument;
      if (input->index) return EINVAL;
      input->type = V4L2_INPUT_TYPE_CAMERA;
      strcpy((char *)input->name, "Camera 1");
      return 0;
    }
    case VIDIOC_REQBUFS: return buffers_request(device, fd, argument);
    case VIDIOC_QUERYBUF: return buffer_query(device, argument);
    case VIDIOC_QBUF: return buffer_queue(device, fd, argument);
    case VIDIOC_DQBUF: return buffer_dequeue(device, fd, argument);
    case VIDIOC_STREAMON: return stream_on(device, fd);
    case VIDIOC_STREAMOFF:
      if (device->owner == fd) stream_off(device);
      return 0;
    default: return ENOTTY;
  }
}

void device_closed(struct device *device, int fd) {
  if (device->owner == fd) {
    stream_off(device);
    buffers_free(device);
  }
  device->files--;
  device->control->open_files--;
}

short device_events(struct device *device, int fd, short events, bool readable) {
  if (device_is_gone(device)) return POLLERR | POLLHUP;
  if (device->owner != fd || !device->running) return POLLERR;
  for (uint32_t i = 0; i < device->buffer_count; i++)
    if (device->buffers[i].state != HELD) return readable ? (short)(events & (POLLIN | POLLRDNORM)) : 0;
  return POLLERR; /* as vb2: nothing is queued, so nothing can come */
}
