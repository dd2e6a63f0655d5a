// The gate of a gated MLP on CPUs, gelu(x) * gate, and its gradients, each in one pass over the numbers.

#include "normal_distribution.h"

namespace {

// Calls function(i, n) for every vector of numbers from i on, of which n are left.
template <typename Function>
void over_vectors(int64_t count, int threads, Function function) {
#pragma omp parallel for num_threads(threads) schedule(static)
  for (int64_t i = 0; i < count; i += LANES) function(i, count - i);
}

template <typename T>
void forward(int64_t count, int threads, const T* x, const T* gate, T* out) {
  over_vectors(count, threads, [=](int64_t i, int64_t n) {
    const Vector at = load_first(x + i, n);
    store_first(out + i, at * below(at) * load_first(gate + i, n), n);
  });
}

// Also writes the result of the forward pass again, which the caller has not saved.
template <typename T>
void backward(int64_t count, int threads, const T* grad, const T* x, const T* gate, T* grad_x, T* grad_gate, T* out) {
  over_vectors(count, threads, [=](int64_t i, int64_t n) {
    const Vector at = load_first(x + i, n), g = load_first(grad + i, n), by = load_first(gate + i, n);
    const Vector share = below(at), gelu = at * share;
    store_first(grad_x + i, g * by * (share + at * density(at)), n);
    store_first(grad_gate + i, g * gelu, n);
    store_first(out + i, gelu * by, n);
  });
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
