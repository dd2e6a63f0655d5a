// Layer normalisation of rows of channels on CPUs, forward and backward, each in one pass over the rows.
//
// Rows are read in any order: row i of the result is row sources[i] of the input, or zero if sources[i] is the
// number of rows of the input; row i of the input is row positions[i] of the result. Four rows are processed together,
// so that sums do not wait for one another. Sums are in float32, whatever type the rows have.

#include <vectors.h>

#include <algorithm>
#include <cmath>

namespace {

constexpr int TOGETHER = 4;

// The rows of the input and of the result, and their channels.
struct Shape {
  int64_t rows, results, channels;
  float eps;
};

// Calls function(c, count) for every vector of channels from c on; only the last one may have a smaller count.
template <typename Function>
inline void over_channels(const Shape& s, Function function) {
  int64_t c = 0;
  for (; c + LANES <= s.channels; c += LANES) function(c, LANES);
  if (c < s.channels) function(c, s.channels - c);
}

// Finds the means of COUNT rows, and one over their standard deviations.
template <int COUNT, typename In>
inline void measure(const In* const* x, const Shape& s, float* mean, float* scale) {
  Vector sums[COUNT] = {}, squares[COUNT] = {};
  over_channels(s, [&](int64_t c, int64_t count) {
#pragma GCC unroll 4
    for (int i = 0; i < COUNT; i++) sums[i] += load_first(x[i] + c, count);
  });
  for (int i = 0; i < COUNT; i++) mean[i] = sum_of(sums[i]) / s.channels;
  over_channels(s, [&](int64_t c, int64_t count) {
#pragma GCC unroll 4
    for (int i = 0; i < COUNT; i++) {
      const Vector apart = first_lanes(load_first(x[i] + c, count) - mean[i], count);
      squares[i] += apart * apart;
    }
  });
  for (int i = 0; i < COUNT; i++) scale[i] = 1.0f / std::sqrt(sum_of(squares[i]) / s.channels + s.eps);
}

template <int COUNT, typename In, typename Out>
void forward_rows(const Shape& s, int64_t first, const In* x, const float* weight, const float* bias,
                  const int32_t* sources, Out* out) {
  const In* rows[COUNT];
  bool zero[COUNT];
  float mean[COUNT], scale[COUNT];
  for (int i = 0; i < COUNT; i++) {
    const int64_t from = sources ? sources[first + i] : first + i;
    zero[i] = from == s.rows;
    rows[i] = x + (zero[i] ? 0 : from * s.channels);
  }
  measure<COUNT>(rows, s, mean, scale);
  over_channels(s, [&](int64_t c, int64_t count) {
    const Vector w = load_first(weight + c, count), b = load_first(bias + c, count);
#pragma GCC unroll 4
    for (int i = 0; i < COUNT; i++) {
      const Vector value = (load_first(rows[i] + c, count) - mean[i]) * scale[i] * w + b;
      store_first(out + (first + i) * s.channels + c, zero[i] ? Vector{} : value, count);
    }
  });
}

template <typename In, typename Out>
void forward(const Shape& s, int threads, const In* x, const float* weight, const float* bias, const int32_t* sources,
             Out* out) {
  if (!s.rows) return (void)std::fill_n(out, s.results * s.channels, Out{});
  const int64_t whole = s.results / TOGETHER;
#pragma omp parallel for num_threads(threads) schedule(static)
  for (int64_t block = 0; block < whole; block++)
    forward_rows<TOGETHER>(s, block * TOGETHER, x, weight, bias, sources, out);
  for (int64_t i = whole * TOGETHER; i < s.results; i++) forward_rows<1>(s, i, x, weight, bias, sources, out);
}

// Writes the gradients of COUNT rows of the input, plus `beside` if there is one. Adds to those of weight and bias.
template <int COUNT, typename In, typename Out>
void backward_rows(const Shape& s, int64_t first, const Out* grad, const In* x, const float* weight,
                   const int32_t* positions, const In* beside, In* grad_x, float* of_weight, float* of_bias) {
  const In* rows[COUNT];
  const Out* grads[COUNT];
  float mean[COUNT], scale[COUNT], shift[COUNT], slope[COUNT];
  for (int i = 0; i < COUNT; i++) {
    rows[i] = x + (first + i) * s.channels;
    grads[i] = grad + (positions ? positions[first + i] : first + i) * s.channels;
  }
  measure<COUNT>(rows, s, mean, scale);
  Vector sums[COUNT] = {}, products[COUNT] = {};
  over_channels(s, [&](int64_t c, int64_t count) {
    const Vector w = load_first(weight + c, count);
    Vector for_weight = load_first(of_weight + c, count), for_bias = load_first(of_bias + c, count);
#pragma GCC unroll 4
    for (int i = 0; i < COUNT; i++) {
      const Vector g = load_first(grads[i] + c, count), normal = (load_first(rows[i] + c, count) - mean[i]) * scale[i];
      for_weight += g * normal;
      for_bias += g;
      sums[i] += g * w;
      products[i] += g * w * normal;
    }
    store_first(of_weight + c, for_weight, count);
    store_first(of_bias + c, for_bias, count);
  });
  for (int i = 0; i < COUNT; i++) {
    shift[i] = sum_of(sums[i]) / s.channels;
    slope[i] = sum_of(products[i]) / s.channels;
  }
  over_channels(s, [&](int64_t c, int64_t count) {
    const Vector w = load_first(weight + c, count);
#pragma GCC unroll 4
    for (int i = 0; i < COUNT; i++) {
      const int64_t at = (first + i) * s.channels + c;
      const Vector normal = (load_first(rows[i] + c, count) - mean[i]) * scale[i];
      const Vector value = (load_first(grads[i] + c, count) * w - shift[i] - normal * slope[i]) * scale[i];
      store_first(grad_x + at, beside ? value + load_first(beside + at, count) : value, count);
    }
  });
}

// `partial` (splits, 2, channels) gets sums of the gradients of weight and bias over as many shares of the rows.
template <typename In, typename Out>
void backward(const Shape& s, int threads, int64_t splits, const Out* grad, const In* x, const float* weight,
              const int32_t* positions, const In* beside, In* grad_x, float* partial) {
  const int64_t blocks = s.rows / TOGETHER;
#pragma omp parallel for num_threads(threads) schedule(static)
  for (int64_t split = 0; split < splits; split++) {
    float *of_weight = partial + 2 * split * s.channels, *of_bias = of_weight + s.channels;
    std::fill_n(of_weight, 2 * s.channels, 0.0f);
    for (int64_t block = blocks * split / splits; block < blocks * (split + 1) / splits; block++)
      backward_rows<TOGETHER>(s, block * TOGETHER, grad, x, weight, positions, beside, grad_x, of_weight, of_bias);
    if (split == splits - 1)
      for (int64_t i = blocks * TOGETHER; i < s.rows; i++)
        backward_rows<1>(s, i, grad, x, weight, positions, beside, grad_x, of_weight, of_bias);
  }
}

}  // namespace

extern "C" {

#define ENTRIES(NAME, In, Out)                                                                                       \
  void forward_##NAME(const int64_t* sizes, float eps, int threads, const void* x, const float* weight,              \
                      const float* bias, const int32_t* sources, void* out) {                                          \
    forward({sizes[0], sizes[1], sizes[2], eps}, threads, static_cast<const In*>(x), weight, bias, sources,            \
            static_cast<Out*>(out));                                                                                 \
  }                                                                                                                  \
  void backward_##NAME(const int64_t* sizes, float eps, int threads, int64_t splits, const void* grad,               \
                       const void* x, const float* weight, const int32_t* positions, const void* beside,             \
                       void* grad_x, float* partial) {                                                               \
    backward({sizes[0], sizes[1], sizes[2], eps}, threads, splits, static_cast<const Out*>(grad),                    \
             static_cast<const In*>(x), weight, positions, static_cast<const In*>(beside),                           \
             static_cast<In*>(grad_x), partial);                                                                     \
  }

ENTRIES(float32_float32, float, float)
ENTRIES(float32_bfloat16, float, BFloat16)
ENTRIES(bfloat16_float32, BFloat16, float)
ENTRIES(bfloat16_bfloat16, BFloat16, BFloat16)
}
