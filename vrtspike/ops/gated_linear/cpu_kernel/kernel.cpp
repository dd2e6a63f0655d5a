// The gate of a gated MLP on CPUs, gelu(x) * gate, and its gradients, each in one pass over the numbers.

#pragma GCC optimize("no-trapping-math")  // else comparisons would be branches, and loops no vectors

#include "numbers.h"

namespace {

template <typename T>
void forward(int64_t count, int threads, const T* x, const T* gate, T* out) {
#pragma omp parallel for simd num_threads(threads) schedule(static)
  for (int64_t i = 0; i < count; i++) {
    const float at = to_float(x[i]);
    put(out[i], at * below(at) * to_float(gate[i]));
  }
}

// Also writes the result of the forward pass again, which the caller has not saved.
template <typename T>
void backward(int64_t count, int threads, const T* grad, const T* x, const T* gate, T* grad_x, T* grad_gate, T* out) {
#pragma omp parallel for simd num_threads(threads) schedule(static)
  for (int64_t i = 0; i < count; i++) {
    const float at = to_float(x[i]), g = to_float(grad[i]), by = to_float(gate[i]);
    const float share = below(at), gelu = at * share;
    put(grad_x[i], g * by * (share + at * density(at)));
    put(grad_gate[i], g * gelu);
    put(out[i], gelu * by);
  }
}

}  // namespace

extern "C" {

#define ENTRIES(NAME, T)                                                                                           \
  void forward_##NAME(int64_t count, int threads, const void* x, const void* gate, void* out) {                    \
    forward(count, threads, static_cast<const T*>(x), static_cast<const T*>(gate), static_cast<T*>(out));          \
  }                                                                                                                \
  void backward_##NAME(int64_t count, int threads, const void* grad, const void* x, const void* gate,              \
                       void* grad_x, void* grad_gate, void* out) {                                                 \
    backward(count, threads, static_cast<const T*>(grad), static_cast<const T*>(x), static_cast<const T*>(gate),   \
             static_cast<T*>(grad_x), static_cast<T*>(grad_gate), static_cast<T*>(out));                           \
  }

ENTRIES(float32, float)
ENTRIES(bfloat16, BFloat16)
}
