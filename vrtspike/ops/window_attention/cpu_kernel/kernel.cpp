// Window attention on CPUs: scores, bias, mask, softmax and values of a window in one pass, forward and backward.
//
// The lanes of a vector hold sixteen queries (eight without AVX-512), and a loop runs over the keys. The softmax is
// therefore a loop, and scores never leave the cache. Sums are in float32, whatever type the tokens have. In the forward
// pass, bfloat16 numbers are multiplied by the processor's own instruction if it has one.
//
// Tokens are rows (M windows x frames x n, 3 * heads * d) of queries, keys and values. With two frames, the queries of
// each frame attend to the keys of the other frame, and the result is at the position of the keys. The bias and its
// gradient are (heads, n keys, stride), queries last: `stride` is n rounded up to whole vectors.

#include <algorithm>
#include <type_traits>
#include <vector>

#include "backward.h"
#include "forward.h"
#include "forward_bfloat16.h"

namespace {

typedef std::vector<float> Floats;

// Calls `function` with a constant: d, the channels per head, rounded up to the next width that has a kernel.
template <typename Function>
void with_width(int64_t d, Function function) {
#define CASE(D) \
  if (d <= D) return function(std::integral_constant<int, D>{});
  CASE(4) CASE(8) CASE(12) CASE(16) CASE(20) CASE(24) CASE(28) CASE(32) CASE(48) CASE(64) CASE(96) CASE(128)
#undef CASE
}

// Buffers of a thread for the forward pass of one window, frame and head.
template <int D>
struct Scratch {
  Floats q, k, v, columns, scores, out;
  std::vector<uint32_t> q_pairs, k_pairs, v_pairs;
  explicit Scratch(const Shape& s)
      : q(s.stride * D), k(q), v(q), columns(q), scores((s.n + 1) * LANES), out(q), q_pairs(q.size()),
        k_pairs(q_pairs), v_pairs(q_pairs) {}
};

// Computes the rows `out` of a scratch from its rows q, k and v.
template <int D>
void attend_rows(float, const Shape& s, const float* bias, const float* labels, Scratch<D>& own, float* lse) {
  transpose(own.q.data(), s, D, s.scale, own.columns.data());
  attend<D>(s, own.columns.data(), own.k.data(), own.v.data(), bias, labels, own.scores.data(), own.out.data(), lse);
}

template <int D>
void attend_rows(BFloat16, const Shape& s, const float* bias, const float* labels, Scratch<D>& own, float* lse) {
#ifdef __AVX512BF16__
  pair_channels<D>(s, own.q.data(), own.k.data(), own.q_pairs.data(), own.k_pairs.data());
  pair_keys<D>(s, own.v.data(), own.v_pairs.data());
  attend_pairs<D>(s, own.q_pairs.data(), own.k_pairs.data(), own.v_pairs.data(), bias, labels, own.scores.data(),
                  own.out.data(), lse);
#else
  attend_rows(float{}, s, bias, labels, own, lse);
#endif
}

const float* of_kind(const float* labels, const int32_t* kinds, int64_t window, int64_t stride) {
  return labels && kinds[window] ? labels + kinds[window] * stride : nullptr;  // kind 0 is one region
}

template <int D, typename T>
void forward(const Shape& s, int threads, const T* qkv, const float* bias, const float* labels, const int32_t* kinds,
             T* out, float* lse) {
  const int64_t C = s.channels(), tasks = s.windows * s.frames * s.heads, length = 3 * C;
#pragma omp parallel num_threads(threads)
  {
    const TinyIsZero tiny_is_zero;
    Scratch<D> own(s);
#pragma omp for schedule(static)
    for (int64_t task = 0; task < tasks; task++) {
      const int64_t head = task % s.heads, frame = task / s.heads % s.frames, window = task / s.heads / s.frames;
      const int64_t row = s.row(window, frame), query_row = s.row(window, s.frames - 1 - frame), at = head * s.d;
      read_rows(qkv + query_row * length + at, length, s, D, 1, own.q.data());
      read_rows(qkv + row * length + C + at, length, s, D, 1, own.k.data());
      read_rows(qkv + row * length + 2 * C + at, length, s, D, 1, own.v.data());
      attend_rows(T{}, s, bias ? bias + head * s.n * s.stride : nullptr, of_kind(labels, kinds, window, s.stride), own,
                  lse ? lse + task * s.n : nullptr);
      write_rows(own.out.data(), s, D, 1, out + row * C + at, C);
    }
  }
}

// Splits of the windows are summed separately, so the bias gradient does not depend on the order of the threads.
template <int D, typename T>
void backward(const Shape& s, int threads, int64_t splits, const T* qkv, const float* bias, const float* labels,
              const int32_t* kinds, const float* lse, const T* grad, T* qkv_grad, float* bias_grad) {
  const int64_t C = s.channels(), length = 3 * C, rows = s.stride * D;
#pragma omp parallel num_threads(threads)
  {
    const TinyIsZero tiny_is_zero;
    Floats q(rows), q_columns(rows), k(rows), v(rows), g(rows), g_columns(rows), own_lse(s.stride);
    Floats q_grad(rows), k_grad(rows), v_grad(rows), p(s.n * LANES), ds(p);
#pragma omp for schedule(static) collapse(2)
    for (int64_t split = 0; split < splits; split++)
      for (int64_t head = 0; head < s.heads; head++) {
        const int64_t at = head * s.d, of_head = head * s.n * s.stride;
        const int64_t from = s.windows * split / splits, to = s.windows * (split + 1) / splits;
        for (int64_t index = from * s.frames; index < to * s.frames; index++) {
          const int64_t window = index / s.frames, frame = index % s.frames;
          const int64_t row = s.row(window, frame), query_row = s.row(window, s.frames - 1 - frame);
          read_rows(qkv + query_row * length + at, length, s, D, s.scale, q.data());
          read_rows(qkv + row * length + C + at, length, s, D, 1, k.data());
          read_rows(qkv + row * length + 2 * C + at, length, s, D, 1, v.data());
          read_rows(grad + row * C + at, C, s, D, 1, g.data());
          transpose(q.data(), s, D, 1, q_columns.data());
          transpose(g.data(), s, D, 1, g_columns.data());
          std::copy_n(lse + (index * s.heads + head) * s.n, s.n, own_lse.begin());
          std::fill(k_grad.begin(), k_grad.end(), 0.0f);
          std::fill(v_grad.begin(), v_grad.end(), 0.0f);
          attend_backward<D>(s, {q.data(), q_columns.data(), k.data(), v.data(), g.data(), g_columns.data(),
                                 own_lse.data(), bias ? bias + of_head : nullptr,
                                 of_kind(labels, kinds, window, s.stride), q_grad.data(), k_grad.data(), v_grad.data(),
                                 bias_grad ? bias_grad + split * s.heads * s.n * s.stride + of_head : nullptr},
                             p.data(), ds.data());
          write_rows(q_grad.data(), s, D, s.scale, qkv_grad + query_row * length + at, length);
          write_rows(k_grad.data(), s, D, 1, qkv_grad + row * length + C + at, length);
          write_rows(v_grad.data(), s, D, 1, qkv_grad + row * length + 2 * C + at, length);
        }
      }
  }
}

}  // namespace

