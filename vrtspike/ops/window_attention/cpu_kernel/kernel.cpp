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

#include "backward.h"
#include "backward_bfloat16.h"
#include "forward.h"
#include "forward_bfloat16.h"

namespace {

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
    Forward<D, T> own(s);
#pragma omp for schedule(static)
    for (int64_t task = 0; task < tasks; task++) {
      const int64_t head = task % s.heads, frame = task / s.heads % s.frames, window = task / s.heads / s.frames;
      const int64_t row = s.row(window, frame), query_row = s.row(window, s.frames - 1 - frame), at = head * s.d;
      const T* keys = qkv + row * length + C + at;
      own.read(s, qkv + query_row * length + at, keys, keys + C, length);
      own.attend(s, bias ? bias + head * s.n * s.stride : nullptr, of_kind(labels, kinds, window, s.stride),
                 lse ? lse + task * s.n : nullptr);
      own.write(s, out + row * C + at, C);
    }
  }
}

// Splits of the windows are summed separately, so the bias gradient does not depend on the order of the threads.
template <int D, typename T>
void backward(const Shape& s, int threads, int64_t splits, const T* qkv, const float* bias, const float* labels,
              const int32_t* kinds, const float* lse, const T* grad, T* qkv_grad, float* bias_grad) {
  const int64_t C = s.channels(), length = 3 * C;
#pragma omp parallel num_threads(threads)
  {
    const TinyIsZero tiny_is_zero;
    Backward<D, T> own(s);
#pragma omp for schedule(static) collapse(2)
    for (int64_t split = 0; split < splits; split++)
      for (int64_t head = 0; head < s.heads; head++) {
        const int64_t at = head * s.d, of_head = head * s.n * s.stride;
        const int64_t from = s.windows * split / splits, to = s.windows * (split + 1) / splits;
        for (int64_t index = from * s.frames; index < to * s.frames; index++) {
          const int64_t window = index / s.frames, frame = index % s.frames;
          const int64_t row = s.row(window, frame), query_row = s.row(window, s.frames - 1 - frame);
          const T* keys = qkv + row * length + C + at;
          own.read(s, qkv + query_row * length + at, keys, keys + C, grad + row * C + at, length,
                   lse + (index * s.heads + head) * s.n);
          own.attend(s, bias ? bias + of_head : nullptr, of_kind(labels, kinds, window, s.stride),
                     bias_grad ? bias_grad + split * s.heads * s.n * s.stride + of_head : nullptr);
          T* keys_grad = qkv_grad + row * length + C + at;
          own.write(s, qkv_grad + query_row * length + at, keys_grad, keys_grad + C, length);
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
