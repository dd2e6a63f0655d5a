// Window attention on CPUs: scores, bias, mask, softmax and values of a window in one pass, forward and backward.
//
// The lanes of a vector hold sixteen queries (eight without AVX-512), and a loop runs over the keys. The softmax is
// therefore a loop, and scores never leave the cache. Sums are in float32, whatever type the tokens have. bfloat16
// numbers are multiplied by the processor's own instruction if it has one.
//
// Tokens are rows (M windows x frames x n, 3 * heads * d) of queries, keys and values. With two frames, the queries of
// each frame attend to the keys of the other frame, and the result is at the position of the keys. The bias and its
// gradient are (heads, n keys, stride), queries last: `stride` is n rounded up to whole vectors. The macro WIDTH is the
// number of channels per head, rounded up to a width that Python chooses.

#include <algorithm>
#include <vector>

#include "backward.h"
#include "backward_bfloat16.h"
#include "forward.h"
#include "forward_bfloat16.h"

namespace {

typedef std::vector<float> Floats;

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
  pair_tokens<D>(s, own.v.data(), own.v_pairs.data());
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

// Buffers of a thread for the backward pass of one window, frame and head.
template <int D>
struct BackwardScratch {
  Floats q, k, v, grad, q_columns, grad_columns, lse, q_grad, k_grad, v_grad, p, ds;
  std::vector<uint32_t> q_pairs, k_pairs, v_pairs, grad_pairs, q_tokens, k_tokens, grad_tokens;
  explicit BackwardScratch(const Shape& s)
      : q(s.stride * D), k(q), v(q), grad(q), q_columns(q), grad_columns(q), lse(s.stride), q_grad(q), k_grad(q),
        v_grad(q), p(s.n * LANES), ds(p), q_pairs(q.size()), k_pairs(q_pairs), v_pairs(q_pairs), grad_pairs(q_pairs),
        q_tokens(q_pairs), k_tokens(q_pairs), grad_tokens(q_pairs) {}
  Gradients gradients(const float* bias, const float* labels, float* bias_grad) {
    return {q.data(), q_columns.data(), k.data(), v.data(), grad.data(), grad_columns.data(), lse.data(), bias, labels,
            q_grad.data(), k_grad.data(), v_grad.data(), bias_grad};
  }
};

// Computes the gradients of a scratch from its rows q, k, v and grad.
template <int D>
void gradients_of_rows(float, const Shape& s, const float* bias, const float* labels, float* bias_grad,
                       BackwardScratch<D>& own) {
  for (float& value : own.q) value *= s.scale;
  transpose(own.q.data(), s, D, 1, own.q_columns.data());
  transpose(own.grad.data(), s, D, 1, own.grad_columns.data());
  attend_backward<D>(s, own.gradients(bias, labels, bias_grad), own.p.data(), own.ds.data());
}

template <int D>
void gradients_of_rows(BFloat16, const Shape& s, const float* bias, const float* labels, float* bias_grad,
                       BackwardScratch<D>& own) {
#ifdef __AVX512BF16__
  pair_channels<D>(s, own.q.data(), own.k.data(), own.q_pairs.data(), own.k_pairs.data());
  pair_channels<D>(s, own.grad.data(), own.v.data(), own.grad_pairs.data(), own.v_pairs.data());
  pair_tokens<D>(s, own.q.data(), own.q_tokens.data());
  pair_tokens<D>(s, own.k.data(), own.k_tokens.data());
  pair_tokens<D>(s, own.grad.data(), own.grad_tokens.data());
  const PairedInputs pairs{own.q_pairs.data(), own.k_pairs.data(), own.v_pairs.data(), own.grad_pairs.data(),
                           own.q_tokens.data(), own.k_tokens.data(), own.grad_tokens.data()};
  attend_backward_pairs<D>(s, pairs, own.gradients(bias, labels, bias_grad), own.p.data(), own.ds.data());
  for (float& value : own.k_grad) value *= s.scale;
#else
  gradients_of_rows(float{}, s, bias, labels, bias_grad, own);
#endif
}

// Splits of the windows are summed separately, so the bias gradient does not depend on the order of the threads.
template <int D, typename T>
void backward(const Shape& s, int threads, int64_t splits, const T* qkv, const float* bias, const float* labels,
              const int32_t* kinds, const float* lse, const T* grad, T* qkv_grad, float* bias_grad) {
  const int64_t C = s.channels(), length = 3 * C;
#pragma omp parallel num_threads(threads)
  {
    const TinyIsZero tiny_is_zero;
    BackwardScratch<D> own(s);
#pragma omp for schedule(static) collapse(2)
    for (int64_t split = 0; split < splits; split++)
      for (int64_t head = 0; head < s.heads; head++) {
        const int64_t at = head * s.d, of_head = head * s.n * s.stride;
        const int64_t from = s.windows * split / splits, to = s.windows * (split + 1) / splits;
        for (int64_t index = from * s.frames; index < to * s.frames; index++) {
          const int64_t window = index / s.frames, frame = index % s.frames;
          const int64_t row = s.row(window, frame), query_row = s.row(window, s.frames - 1 - frame);
          read_rows(qkv + query_row * length + at, length, s, D, 1, own.q.data());
          read_rows(qkv + row * length + C + at, length, s, D, 1, own.k.data());
          read_rows(qkv + row * length + 2 * C + at, length, s, D, 1, own.v.data());
          read_rows(grad + row * C + at, C, s, D, 1, own.grad.data());
          std::copy_n(lse + (index * s.heads + head) * s.n, s.n, own.lse.begin());
          std::fill(own.k_grad.begin(), own.k_grad.end(), 0.0f);
          std::fill(own.v_grad.begin(), own.v_grad.end(), 0.0f);
          gradients_of_rows(T{}, s, bias ? bias + of_head : nullptr, of_kind(labels, kinds, window, s.stride),
                            bias_grad ? bias_grad + split * s.heads * s.n * s.stride + of_head : nullptr, own);
          write_rows(own.q_grad.data(), s, D, s.scale, qkv_grad + query_row * length + at, length);
          write_rows(own.k_grad.data(), s, D, 1, qkv_grad + row * length + C + at, length);
          write_rows(own.v_grad.data(), s, D, 1, qkv_grad + row * length + 2 * C + at, length);
        }
      }
  }
}

}  // namespace

extern "C" {

int lanes() { return LANES; }

#define ENTRIES(NAME, T)                                                                                            \
  void forward_##NAME(const int64_t* sizes, float scale, int threads, const void* qkv, const float* bias,           \
                      const float* labels, const int32_t* kinds, void* out, float* lse) {                           \
    const Shape s{sizes[0], sizes[1], sizes[2], sizes[3], sizes[4], sizes[5], scale};                               \
    forward<WIDTH>(s, threads, static_cast<const T*>(qkv), bias, labels, kinds, static_cast<T*>(out), lse);         \
  }                                                                                                                 \
  void backward_##NAME(const int64_t* sizes, float scale, int threads, int64_t splits, const void* qkv,             \
                       const float* bias, const float* labels, const int32_t* kinds, const float* lse,              \
                       const void* grad, void* qkv_grad, float* bias_grad) {                                        \
    const Shape s{sizes[0], sizes[1], sizes[2], sizes[3], sizes[4], sizes[5], scale};                               \
    backward<WIDTH>(s, threads, splits, static_cast<const T*>(qkv), bias, labels, kinds, lse,                       \
                    static_cast<const T*>(grad), static_cast<T*>(qkv_grad), bias_grad);                             \
  }

ENTRIES(float32, float)
ENTRIES(bfloat16, BFloat16)
}