extern "C" {

int lanes() { return LANES; }

int widest() { return 128; }

#define ENTRIES(NAME, T)                                                                                            \
  void forward_##NAME(const int64_t* sizes, float scale, int threads, const void* qkv, const float* bias,           \
                      const float* labels, const int32_t* kinds, void* out, float* lse) {                           \
    const Shape s{sizes[0], sizes[1], sizes[2], sizes[3], sizes[4], sizes[5], scale};                               \
    with_width(s.d, [&](auto width) {                                                                               \
      forward<decltype(width)::value>(s, threads, static_cast<const T*>(qkv), bias, labels, kinds,                  \
                                      static_cast<T*>(out), lse);                                                   \
    });                                                                                                             \
  }                                                                                                                 \
  void backward_##NAME(const int64_t* sizes, float scale, int threads, int64_t splits, const void* qkv,             \
                       const float* bias, const float* labels, const int32_t* kinds, const float* lse,              \
                       const void* grad, void* qkv_grad, float* bias_grad) {                                        \
    const Shape s{sizes[0], sizes[1], sizes[2], sizes[3], sizes[4], sizes[5], scale};                               \
    with_width(s.d, [&](auto width) {                                                                               \
      backward<decltype(width)::value>(s, threads, splits, static_cast<const T*>(qkv), bias, labels, kinds,         \
                                       lse, static_cast<const T*>(grad), static_cast<T*>(qkv_grad), bias_grad);     \
    });                                                                                                             \
  }

ENTRIES(float32, float)
ENTRIES(bfloat16, BFloat16)
}
