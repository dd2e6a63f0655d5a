// The forward pass of one window, frame and head, in float32.

#pragma once

#include <cmath>

#include "shape.h"

namespace {

// Adds columns[c] . rows[key] to sums[key] for COUNT keys and the queries or gradients of one vector.
template <int D, int COUNT>
inline void products(const Vector* columns, const float* rows, Vector* sums) {
#pragma GCC unroll 64
  for (int c = 0; c < D; c++)
#pragma GCC unroll 4
    for (int key = 0; key < COUNT; key++) sums[key] += columns[c] * rows[key * D + c];
}

// Scores of COUNT keys from `key` on, with bias and mask.
template <int D, int COUNT>
inline void scores_of(const Vector* q, const float* k, const float* bias, int64_t stride, const float* labels,
                      const float* query_labels, int64_t key, Vector* scores) {
#pragma GCC unroll 4
  for (int i = 0; i < COUNT; i++) scores[i] = bias ? load(bias + (key + i) * stride) : Vector{};
  products<D, COUNT>(q, k + key * D, scores);
  if (labels)
#pragma GCC unroll 4
    for (int i = 0; i < COUNT; i++) scores[i] += load(query_labels) != all(labels[key + i]) ? all(MASKED) : Vector{};
}

// Writes the results of one vector of queries from the sums over keys.
template <int D>
inline void finish(const Shape& s, int64_t first, Vector top, Vector sum, Vector* sums, float* out, float* lse) {
  const int count = s.n - first < LANES ? int(s.n - first) : LANES;
  for (int c = 0; c < D; c++) {
    sums[c] /= sum;
    for (int i = 0; i < count; i++) out[(first + i) * D + c] = sums[c][i];
  }
  if (lse)
    for (int i = 0; i < count; i++) lse[first + i] = top[i] + std::log(sum[i]);
}

// Rows k and v, columns q (scaled); `out` rows, `lse` one value per query.
template <int D>
void attend(const Shape& s, const float* q_columns, const float* k, const float* v, const float* bias,
            const float* labels, float* scores, float* out, float* lse) {
  for (int64_t first = 0; first < s.n; first += LANES) {
    Vector q[D];
    for (int c = 0; c < D; c++) q[c] = load(q_columns + c * s.stride + first);
    const float* added = bias ? bias + first : nullptr;
    const float* query_labels = labels ? labels + first : nullptr;
    Vector top = all(-INFINITY);
    const auto keep = [&](int64_t key, Vector score) {
      store(scores + key * LANES, score);
      top = score > top ? score : top;
    };
    int64_t key = 0;
    for (; key + KEYS <= s.n; key += KEYS) {
      Vector found[KEYS];
      scores_of<D, KEYS>(q, k, added, s.stride, labels, query_labels, key, found);
      for (int i = 0; i < KEYS; i++) keep(key + i, found[i]);
    }
    for (; key < s.n; key++) {
      Vector found[1];
      scores_of<D, 1>(q, k, added, s.stride, labels, query_labels, key, found);
      keep(key, found[0]);
    }
    Vector sum{}, sums[D] = {};
    for (key = 0; key < s.n; key++) {  // a separate loop: the next one needs all registers
      const Vector p = exp_of(load(scores + key * LANES) - top);
      sum += p;
      store(scores + key * LANES, p);
    }
    for (key = 0; key < s.n; key++) {
      const Vector p = load(scores + key * LANES);
#pragma GCC unroll 64
      for (int c = 0; c < D; c++) sums[c] += p * v[key * D + c];
    }
    finish<D>(s, first, top, sum, sums, out, lse);
  }
}

}  // namespace
