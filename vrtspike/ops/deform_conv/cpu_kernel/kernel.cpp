// Deformable convolution on CPUs: for a block of output pixels, every tap samples and multiplies while the samples are
// in the cache. The backward pass samples again. Sums are in float32, whatever type the maps have.
//
// Maps are planes (N, C, H, W). Inside, a pixel's channels are a row, so that vectors hold channels, and a map has a
// border of zeros. Offsets are planes (N, deformable groups, taps, 2, pixels), y then x, and masks (N, deformable
// groups, taps, pixels). Kernels are (taps, groups, channels of a group, outputs of a group) in the forward pass,
// (taps, groups, outputs, channels) in the backward pass; the last axis has whole vectors.

#include <product.h>

#include "sampling.h"

namespace {

// Writes line `y` of a map's channels to rows inside of the border.
template <typename T>
void read_line(const Shape& s, const T* planes, int64_t channels, int64_t y, float* map) {
  float* row = map + ((y + BORDER) * s.bordered_width() + BORDER) * channels;
  rows_of(planes + y * s.width, s.height * s.width, channels, s.width, false, row, channels);
}

inline Floats empty_map(const Shape& s, int64_t channels) { return Floats(s.bordered_pixels() * channels + LANES); }

// The row of a pixel's outputs to which samples are added.
template <typename T>
Floats output_row_of(const Shape& s, const T* bias) {
  Floats row(s.output_row());
  for (int64_t o = 0; bias && o < s.outputs; o++)
    row[o / s.group_outputs() * whole_vectors(s.group_outputs()) + o % s.group_outputs()] = to_float(bias[o]);
  return row;
}

// Computes the outputs of a block from the map, as rows.
template <typename T>
void convolve(const Shape& s, const Block& block, const float* map, const float* offset, const T* mask,
              const float* weight, Positions& positions, float* samples, float* out) {
  const int64_t stride = whole_vectors(s.channels) + LANES, outputs = whole_vectors(s.group_outputs());
  const auto sample_channels = 2 * s.moved_together() <= LANES ? sample<LANES / 2> : sample<LANES>;
  for (int64_t tap = 0; tap < s.taps(); tap++) {
    for (int64_t d = 0; d < s.deformable_groups; d++) {
      const int64_t plane = (d * s.taps() + tap) * s.out_pixels(), channel = d * s.moved_together();
      locate(s, block, tap, offset + 2 * plane, mask + plane, positions);
      sample_channels(s.moved_together(), block.count, positions, map + channel, Steps(s, s.channels),
                      samples + channel, stride);
    }
    for (int64_t group = 0; group < s.groups; group++) {
      const int64_t channel = group * s.group_channels();
      add_product(block.count, s.group_channels(), outputs, {samples + channel, stride, 1},
                  weight + (tap * s.channels + channel) * outputs, outputs, out + group * outputs, s.output_row());
    }
  }
}

template <typename T>
void forward(const Shape& s, int threads, const T* x, const float* offset, const T* mask, const float* weight,
             const T* bias, T* out) {
  const int64_t pixels = s.out_pixels(), moved = s.deformable_groups * s.taps() * pixels;
  const int64_t outputs = whole_vectors(s.group_outputs());
  Floats map = empty_map(s, s.channels);
#pragma omp parallel num_threads(threads)
  {
    const TinyIsZero tiny_is_zero;
    const Floats start = output_row_of(s, bias);
    Floats samples(BLOCK * (whole_vectors(s.channels) + LANES)), rows(BLOCK * s.output_row());
    Positions positions;
    for (int64_t n = 0; n < s.maps; n++) {
#pragma omp for schedule(static)
      for (int64_t y = 0; y < s.height; y++)
        read_line(s, x + n * s.channels * s.height * s.width, s.channels, y, map.data());
#pragma omp for schedule(static)
      for (int64_t first = 0; first < pixels; first += BLOCK) {
        const Block block(s, first);
        for (int64_t i = 0; i < block.count; i++) std::copy(start.begin(), start.end(), &rows[i * s.output_row()]);
        convolve(s, block, map.data(), offset + 2 * n * moved, mask + n * moved, weight, positions, samples.data(),
                 rows.data());
        for (int64_t group = 0; group < s.groups; group++)
          write_planes(rows.data() + group * outputs, s.output_row(), s.group_outputs(), block.count,
                       out + (n * s.outputs + group * s.group_outputs()) * pixels + first, pixels);
      }
    }
  }
}

// The deformable groups that a thread computes in the backward pass, and their channels.
struct Part {
  int64_t first_group, end_group, first, end;

