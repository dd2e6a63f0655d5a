// Layer normalisation of rows of channels on CPUs, in one pass over the rows.
//
// Rows are read in any order: row i of the result is row sources[i] of the input, or zero if sources[i] is the
// number of rows of the input. Four rows are processed together, so that sums do not wait for one another. Sums are in
// float32, whatever type the rows have.

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

inline float total(Vector x) {
  float sum = 0;
  for (int i = 0; i < LANES; i++) sum += x[i];
  return sum;
}

// Finds the means of COUNT rows, and one over their standard deviations.
template <int COUNT, typename In>
inline void measure(const In* const* x, const Shape& s, float* mean, float* scale) {
  Vector sums[COUNT] = {}, squares[COUNT] = {};
  over_channels(s, [&](int64_t c, int64_t count) {
#pragma GCC unroll 4
    for (int i = 0; i < COUNT; i++) sums[i] += load_first(x[i] + c, count);
  });
  for (int i = 0; i < COUNT; i++) mean[i] = total(sums[i]) / s.channels;
  over_channels(s, [&](int64_t c, int64_t count) {
#pragma GCC unroll 4
    for (int i = 0; i < COUNT; i++) {
      const Vector apart = first_lanes(load_first(x[i] + c, count) - mean[i], count);
      squares[i] += apart * apart;
    }
  });
  for (int i = 0; i < COUNT; i++) scale[i] = 1.0f / std::sqrt(total(squares[i]) / s.channels + s.eps);
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

}  // namespace

extern "C" {

#define ENTRY(NAME, In, Out)                                                                                         \
  void forward_##NAME(const int64_t* sizes, float eps, int threads, const void* x, const float* weight,              \
                      const float* bias, const int32_t* sources, void* out) {                                          \
    forward({sizes[0], sizes[1], sizes[2], eps}, threads, static_cast<const In*>(x), weight, bias, sources,            \
            static_cast<Out*>(out));                                                                                 \
  }

ENTRY(float32_float32, float, float)
ENTRY(float32_bfloat16, float, BFloat16)
ENTRY(bfloat16_float32, BFloat16, float)
ENTRY(bfloat16_bfloat16, BFloat16, BFloat16)
}
