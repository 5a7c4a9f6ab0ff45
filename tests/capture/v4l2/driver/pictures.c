/* Pictures of known colours: four bars (blue, green, red, grey), in the lower half from right to left. The greys tell
 * the frame's number: 8 times its lowest five bits above, and of the next five below. JPEG pictures are files, which the tests make: pictures/WIDTHxHEIGHT-0.jpg, -1.jpg, ... */
#define _GNU_SOURCE
#include "softv4l2.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct color { uint8_t b, g, r, y, u, v; };

static uint8_t rounded(double value) { return (uint8_t)(value < 0 ? 0 : value > 255 ? 255 : value + 0.5); }

/* BT.601. */
static struct color color(uint8_t b, uint8_t g, uint8_t r, bool full) {
  double y = 0.299 * r + 0.587 * g + 0.114 * b, u = (b - y) / 1.772, v = (r - y) / 1.402;
  double luma = full ? 1 : 219.0 / 255, chroma = full ? 1 : 224.0 / 255;
  return (struct color){b, g, r, rounded(y * luma + (full ? 0 : 16)), rounded(u * chroma + 128), rounded(v * chroma + 128)};
}

uint32_t row_bytes(uint32_t fourcc, uint32_t width) {
  switch (fourcc) {
    case V4L2_PIX_FMT_YUYV: case V4L2_PIX_FMT_UYVY: case V4L2_PIX_FMT_YVYU: return 2 * width;
    case V4L2_PIX_FMT_BGR24: case V4L2_PIX_FMT_RGB24: return 3 * width;
    case V4L2_PIX_FMT_XBGR32: return 4 * width;
    case V4L2_PIX_FMT_MJPEG: case V4L2_PIX_FMT_H264: return 0;
    default: return width;
  }
}

uint32_t picture_bytes(const struct v4l2_pix_format *format) {
  switch (format->pixelformat) {
    case V4L2_PIX_FMT_NV12: case V4L2_PIX_FMT_NV21: case V4L2_PIX_FMT_YUV420: case V4L2_PIX_FMT_YVU420:
      return format->bytesperline * format->height * 3 / 2;
    case V4L2_PIX_FMT_MJPEG: case V4L2_PIX_FMT_H264:
      return format->width * format->height * 2;
    default: return format->bytesperline * format->height;
  }
}

static uint32_t read_jpeg(const struct device *device, uint32_t number, uint8_t *memory) {
  char path[NAME_BYTES + 64];
  for (int attempt = 0; attempt < 2; attempt++) {
    int count = 0;
    do {
      snprintf(path, sizeof path, "%s/%ux%u-%d.jpg", device->settings.pictures, device->format.width, device->format.height, count);
    } while (access(path, R_OK) == 0 && ++count);
    if (!count) return 0;
    snprintf(path, sizeof path, "%s/%ux%u-%u.jpg", device->settings.pictures, device->format.width, device->format.height, number % (uint32_t)count);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) continue;
    ssize_t used = read(fd, memory, device->format.sizeimage);
    close(fd);
    return used < 0 ? 0 : (uint32_t)used;
  }
  return 0;
}

uint32_t draw(const struct device *device, uint32_t number, uint8_t *memory) {
  const struct v4l2_pix_format *f = &device->format;
  if (f->pixelformat == V4L2_PIX_FMT_MJPEG) return read_jpeg(device, number, memory);
  bool full = device->settings.quantization == V4L2_QUANTIZATION_FULL_RANGE || f->pixelformat == V4L2_PIX_FMT_GREY;
  uint8_t low = (uint8_t)(number % 32 * 8), high = (uint8_t)(number / 32 % 32 * 8);
  const struct color upper[4] = {color(255, 0, 0, full), color(0, 255, 0, full), color(0, 0, 255, full), color(low, low, low, full)};
  struct color lower[4] = {upper[0], upper[1], upper[2], color(high, high, high, full)};
  uint32_t stride = f->bytesperline, width = f->width, height = f->height;
  memset(memory, 0xA5, f->sizeimage); /* what shows where padding is taken for pixels */
  for (uint32_t y = 0; y < height; y++) {
    uint8_t *row = memory + y * stride;
    for (uint32_t x = 0; x < width; x++) {
      uint32_t bar = x * 4 / width;
      const struct color c = y < height / 2 ? upper[bar] : lower[3 - bar];
      bool second = x & 1;
      switch (f->pixelformat) {
        case V4L2_PIX_FMT_YUYV: row[2 * x] = c.y; row[2 * x + 1] = second ? c.v : c.u; break;
        case V4L2_PIX_FMT_YVYU: row[2 * x] = c.y; row[2 * x + 1] = second ? c.u : c.v; break;
        case V4L2_PIX_FMT_UYVY: row[2 * x + 1] = c.y; row[2 * x] = second ? c.v : c.u; break;
        case V4L2_PIX_FMT_BGR24: memcpy(row + 3 * x, (uint8_t[]){c.b, c.g, c.r}, 3); break;
        case V4L2_PIX_FMT_RGB24: memcpy(row + 3 * x, (uint8_t[]){c.r, c.g, c.b}, 3); break;
        case V4L2_PIX_FMT_XBGR32: memcpy(row + 4 * x, (uint8_t[]){c.b, c.g, c.r, 0}, 4); break;
        default: row[x] = c.y;
      }
      if (y & 1 || second) continue;
      uint8_t *chroma = memory + stride * height;
      uint8_t *planes = chroma + y / 2 * (stride / 2) + x / 2, *other = planes + stride / 2 * (height / 2);
      switch (f->pixelformat) {
        case V4L2_PIX_FMT_NV12: chroma[y / 2 * stride + x] = c.u; chroma[y / 2 * stride + x + 1] = c.v; break;
        case V4L2_PIX_FMT_NV21: chroma[y / 2 * stride + x] = c.v; chroma[y / 2 * stride + x + 1] = c.u; break;
        case V4L2_PIX_FMT_YUV420: *planes = c.u; *other = c.v; break;
        case V4L2_PIX_FMT_YVU420: *planes = c.v; *other = c.u; break;
        default: break;
      }
    }
  }
  return picture_bytes(f);
}
