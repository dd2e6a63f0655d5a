// The backward pass of one window, frame and head, in float32; scores are recomputed.

#pragma once

#include <algorithm>
#include <type_traits>

#include "forward.h"
#include "forward_bfloat16.h"

namespace {

constexpr int CHUNK = 64;  // keys whose gradients stay in the L1 cache while they are summed

inline Vector add_weighted(Vector sum, const float* row, float weight) { return sum + weight * load(row); }
inline Quad add_weighted(Quad sum, const float* row, float weight) {
  return sum + weight * *reinterpret_cast<const Quad*>(row);
}

// sums[key] += weights[key][i] * rows[i] over the queries i of a vector, for COUNT keys. Elements are numbers, or pairs
// of neighbouring queries.
template <int D, int COUNT, typename Element>
inline void gather_rows(const Element* weights, const Element* rows, float* sums) {
  constexpr int WIDE = D / LANES, NARROW = D % LANES / 4;
  constexpr int ELEMENTS = std::is_same<Element, float>::value ? LANES : LANES / 2;
  Vector wide[COUNT][WIDE + 1];
  Quad narrow[COUNT][NARROW + 1];
  const auto at = [](float* row, int i) { return reinterpret_cast<Quad*>(row + WIDE * LANES + 4 * i); };
#pragma GCC unroll 4
  for (int key = 0; key < COUNT; key++) {
#pragma GCC unroll 8
    for (int a = 0; a < WIDE; a++) wide[key][a] = load(sums + key * D + a * LANES);
#pragma GCC unroll 4
    for (int a = 0; a < NARROW; a++) narrow[key][a] = *at(sums + key * D, a);
  }
#pragma GCC unroll 16
  for (int i = 0; i < ELEMENTS; i++) {
    const Element* row = rows + i * D;
#pragma GCC unroll 4
    for (int key = 0; key < COUNT; key++) {
      const Element weight = weights[key * ELEMENTS + i];
#pragma GCC unroll 8
      for (int a = 0; a < WIDE; a++) wide[key][a] = add_weighted(wide[key][a], row + a * LANES, weight);
#pragma GCC unroll 4
      for (int a = 0; a < NARROW; a++)
        narrow[key][a] = add_weighted(narrow[key][a], row + WIDE * LANES + 4 * a, weight);
    }
  }
#pragma GCC unroll 4
  for (int key = 0; key < COUNT; key++) {
#pragma GCC unroll 8
    for (int a = 0; a < WIDE; a++) store(sums + key * D + a * LANES, wide[key][a]);
#pragma GCC unroll 4
    for (int a = 0; a < NARROW; a++) *at(sums + key * D, a) = narrow[key][a];
  }
}

// The same for all keys; `weights` of a key have the length `stride`.
template <int D, typename Element>
void gather_all(int64_t keys, int stride, const Element* weights, const Element* rows, float* sums) {
  int64_t key = 0;
  for (; key + KEYS <= keys; key += KEYS) gather_rows<D, KEYS>(weights + key * stride, rows, sums + key * D);
  for (; key < keys; key++) gather_rows<D, 1>(weights + key * stride, rows, sums + key * D);
}

// Inputs and outputs of the backward pass of one window, frame and head: rows (n, D) and columns (D, stride).
struct Gradients {
  const float *q, *q_columns, *k, *v, *grad, *grad_columns, *lse, *bias, *labels;
  float *q_grad, *k_grad, *v_grad, *bias_grad;
};

// Adds the gradients of the scores of some keys, (keys, LANES), to those of the bias.
inline void add_to_bias(const Shape& s, float* bias_grad, int64_t keys, const float* ds) {
  for (int64_t key = 0; key < keys; key++) {
    float* to = bias_grad + key * s.stride;
    store(to, load(to) + load(ds + key * LANES));
  }
}

// Sums over the keys, for a vector of queries: of the probabilities p, and of p times its gradient.
struct Sums {
  Vector p, weighted;
};

// Computes the probabilities p and gradients dp of all keys, (n, LANES), for one vector of queries, and their sums.
template <int D>
Sums weigh(const Shape& s, const Gradients& g, int64_t first, float* p, float* dp) {
  const Vector lse = load(g.lse + first);
  const float* added = g.bias ? g.bias + first : nullptr;
  const float* query_labels = g.labels ? g.labels + first : nullptr;
  Vector sum{}, weighted{}, columns[D];
  for (int c = 0; c < D; c++) columns[c] = load(g.q_columns + c * s.stride + first);
  const auto keep = [&](int64_t key, Vector score) {
    const Vector probability = exp_of(score - lse);
    sum += probability;
    store(p + key * LANES, probability);
  };
  int64_t key = 0;
  for (; key + KEYS <= s.n; key += KEYS) {
    Vector found[KEYS];
    scores_of<D, KEYS>(columns, g.k, added, s.stride, g.labels, query_labels, key, found);
    for (int i = 0; i < KEYS; i++) keep(key + i, found[i]);
  }
  for (; key < s.n; key++) {
    Vector found[1];
    scores_of<D, 1>(columns, g.k, added, s.stride, g.labels, query_labels, key, found);
    keep(key, found[0]);
  }
  for (int c = 0; c < D; c++) columns[c] = load(g.grad_columns + c * s.stride + first);
  const auto weigh_one = [&](int64_t at, Vector gradient) {
    weighted += load(p + at * LANES) * gradient;
    store(dp + at * LANES, gradient);
  };
  for (key = 0; key + KEYS <= s.n; key += KEYS) {
    Vector found[KEYS] = {};
    products<D, KEYS>(columns, g.v + key * D, found);
    for (int i = 0; i < KEYS; i++) weigh_one(key + i, found[i]);
  }
  for (; key < s.n; key++) {
    Vector found[1] = {};
    products<D, 1>(columns, g.v + key * D, found);
    weigh_one(key, found[0]);
  }
  return {sum, weighted};
}

// Computes the gradients of one window, frame and head, a vector of queries at a time. `weigh(first)` writes the
// probabilities p and gradients ds of all keys, (n, LANES), for the queries from `first` on, and returns their sums.
// `add_gradients(first, begin, keys, factor, mean, sums)` normalises those of a chunk of keys, and adds to the
// gradients of k, v and the bias, and to `sums`: the gradient of q. Inlined, because what the functions capture would
// be read from memory for every key otherwise.
//
// The mean gradient of a query is computed from the probabilities here. Usually it is computed from the result of the
// forward pass. If that result is rounded to bfloat16, all gradients of a query are shifted, which harms training.
template <int D, typename Weigh, typename Add>
__attribute__((always_inline)) inline void over_queries(const Shape& s, float* q_grad, Weigh weigh, Add add_gradients) {
  for (int64_t first = 0; first < s.n; first += LANES) {
    const Sums found = weigh(first);
    const Vector factor = 1.0f / found.p, mean = found.weighted * factor;
    Vector sums[D] = {};
    for (int64_t begin = 0; begin < s.n; begin += CHUNK)
      add_gradients(first, begin, s.n - begin < CHUNK ? s.n - begin : CHUNK, factor, mean, sums);
    write_tokens<D>(s, first, sums, q_grad);
  }
}

template <int D>
void attend_backward(const Shape& s, const Gradients& g, float* p, float* ds) {
  const auto add_gradients = [&](int64_t first, int64_t begin, int64_t keys, Vector factor, Vector mean, Vector* sums) {
    float *p_here = p + begin * LANES, *ds_here = ds + begin * LANES;
    for (int64_t key = 0; key < keys; key++) {
      const Vector probability = load(p_here + key * LANES) * factor;
      store(p_here + key * LANES, probability);
      store(ds_here + key * LANES, probability * (load(ds_here + key * LANES) - mean));
    }
    for (int64_t key = 0; key < keys; key++) {
      const Vector grad = load(ds_here + key * LANES);
#pragma GCC unroll 64
      for (int c = 0; c < D; c++) sums[c] += grad * g.k[(begin + key) * D + c];
    }
    if (g.bias_grad) add_to_bias(s, g.bias_grad + begin * s.stride + first, keys, ds_here);
    gather_all<D>(keys, LANES, p_here, g.grad + first * D, g.v_grad + begin * D);
    gather_all<D>(keys, LANES, ds_here, g.q + first * D, g.k_grad + begin * D);
  };
  over_queries<D>(s, g.q_grad, [&](int64_t first) { return weigh<D>(s, g, first, p, ds); }, add_gradients);
}

// What the backward pass of one window, frame and head reads and computes, whatever the type of the tokens, and its
// buffers. Rows of tokens hold numbers, or pairs of neighbouring channels.
template <int D, typename Element>
class BackwardBuffers {
 protected:
  std::vector<Element> q, k, v, grad;
  Floats lse, q_grad, k_grad, v_grad, p, ds;

