// The sizes of the operator, and conversions between planes of a map and rows of float32: a row has a pixel's channels.

#pragma once

#include <vectors.h>

#include <algorithm>
#include <vector>

namespace {

typedef std::vector<float> Floats;

constexpr int64_t BORDER = 2;  // zeros around a map: a sample outside reads them, so no sample needs a condition

struct Shape {
  int64_t maps, channels, height, width;  // of the maps
  int64_t outputs, k, padding, groups;    // of the kernel
  int64_t deformable_groups;

  int64_t taps() const { return k * k; }
  int64_t out_height() const { return height + 2 * padding - k + 1; }
  int64_t out_width() const { return width + 2 * padding - k + 1; }
  int64_t out_pixels() const { return out_height() * out_width(); }
  int64_t moved_together() const { return channels / deformable_groups; }
  int64_t group_channels() const { return channels / groups; }
  int64_t group_outputs() const { return outputs / groups; }
  int64_t output_row() const { return groups * whole_vectors(group_outputs()); }
  int64_t bordered_width() const { return width + 2 * BORDER; }
  int64_t bordered_pixels() const { return (height + 2 * BORDER) * bordered_width(); }
};

// Reads `count` pixels of planes into rows of `stride`; writes whole vectors if `padded`, zero beyond the channels.
template <typename T>
void rows_of(const T* planes, int64_t plane, int64_t channels, int64_t count, bool padded, float* rows, int64_t stride) {
  for (int64_t c = 0; c < channels; c += LANES)
    for (int64_t first = 0; first < count; first += LANES) {
      Vector x[LANES];
#pragma GCC unroll 16
      for (int i = 0; i < LANES; i++)
        x[i] = c + i < channels ? load_first(planes + (c + i) * plane + first, count - first) : Vector{};
      transpose(x);
      for (int64_t i = 0; i < LANES && first + i < count; i++)
        store_first(rows + (first + i) * stride + c, x[i], padded ? LANES : channels - c);
    }
}

// Writes rows to `count` pixels of planes. The rows may be read up to whole vectors.
template <typename T>
void write_planes(const float* rows, int64_t stride, int64_t channels, int64_t count, T* planes, int64_t plane) {
  for (int64_t c = 0; c < channels; c += LANES)
    for (int64_t first = 0; first < count; first += LANES) {
      Vector x[LANES];
      for (int i = 0; i < LANES; i++) x[i] = first + i < count ? load(rows + (first + i) * stride + c) : Vector{};
      transpose(x);
#pragma GCC unroll 16
      for (int i = 0; i < LANES; i++)
        if (c + i < channels) store_first(planes + (c + i) * plane + first, x[i], count - first);
    }
}

}  // namespace
