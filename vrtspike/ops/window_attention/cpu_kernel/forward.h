// The forward pass of one window, frame and head, in float32.

#pragma once

#include <cmath>
#include <vector>

#include "shape.h"

namespace {

typedef std::vector<float> Floats;

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

// The number of queries in the vector that begins at `first`.
inline int queries_from(const Shape& s, int64_t first) { return s.n - first < LANES ? int(s.n - first) : LANES; }

// Writes the log-sum-exps of one vector of queries.
inline void write_lse(const Shape& s, int64_t first, Vector top, Vector sum, float* lse) {
  for (int i = 0; i < queries_from(s, first); i++) lse[first + i] = top[i] + std::log(sum[i]);
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
    const Vector factor = 1.0f / sum;
    for (int c = 0; c < D; c++) sums[c] *= factor;
    write_tokens<D>(s, first, sums, out);
    if (lse) write_lse(s, first, top, sum, lse);
  }
}

// The forward pass of one window, frame and head, and its buffers. `length` is that of a row of queries, keys and
// values, or of results.
template <int D, typename T>
class Forward {
  Floats q, k, v, columns, scores, out;

 public:
  explicit Forward(const Shape& s)
      : q(s.stride * D), k(q), v(q), columns(q), scores(s.n * LANES), out(q) {}

  void read(const Shape& s, const T* queries, const T* keys, const T* values, int64_t length) {
    read_rows<D>(queries, length, s, q.data());
    read_rows<D>(keys, length, s, k.data());
    read_rows<D>(values, length, s, v.data());
  }

  void attend(const Shape& s, const float* bias, const float* labels, float* lse) {
    for (float& value : q) value *= s.scale;
    columns_of<D>(q.data(), s, columns.data());
    ::attend<D>(s, columns.data(), k.data(), v.data(), bias, labels, scores.data(), out.data(), lse);
  }

  void write(const Shape& s, T* to, int64_t length) { write_rows<D>(out.data(), s, 1, to, length); }
};

}  // namespace