  Part(const Shape& s, int64_t part, int64_t parts)
      : first_group(s.deformable_groups * part / parts), end_group(s.deformable_groups * (part + 1) / parts),
        first(first_group * s.moved_together()), end(end_group * s.moved_together()) {}

  int64_t channels() const { return end - first; }
};

// Inputs and gradients of one map in the backward pass. `x` and `x_grad` are rows of the part's channels.
template <typename T>
struct Gradients {
  const float *x, *offset;
  const T* mask;
  const float* weight;
  const T* out_grad;
  float *x_grad, *offset_grad;
  T* mask_grad;
  float* weight_grad;
};

// Buffers of a thread for a block of pixels in the backward pass.
struct Scratch {
  int64_t stride;
  Floats out_grad, grad, samples;
  Positions positions;

  Scratch(const Shape& s)
      : stride(whole_vectors(s.channels) + LANES), out_grad(BLOCK * s.output_row()), grad(BLOCK * stride),
        samples(grad) {}
};

// Adds the gradients of a block of pixels.
template <typename T>
void convolve_backward(const Shape& s, const Part& part, const Block& block, const Gradients<T>& g, Scratch& own) {
  const int64_t outputs = whole_vectors(s.group_outputs()), pixels = s.out_pixels();
  for (int64_t group = 0; group < s.groups; group++)
    rows_of(g.out_grad + group * s.group_outputs() * pixels + block.first, pixels, s.group_outputs(), block.count, true,
            own.out_grad.data() + group * outputs, s.output_row());
  // Calls a function with the channels that a group of the kernel shares with the part.
  const auto for_groups = [&](auto function) {
    for (int64_t group = 0; group < s.groups; group++) {
      const int64_t first = std::max(part.first, group * s.group_channels());
      const int64_t end = std::min(part.end, (group + 1) * s.group_channels());
      if (first < end) function(group, first, end);
    }
  };
  const int64_t width = whole_vectors(s.group_channels());
  const Steps steps(s, part.channels());
  for (int64_t tap = 0; tap < s.taps(); tap++) {
    std::fill_n(own.grad.begin(), block.count * own.stride, 0.0f);
    for_groups([&](int64_t group, int64_t first, int64_t end) {
      const float* weight = g.weight + (tap * s.groups + group) * s.group_outputs() * width;
      add_product(block.count, s.group_outputs(), end - first, {own.out_grad.data() + group * outputs, s.output_row(), 1},
                  weight + first - group * s.group_channels(), width, own.grad.data() + first - part.first, own.stride);
    });
    for (int64_t d = part.first_group; d < part.end_group; d++) {
      const int64_t plane = (d * s.taps() + tap) * pixels, channel = d * s.moved_together() - part.first;
      locate(s, block, tap, g.offset + 2 * plane, g.mask + plane, own.positions);
      for (int64_t first = 0; first < block.count; first += LANES) {
        const int64_t count = std::min<int64_t>(LANES, block.count - first), at = block.first + first;
        Vector found[3];
        sample_backward(s.moved_together(), first, count, own.positions, g.x + channel, g.x_grad + channel, steps,
                        own.grad.data() + channel, own.samples.data() + channel, own.stride, found);
        store_first(g.offset_grad + 2 * plane + at, found[0], count);
        store_first(g.offset_grad + 2 * plane + pixels + at, found[1], count);
        store_first(g.mask_grad + plane + at, found[2], count);
      }
    }
    for_groups([&](int64_t group, int64_t first, int64_t end) {
      add_product(end - first, block.count, outputs, {own.samples.data() + first - part.first, 1, own.stride},
                  own.out_grad.data() + group * outputs, s.output_row(),
                  g.weight_grad + (tap * s.channels + first) * outputs, outputs);
    });
  }
}

// Threads divide the maps into `splits` and the deformable groups into `parts`. Splits of the maps are summed
// separately, so the kernel's gradient (splits, taps, channels, outputs) does not depend on the order of the threads.
template <typename T>
void backward(const Shape& s, int threads, int64_t splits, int64_t parts, const T* x, const float* offset,
              const T* mask, const float* weight, const T* grad, T* x_grad, float* offset_grad, T* mask_grad,
              float* weight_grad) {
  const int64_t pixels = s.out_pixels(), moved = s.deformable_groups * s.taps() * pixels, plane = s.height * s.width;
  const int64_t kernel = s.taps() * s.channels * whole_vectors(s.group_outputs());
#pragma omp parallel num_threads(threads)
  {
    const TinyIsZero tiny_is_zero;
    Scratch own(s);
#pragma omp for schedule(static) collapse(2)
    for (int64_t split = 0; split < splits; split++)
      for (int64_t index = 0; index < parts; index++) {
        const Part part(s, index, parts);
        Floats map = empty_map(s, part.channels()), map_grad(map.size());
        for (int64_t n = s.maps * split / splits; n < s.maps * (split + 1) / splits; n++) {
          const int64_t at = (n * s.channels + part.first) * plane;
          for (int64_t y = 0; y < s.height; y++) read_line(s, x + at, part.channels(), y, map.data());
          std::fill(map_grad.begin(), map_grad.end(), 0.0f);
          const Gradients<T> g{map.data(), offset + 2 * n * moved, mask + n * moved, weight,
                               grad + n * s.outputs * pixels, map_grad.data(), offset_grad + 2 * n * moved,
                               mask_grad + n * moved, weight_grad + split * kernel};
          for (int64_t first = 0; first < pixels; first += BLOCK) convolve_backward(s, part, Block(s, first), g, own);
          for (int64_t y = 0; y < s.height; y++)
            write_planes(map_grad.data() + ((y + BORDER) * s.bordered_width() + BORDER) * part.channels(),
                         part.channels(), part.channels(), s.width, x_grad + at + y * s.width, plane);
        }
      }
  }
}

inline Shape shape_of(const int64_t* sizes) {
  return {sizes[0], sizes[1], sizes[2], sizes[3], sizes[4], sizes[5], sizes[6], sizes[7], sizes[8]};
}

}  // namespace

extern "C" {

int lanes() { return LANES; }

#define ENTRIES(NAME, T)                                                                                             \
  void forward_##NAME(const int64_t* sizes, int threads, const void* x, const float* offset, const void* mask,       \
                      const float* weight, const void* bias, void* out) {                                            \
    forward(shape_of(sizes), threads, static_cast<const T*>(x), offset, static_cast<const T*>(mask), weight,         \
            static_cast<const T*>(bias), static_cast<T*>(out));                                                      \
  }                                                                                                                  \
  void backward_##NAME(const int64_t* sizes, int threads, int64_t splits, int64_t parts, const void* x,              \
                       const float* offset, const void* mask, const float* weight, const void* grad, void* x_grad,   \
                       float* offset_grad, void* mask_grad, float* weight_grad) {                                    \
    backward(shape_of(sizes), threads, splits, parts, static_cast<const T*>(x), offset, static_cast<const T*>(mask), \
             weight, static_cast<const T*>(grad), static_cast<T*>(x_grad), offset_grad, static_cast<T*>(mask_grad),  \
             weight_grad);                                                                                           \
  }

ENTRIES(float32, float)
ENTRIES(bfloat16, BFloat16)
}
