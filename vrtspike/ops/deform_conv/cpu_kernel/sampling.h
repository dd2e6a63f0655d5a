// Bilinear samples of a map of rows with a border, and what their gradients add to the map, positions and masks.

#pragma once

#include "rows.h"

namespace {

constexpr int64_t BLOCK = 96;  // pixels whose samples stay in the cache until they are multiplied; whole vectors

// Where and how much one tap samples for one deformable group, for the pixels of a block.
struct Positions {
  int32_t pixel[BLOCK];  // above and left of the position, in a map with its border
  float y[BLOCK], x[BLOCK], mask[BLOCK];  // y and x between 0 and 1, from that pixel on
};

// The pixels of an output map that are computed together.
struct Block {
  int64_t first, count;
  float y[BLOCK], x[BLOCK];  // where the first tap samples without an offset

  Block(const Shape& s, int64_t first) : first(first), count(std::min(BLOCK, s.out_pixels() - first)) {
    int64_t row = first / s.out_width(), column = first % s.out_width();
    for (int64_t i = 0; i < BLOCK; i++) {
      y[i] = float(row - s.padding);
      x[i] = float(column - s.padding);
      if (++column == s.out_width()) column = 0, row++;
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

// Finds the positions of a tap from its planes of offsets, y then x, and its plane of masks.
template <typename T>
void locate(const Shape& s, const Block& block, int64_t tap, const float* offset, const T* mask, Positions& positions) {
  for (int64_t i = 0; i < block.count; i += LANES) {
    const int64_t at = block.first + i, count = block.count - i;
    Bits row, column;
    Vector y, x;
    split(load_first(offset + at, count) + load(block.y + i) + float(tap / s.k), s.height, row, y);
    split(load_first(offset + s.out_pixels() + at, count) + load(block.x + i) + float(tap % s.k), s.width, column, x);
    const Bits pixel = (row + int32_t(BORDER)) * int32_t(s.bordered_width()) + column + int32_t(BORDER);
    std::memcpy(positions.pixel + i, &pixel, sizeof pixel);
    store(positions.y + i, y);
    store(positions.x + i, x);
    store(positions.mask + i, load_first(mask + at, count));
  }
}

// A tap of one pixel: its fractions, its mask, and the masked weights of the four pixels around its position.
struct Tap {
  float y, x, mask, w00, w01, w10, w11;

  Tap(const Positions& positions, int64_t i) : y(positions.y[i]), x(positions.x[i]), mask(positions.mask[i]) {
    const float lower = mask * y, upper = mask - lower;
    w01 = upper * x, w00 = upper - w01, w11 = lower * x, w10 = lower - w11;
  }
};

// Distances in memory between the pixels of a map with its border.
struct Steps {
  int64_t right, down;
  Steps(const Shape& s, int64_t channels) : right(channels), down(s.bordered_width() * channels) {}
};

// Writes the masked samples of the channels that move together. `map` begins with these channels.
// Whole vectors of WIDTH channels are written, so the next channels have to be sampled afterwards. Where they fill half
// a vector at most, half of it touches fewer lines of the cache.
template <int WIDTH>
__attribute__((noinline)) void sample(int64_t channels, int64_t count, const Positions& positions, const float* map,
                                      const Steps steps, float* samples, int64_t stride) {
  typedef float Channels __attribute__((vector_size(4 * WIDTH), aligned(4), may_alias));
  const auto at = [](const float* from) { return *reinterpret_cast<const Channels*>(from); };
  for (int64_t i = 0; i < count; i++) {
    const Tap tap(positions, i);
    const float *above = map + positions.pixel[i] * steps.right, *below = above + steps.down;
    for (int64_t c = 0; c < channels; c += WIDTH)
      *reinterpret_cast<Channels*>(samples + i * stride + c) =
          tap.w00 * at(above + c) + tap.w01 * at(above + steps.right + c) + tap.w10 * at(below + c) +
          tap.w11 * at(below + steps.right + c);
  }
}

// Gradients of one pixel's position and mask, to be summed over the lanes; that of the position lacks the mask.
struct TapGradients {
  Vector y{}, x{}, mask{};
};

inline void add(float* to, Vector x) { store(to, load(to) + x); }

// Adds the gradients of one vector of channels, of which the gradient of the masked sample is `g`.
inline void add_gradients(const Tap& tap, Vector g, const float* map, float* map_grad, const Steps& steps,
                          float* sample, TapGradients& sums) {
  const Vector left = load(map), right = load(map + steps.right) - left;
  const Vector low_left = load(map + steps.down), low_right = load(map + steps.down + steps.right) - low_left;
  const Vector above = left + tap.x * right, down = low_left + tap.x * low_right - above, value = above + tap.y * down;
  sums.y += g * down;
  sums.x += g * (right + tap.y * (low_right - right));
  sums.mask += g * value;
  store(sample, tap.mask * value);
  add(map_grad, tap.w00 * g);
  add(map_grad + steps.right, tap.w01 * g);
  add(map_grad + steps.down, tap.w10 * g);
  add(map_grad + steps.down + steps.right, tap.w11 * g);
}

// Sums over the lanes of each vector.
inline Vector sums_of(Vector (&x)[LANES]) {
  transpose(x);
  Vector sum = x[0];
  for (int i = 1; i < LANES; i++) sum += x[i];
  return sum;
}

// Gradients of a vector of pixels: reads those of the masked samples, writes the samples, adds to those of the map.
// Returns the gradients of y, x and mask in `found`.
__attribute__((noinline)) void sample_backward(int64_t channels, int64_t first, int64_t count,
                                               const Positions& positions, const float* map, float* map_grad,
                                               const Steps steps, const float* grad, float* samples, int64_t stride,
                                               Vector (&found)[3]) {
  Vector y[LANES] = {}, x[LANES] = {}, mask[LANES] = {};
  const int64_t whole = channels / LANES * LANES;
  for (int64_t lane = 0; lane < count; lane++) {
    const Tap tap(positions, first + lane);
    const int64_t at = positions.pixel[first + lane] * steps.right, row = (first + lane) * stride;
    TapGradients sums;
    for (int64_t c = 0; c < whole; c += LANES)
      add_gradients(tap, load(grad + row + c), map + at + c, map_grad + at + c, steps, samples + row + c, sums);
    if (whole < channels) {
      const Vector g = first_lanes(load(grad + row + whole), channels - whole);
      add_gradients(tap, g, map + at + whole, map_grad + at + whole, steps, samples + row + whole, sums);
    }
    y[lane] = sums.y, x[lane] = sums.x, mask[lane] = sums.mask;
  }
  const Vector factor = load(positions.mask + first);
  found[0] = factor * sums_of(y), found[1] = factor * sums_of(x), found[2] = sums_of(mask);
}

}  // namespace
