/* Reads what a test has set for a camera. */
#define _GNU_SOURCE
#include "softv4l2.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void read_mode(struct settings *settings, char *rest) {
  struct mode *mode = &settings->modes[settings->mode_count];
  char *word = strtok(rest, " ");
  if (settings->mode_count == MAX_MODES || !word || strlen(word) != 4) abort();
  memset(mode, 0, sizeof *mode);
  memcpy(&mode->fourcc, word, 4);
  word = strtok(NULL, " ");
  if (sscanf(word, "%u-%ux%u-%u/%u", &mode->width, &mode->max_width, &mode->height, &mode->max_height, &mode->step) != 5 &&
      sscanf(word, "%ux%u", &mode->width, &mode->height) != 2)
    abort();
  while ((word = strtok(NULL, " ")) && mode->interval_count < MAX_RATES) {
    struct v4l2_fract *interval = &mode->intervals[mode->interval_count++];
    interval->numerator = 1;
    if (sscanf(word, "%u/%u", &interval->denominator, &interval->numerator) < 1) abort();
  }
  settings->mode_count++;
}

void read_settings(const char *path, struct settings *settings) {
  memset(settings, 0, sizeof *settings);
  strcpy(settings->driver, "uvcvideo");
  strcpy(settings->card, "Soft Camera");
  settings->device_caps = V4L2_CAP_VIDEO_CAPTURE | V4L2_CAP_STREAMING;
  settings->stamp_flags = V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC | V4L2_BUF_FLAG_TSTAMP_SRC_SOE;
  settings->max_buffers = MAX_BUFFERS;
  settings->lists_formats = settings->lists_sizes = settings->has_rates = settings->counts = true;
  FILE *file = fopen(path, "re");
  if (!file) abort();
  char line[NAME_BYTES + 64];
  while (fgets(line, sizeof line, file)) {
    line[strcspn(line, "\n")] = 0;
    char *value = strchr(line, ' ');
    if (!value) abort();
    *value++ = 0;
    if (!strcmp(line, "mode")) read_mode(settings, value);
    else if (!strcmp(line, "driver")) snprintf(settings->driver, sizeof settings->driver, "%s", value);
    else if (!strcmp(line, "card")) snprintf(settings->card, sizeof settings->card, "%s", value);
    else if (!strcmp(line, "pictures")) snprintf(settings->pictures, sizeof settings->pictures, "%s", value);
    else if (!strcmp(line, "device_caps")) settings->device_caps = (uint32_t)strtoul(value, NULL, 0);
    else if (!strcmp(line, "padding")) settings->padding = (uint32_t)strtoul(value, NULL, 0);
    else if (!strcmp(line, "stamp_flags")) settings->stamp_flags = (uint32_t)strtoul(value, NULL, 0);
    else if (!strcmp(line, "stamp_shift_us")) settings->stamp_shift_us = strtoll(value, NULL, 0);
    else if (!strcmp(line, "max_buffers")) settings->max_buffers = (uint32_t)strtoul(value, NULL, 0);
    else if (!strcmp(line, "quantization")) settings->quantization = (uint32_t)strtoul(value, NULL, 0);
    else if (!strcmp(line, "lists_formats")) settings->lists_formats = atoi(value);
    else if (!strcmp(line, "lists_sizes")) settings->lists_sizes = atoi(value);
    else if (!strcmp(line, "has_rates")) settings->has_rates = atoi(value);
    else if (!strcmp(line, "counts")) settings->counts = atoi(value);
    else if (!strcmp(line, "open_errno")) settings->open_errno = atoi(value);
    else if (!strcmp(line, "format_errno")) settings->format_errno = atoi(value);
    else if (!strcmp(line, "stream_errno")) settings->stream_errno = atoi(value);
    else abort();
  }
  fclose(file);
  settings->capabilities = settings->device_caps | V4L2_CAP_DEVICE_CAPS | V4L2_CAP_VIDEO_CAPTURE | V4L2_CAP_META_CAPTURE;
}
