// Bilinear samples of a map of rows with a border, and what their gradients add to the map, positions and masks.

#pragma once

#include "rows.h"

namespace {

constexpr int64_t BLOCK = 96;  // pixels whose samples stay in the cache until they are multiplied; whole vectors

// Where and how much one tap samples for one deformable group, for the pixels of a block.
struct Places {
  int32_t pixel[BLOCK];  // above and left of the position, in a map with its border
  float y[BLOCK], x[BLOCK], mask[BLOCK];  // y and x between 0 and 1, from that pixel on
};

// The pixels of an output map that are computed together.
struct Block {
  int64_t first, count;
  float y[BLOCK], x[BLOCK];  // where the first tap samples without an offset

  Block(const Shape& s, int64_t first) : first(first), count(std::min(BLOCK, s.out_pixels() - first)) {
    for (int64_t i = 0; i < BLOCK; i++) {
      y[i] = float((first + i) / s.out_width() - s.padding);
      x[i] = float((first + i) % s.out_width() - s.padding);
    }
  }
};

// Splits a position into the pixel before it and a fraction. All positions outside read the border; NaN stays.
inline void split(Vector position, int64_t size, Bits& before, Vector& fraction) {
  const Vector least = all(-float(BORDER)), most = all(float(size));
  Vector inside = position > least ? position : least;
  inside = inside < most ? inside : most;
  before = __builtin_convertvector(inside, Bits);
  before += __builtin_convertvector(before, Vector) > inside;  // a true comparison is -1: floor, not truncate
  fraction = inside - __builtin_convertvector(before, Vector) + (position - position);
}

// Finds the places of a tap from its planes of offsets, y then x, and its plane of masks.
template <typename T>
void locate(const Shape& s, const Block& block, int64_t tap, const float* offset, const T* mask, Places& places) {
  for (int64_t i = 0; i < block.count; i += LANES) {
    const int64_t at = block.first + i, count = block.count - i;
    Bits row, column;
    Vector y, x;
    split(load_some(offset + at, count) + load(block.y + i) + float(tap / s.k), s.height, row, y);
    split(load_some(offset + s.out_pixels() + at, count) + load(block.x + i) + float(tap % s.k), s.width, column, x);
    const Bits pixel = (row + int32_t(BORDER)) * int32_t(s.bordered_width()) + column + int32_t(BORDER);
    std::memcpy(places.pixel + i, &pixel, sizeof pixel);
    store(places.y + i, y);
    store(places.x + i, x);
    store(places.mask + i, load_some(mask + at, count));
  }
}

// Writes the masked samples of the channels that move together. `map` begins with these channels, rows of `map_row`.
// Whole vectors are written, so the next channels have to be sampled afterwards.
void sample(const Shape& s, const Block& block, const Places& places, const float* map, int64_t map_row, float* samples,
            int64_t stride) {
  const int64_t line = s.bordered_width() * map_row, channels = s.moved_together();
  for (int64_t i = 0; i < block.count; i++) {
    const float *above = map + places.pixel[i] * map_row, *below = above + line;
    const float y = places.y[i], x = places.x[i], mask = places.mask[i];
    const float lower = mask * y, upper = mask - lower;
    const float w00 = upper - upper * x, w01 = upper * x, w10 = lower - lower * x, w11 = lower * x;
    for (int64_t c = 0; c < channels; c += LANES)
      store(samples + i * stride + c, w00 * load(above + c) + w01 * load(above + map_row + c) + w10 * load(below + c) +
                                          w11 * load(below + map_row + c));
  }
}

inline void add(float* to, Vector x) { store(to, load(to) + x); }

// Sums over the lanes of each vector.
inline Vector sums_of(Vector (&x)[LANES]) {
  transpose(x);
  Vector sum = x[0];
  for (int i = 1; i < LANES; i++) sum += x[i];
  return sum;
}

// Replaces the gradients of masked samples by the samples, and adds their gradients to the map, positions and masks.
template <typename T>
void sample_backward(const Shape& s, const Block& block, const Places& places, const float* map, int64_t map_row,
                     const float* grad, float* samples, int64_t stride, float* map_grad, float* offset_grad,
                     T* mask_grad) {
  const int64_t line = s.bordered_width() * map_row, channels = s.moved_together();
  for (int64_t first = 0; first < block.count; first += LANES) {
    Vector along_y[LANES] = {}, along_x[LANES] = {}, of_mask[LANES] = {};
    const int64_t count = std::min<int64_t>(LANES, block.count - first);
    for (int64_t lane = 0; lane < count; lane++) {
      const int64_t i = first + lane, at = places.pixel[i] * map_row;
      const float y = places.y[i], x = places.x[i], mask = places.mask[i];
      const float lower = mask * y, upper = mask - lower;
      const float w00 = upper - upper * x, w01 = upper * x, w10 = lower - lower * x, w11 = lower * x;
      for (int64_t c = 0; c < channels; c += LANES) {
        const Vector g = first_lanes(load(grad + i * stride + c), channels - c);
        const float* corner = map + at + c;
        const Vector left = load(corner), right = load(corner + map_row) - left;
        const Vector low_left = load(corner + line), low_right = load(corner + line + map_row) - low_left;
        const Vector above = left + x * right, down = low_left + x * low_right - above, value = above + y * down;
        along_y[lane] += g * down;
        along_x[lane] += g * (right + y * (low_right - right));
        of_mask[lane] += g * value;
        store(samples + i * stride + c, mask * value);
        float* to = map_grad + at + c;
        add(to, w00 * g);
        add(to + map_row, w01 * g);
        add(to + line, w10 * g);
        add(to + line + map_row, w11 * g);
      }
    }
    const Vector mask = load(places.mask + first);
    const int64_t at = block.first + first;
    store_some(offset_grad + at, mask * sums_of(along_y), count);
    store_some(offset_grad + s.out_pixels() + at, mask * sums_of(along_x), count);
    store_some(mask_grad + at, sums_of(of_mask), count);
  }
}

}  // namespace
