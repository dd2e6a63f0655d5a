// The backward pass of one window, frame and head, on processors that multiply pairs of bfloat16 and add in float32.
// Probabilities and gradients of scores are rounded where they are multiplied; their sums are in float32.

#pragma once

#ifdef __AVX512BF16__

#include "backward.h"
#include "forward_bfloat16.h"

namespace {

constexpr int PAIRS = LANES / 2;

// Writes the queries of a vector as pairs of neighbours.
inline void store_pairs(Pair* to, Vector x) {
  const auto rounded = _mm512_cvtneps_pbh(__m512(x));
  std::memcpy(to, &rounded, sizeof rounded);
}

// Calls `keep` with every key and the products of its row with the columns of one vector of queries or gradients.
template <int D, typename Keep>
inline void multiply_pairs(const Shape& s, const Pair* columns, const Pair* rows, int64_t first, Keep keep) {
  Bits column[D / 2];
  for (int c = 0; c < D / 2; c++) std::memcpy(&column[c], columns + c * s.stride + first, sizeof column[c]);
  int64_t key = 0;
  for (; key + KEYS <= s.n; key += KEYS) {
    Vector sums[KEYS] = {};
#pragma GCC unroll 64
    for (int c = 0; c < D / 2; c++)
#pragma GCC unroll 4
      for (int i = 0; i < KEYS; i++) sums[i] = add_products(sums[i], column[c], rows[(key + i) * (D / 2) + c]);
    for (int i = 0; i < KEYS; i++) keep(key + i, sums[i]);
  }
  for (; key < s.n; key++) {
    Vector sum{};
    for (int c = 0; c < D / 2; c++) sum = add_products(sum, column[c], rows[key * (D / 2) + c]);
    keep(key, sum);
  }
}

// Pairs of neighbouring channels, as columns (D / 2, stride) or rows (n, D / 2), and of neighbouring tokens, as rows
// (stride / 2, D). Queries are not scaled.
struct PairedInputs {
  const Pair *q_columns, *k, *v, *grad_columns, *q_tokens, *k_tokens, *grad_tokens;
};

// The same as `attend_backward`; the gradient of k is not scaled either.
template <int D>
void attend_backward_pairs(const Shape& s, const PairedInputs& in, const Gradients& g, float* p, float* ds) {
  Pair p_pairs[CHUNK * PAIRS], ds_pairs[CHUNK * PAIRS];
  Bits ds_of_keys[CHUNK / 2];
  for (int64_t first = 0; first < s.n; first += LANES) {
    const Vector lse = load(g.lse + first);
    Vector sum{}, weighted{};
    multiply_pairs<D>(s, in.q_columns, in.k, first, [&](int64_t key, Vector product) {
      Vector score = product * s.scale + (g.bias ? load(g.bias + key * s.stride + first) : Vector{});
      if (g.labels) score += load(g.labels + first) != all(g.labels[key]) ? all(MASKED) : Vector{};
      const Vector probability = exp_of(score - lse);
      sum += probability;
      store(p + key * LANES, probability);
    });
    multiply_pairs<D>(s, in.grad_columns, in.v, first, [&](int64_t key, Vector gradient) {
      weighted += load(p + key * LANES) * gradient;
      store(ds + key * LANES, gradient);
    });
    const Vector factor = 1.0f / sum, mean = weighted * factor;
    Vector sums[D] = {};
    for (int64_t begin = 0; begin < s.n; begin += CHUNK) {
      const int64_t keys = s.n - begin < CHUNK ? s.n - begin : CHUNK;
      float *p_here = p + begin * LANES, *ds_here = ds + begin * LANES;
      for (int64_t key = 0; key < keys; key++) {
        const Vector probability = load(p_here + key * LANES) * factor;
        const Vector grad = probability * (load(ds_here + key * LANES) - mean);
        store(ds_here + key * LANES, grad);
        store_pairs(p_pairs + key * PAIRS, probability);
        store_pairs(ds_pairs + key * PAIRS, grad);
      }
      if (g.bias_grad) add_to_bias(s, g.bias_grad + begin * s.stride + first, keys, ds_here);
      for (int64_t key = 0; key < keys; key += 2) {
        const Vector next = key + 1 < keys ? load(ds_here + (key + 1) * LANES) : Vector{};
        ds_of_keys[key / 2] = pairs_of(load(ds_here + key * LANES), next);
      }
      for (int64_t key = 0; key < keys; key += 2) {
        const Pair* rows = in.k_tokens + (begin + key) / 2 * D;
#pragma GCC unroll 64
        for (int c = 0; c < D; c++) sums[c] = add_products(sums[c], ds_of_keys[key / 2], rows[c]);
      }
      gather_all<D>(keys, PAIRS, p_pairs, in.grad_tokens + first / 2 * D, g.v_grad + begin * D);
      gather_all<D>(keys, PAIRS, ds_pairs, in.q_tokens + first / 2 * D, g.k_grad + begin * D);
    }
    const int count = s.n - first < LANES ? int(s.n - first) : LANES;
    for (int c = 0; c < D; c++)
      for (int i = 0; i < count; i++) g.q_grad[(first + i) * D + c] = sums[c][i];
  }
}

}  // namespace

#endif