  explicit BackwardBuffers(const Shape& s)
      : q(s.stride * (std::is_same<Element, float>::value ? D : D / 2)), k(q), v(q), grad(q), lse(s.stride),
        q_grad(s.stride * D), k_grad(q_grad), v_grad(q_grad), p(s.n * LANES), ds(p) {}

 public:
  // Reads queries, keys and values from rows of `length`, and gradients of results, whose rows are a third as long.
  template <typename T>
  void read(const Shape& s, const T* queries, const T* keys, const T* values, const T* grads, int64_t length,
            const float* sums) {
    read_rows<D>(queries, length, s, q.data());
    read_rows<D>(keys, length, s, k.data());
    read_rows<D>(values, length, s, v.data());
    read_rows<D>(grads, length / 3, s, grad.data());
    std::copy_n(sums, s.n, lse.begin());
    std::fill(k_grad.begin(), k_grad.end(), 0.0f);
    std::fill(v_grad.begin(), v_grad.end(), 0.0f);
  }

  // Writes the gradients of queries, keys and values to rows of `length`.
  template <typename T>
  void write(const Shape& s, T* queries, T* keys, T* values, int64_t length) {
    write_rows<D>(q_grad.data(), s, s.scale, queries, length);
    write_rows<D>(k_grad.data(), s, 1, keys, length);
    write_rows<D>(v_grad.data(), s, 1, values, length);
  }
};

// The backward pass of one window, frame and head.
template <int D, typename T>
class Backward : public BackwardBuffers<D, float> {
  Floats q_columns, grad_columns;

 public:
  explicit Backward(const Shape& s) : BackwardBuffers<D, float>(s), q_columns(s.stride * D), grad_columns(q_columns) {}

  void attend(const Shape& s, const float* bias, const float* labels, float* bias_grad) {
    for (float& value : this->q) value *= s.scale;
    columns_of<D>(this->q.data(), s, q_columns.data());
    columns_of<D>(this->grad.data(), s, grad_columns.data());
    const Gradients all{this->q.data(), q_columns.data(), this->k.data(), this->v.data(), this->grad.data(),
                        grad_columns.data(), this->lse.data(), bias, labels, this->q_grad.data(),
                        this->k_grad.data(), this->v_grad.data(), bias_grad};
    attend_backward<D>(s, all, this->p.data(), this->ds.data());
  }
};

}  // namespace
