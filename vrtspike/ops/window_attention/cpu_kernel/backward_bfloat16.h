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

// Pairs of neighbouring channels, as columns (D / 2, stride) or rows (n, D / 2), and of neighbouring tokens, as rows
// (stride / 2, D). Queries are not scaled. Gradients of queries, keys and values are rows (n, D) of float32.
struct PairedGradients {
  const Pair *q_columns, *k, *v, *grad_columns, *q_tokens, *k_tokens, *grad_tokens;
  const float *lse, *bias, *labels;
  float *q_grad, *k_grad, *v_grad, *bias_grad;
};

// The same as `attend_backward`; the gradient of k is not scaled either.
template <int D>
void attend_backward_pairs(const Shape& s, const PairedGradients& g, float* p, float* ds) {
  const auto weigh_keys = [&](int64_t first) {
    const Vector log2_of_e = all(LOG2_OF_E), lse = load(g.lse + first) * log2_of_e;
    Vector sum{}, weighted{};
    with_score(s, g.bias, g.labels, first, [&](auto score_of) {
      multiply_pairs<D>(s, g.q_columns, g.k, first, [&](int64_t key, Vector product) {
        const Vector probability = power_of_2(score_of(key, product) * log2_of_e - lse);
        sum += probability;
        store(p + key * LANES, probability);
      });
    });
    multiply_pairs<D>(s, g.grad_columns, g.v, first, [&](int64_t key, Vector gradient) {
      weighted += load(p + key * LANES) * gradient;
      store(ds + key * LANES, gradient);
    });
    return Sums{sum, weighted};
  };
  Pair p_pairs[CHUNK * PAIRS], ds_pairs[CHUNK * PAIRS];
  Bits ds_of_keys[CHUNK / 2];
  const auto add_gradients = [&](int64_t first, int64_t begin, int64_t keys, Vector factor, Vector mean, Vector* sums) {
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
      const Pair* rows = g.k_tokens + (begin + key) / 2 * D;
#pragma GCC unroll 64
      for (int c = 0; c < D; c++) sums[c] = multiply_add(sums[c], rows[c], ds_of_keys[key / 2]);
    }
    gather_all<D>(keys, PAIRS, p_pairs, g.grad_tokens + first / 2 * D, g.v_grad + begin * D);
    gather_all<D>(keys, PAIRS, ds_pairs, g.q_tokens + first / 2 * D, g.k_grad + begin * D);
  };
  over_queries<D>(s, g.q_grad, weigh_keys, add_gradients);
}

template <int D>
class Backward<D, BFloat16> : public BackwardBuffers<D, Pair> {
  Pairs q_columns, grad_columns, q_tokens, k_tokens, grad_tokens;

 public:
  explicit Backward(const Shape& s)
      : BackwardBuffers<D, Pair>(s), q_columns(s.stride * D / 2), grad_columns(q_columns), q_tokens(q_columns),
        k_tokens(q_columns), grad_tokens(q_columns) {}

  void attend(const Shape& s, const float* bias, const float* labels, float* bias_grad) {
    transpose_pairs<D>(s, this->q.data(), q_columns.data());
    transpose_pairs<D>(s, this->grad.data(), grad_columns.data());
    pair_tokens<D>(s, this->q.data(), q_tokens.data());
    pair_tokens<D>(s, this->k.data(), k_tokens.data());
    pair_tokens<D>(s, this->grad.data(), grad_tokens.data());
    const PairedGradients all{q_columns.data(), this->k.data(), this->v.data(), grad_columns.data(), q_tokens.data(),
                              k_tokens.data(), grad_tokens.data(), this->lse.data(), bias, labels,
                              this->q_grad.data(), this->k_grad.data(), this->v_grad.data(), bias_grad};
    attend_backward_pairs<D>(s, all, this->p.data(), this->ds.data());
    for (float& value : this->k_grad) value *= s.scale;
  }
};

}  // namespace

#endif
