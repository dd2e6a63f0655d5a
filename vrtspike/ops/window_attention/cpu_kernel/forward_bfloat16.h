// The forward pass of one window, frame and head, on processors that multiply pairs of bfloat16 and add in float32.

#pragma once

#ifdef __AVX512BF16__

#include <immintrin.h>

#include "forward.h"

namespace {

// Two neighbouring bfloat16 numbers in 32 bits; the processor multiplies and adds them in one instruction.
typedef uint32_t Pair;
typedef std::vector<Pair> Pairs;

inline Vector add_products(Vector sum, Bits pairs, Pair pair) {
  const __m512i left = reinterpret_cast<__m512i>(pairs), right = _mm512_set1_epi32(int32_t(pair));
  return Vector(_mm512_dpbf16_ps(__m512(sum), reinterpret_cast<__m512bh>(left), reinterpret_cast<__m512bh>(right)));
}

// Adds the products of a row of pairs with one pair, for the backward pass.
inline Vector add_weighted(Vector sum, const Pair* row, Pair weight) {
  Bits pairs;
  std::memcpy(&pairs, row, sizeof pairs);
  return add_products(sum, pairs, weight);
}
inline Quad add_weighted(Quad sum, const Pair* row, Pair weight) {
  const __m128i left = _mm_loadu_si128(reinterpret_cast<const __m128i*>(row)), right = _mm_set1_epi32(int32_t(weight));
  return Quad(_mm_dpbf16_ps(__m128(sum), reinterpret_cast<__m128bh>(left), reinterpret_cast<__m128bh>(right)));
}

// Probabilities of two keys, rounded, side by side in every lane.
inline Bits pairs_of(Vector low, Vector high) {
  Bits a, b;
  std::memcpy(&a, &low, sizeof a);
  std::memcpy(&b, &high, sizeof b);
  typedef uint32_t Unsigned __attribute__((vector_size(4 * LANES)));
  return Bits(((Unsigned(a) + 0x8000u) >> 16) | ((Unsigned(b) + 0x8000u) & 0xffff0000u));
}

// The same of numbers as they are stored: to the nearest, ties to even.
inline Bits stored_pairs(Vector low, Vector high) {
  const auto rounded = [](Vector x) {
    return _mm512_cvtepu16_epi32(reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(__m512(x))));
  };
  return Bits(_mm512_or_si512(rounded(low), _mm512_slli_epi32(rounded(high), 16)));
}

// Reads tokens as rows (n, D / 2) of pairs of neighbouring channels, which are neighbours in memory.
inline void read_rows(const BFloat16* from, int64_t row_length, const Shape& s, int D, Pair* rows) {
  for (int64_t i = 0; i < s.n; i++) std::memcpy(rows + i * (D / 2), from + i * row_length, s.d * sizeof(BFloat16));
}

// Rows of pairs of neighbouring channels, as columns (D / 2, stride).
template <int D>
void transpose_pairs(const Shape& s, const Pair* rows, Pair* columns) {
  for (int64_t i = 0; i < s.n; i++)
    for (int c = 0; c < D / 2; c++) columns[c * s.stride + i] = rows[i * (D / 2) + c];
}

// The same numbers as pairs of neighbouring tokens, rows (n / 2, D).
template <int D>
void pair_tokens(const Shape& s, const Pair* rows, Pair* pairs) {
  for (int64_t i = 0; i < s.n; i += 2)
    for (int c = 0; c < D / 2; c++) {
      const Pair a = rows[i * (D / 2) + c], b = i + 1 < s.n ? rows[(i + 1) * (D / 2) + c] : 0;
      pairs[i / 2 * D + 2 * c] = (a & 0xffff) | b << 16;
      pairs[i / 2 * D + 2 * c + 1] = a >> 16 | (b & 0xffff0000);
    }
}

// Calls `keep` with every key and the products of its row with the columns of one vector of queries or gradients.
// Inlined, because what `keep` captures would be read from memory for every key otherwise.
template <int D, typename Keep>
__attribute__((always_inline)) inline void multiply_pairs(const Shape& s, const Pair* columns, const Pair* rows,
                                                          int64_t first, Keep keep) {
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

// The score of a key for the queries from `first` on: their products, scaled, with bias and mask.
inline Vector score_of(const Shape& s, Vector product, const float* bias, const float* labels, int64_t first,
                       int64_t key) {
  Vector score = product * s.scale + (bias ? load(bias + key * s.stride + first) : Vector{});
  if (labels) score += load(labels + first) != all(labels[key]) ? all(MASKED) : Vector{};
  return score;
}

// Writes the results of one vector of queries as rows of pairs (n, D / 2).
template <int D>
void finish_pairs(const Shape& s, int64_t first, Vector sum, const Vector* sums, Pair* out) {
  const Vector factor = 1.0f / sum;
  Pair columns[D / 2][LANES];
  for (int c = 0; c < D / 2; c++) {
    const Bits pairs = stored_pairs(sums[2 * c] * factor, sums[2 * c + 1] * factor);
    std::memcpy(columns[c], &pairs, sizeof pairs);
  }
  for (int i = 0; i < queries_from(s, first); i++)
    for (int c = 0; c < D / 2; c++) out[(first + i) * (D / 2) + c] = columns[c][i];
}

// The same as `attend`, on pairs; `scores` has room for one more key.
template <int D>
void attend_pairs(const Shape& s, const Pair* q_columns, const Pair* k, const Pair* v, const float* bias,
                  const float* labels, float* scores, Pair* out, float* lse) {
  for (int64_t first = 0; first < s.n; first += LANES) {
    Vector top = all(-INFINITY);
    multiply_pairs<D>(s, q_columns, k, first, [&](int64_t key, Vector product) {
      const Vector score = score_of(s, product, bias, labels, first, key);
      store(scores + key * LANES, score);
      top = score > top ? score : top;
    });
    if (s.n % 2) store(scores + s.n * LANES, all(-INFINITY));  // the second key of the last pair
    Vector sum{}, sums[D] = {};
    for (int64_t key = 0; key < s.n; key += 2) {
      const Vector low = exp_of(load(scores + key * LANES) - top);
      const Vector high = exp_of(load(scores + (key + 1) * LANES) - top);
      sum += low + high;
      const Bits pairs = pairs_of(low, high);
      std::memcpy(scores + key / 2 * LANES, &pairs, sizeof pairs);
    }
    for (int64_t key = 0; key < (s.n + 1) / 2; key++) {
      Bits pairs;
      std::memcpy(&pairs, scores + key * LANES, sizeof pairs);
#pragma GCC unroll 64
      for (int c = 0; c < D; c++) sums[c] = add_products(sums[c], pairs, v[key * D + c]);
    }
    finish_pairs<D>(s, first, sum, sums, out);
    if (lse) write_lse(s, first, top, sum, lse);
  }
}

template <int D>
class Forward<D, BFloat16> {
  Pairs q, k, v, columns, tokens, out;
  Floats scores;

 public:
  explicit Forward(const Shape& s)
      : q(s.stride * D / 2), k(q), v(q), columns(q), tokens(q), out(q), scores((s.n + 1) * LANES) {}

  void read(const Shape& s, const BFloat16* queries, const BFloat16* keys, const BFloat16* values, int64_t length) {
    read_rows(queries, length, s, D, q.data());
    read_rows(keys, length, s, D, k.data());
    read_rows(values, length, s, D, v.data());
  }

  void attend(const Shape& s, const float* bias, const float* labels, float* lse) {
    transpose_pairs<D>(s, q.data(), columns.data());
    pair_tokens<D>(s, v.data(), tokens.data());
    attend_pairs<D>(s, columns.data(), k.data(), tokens.data(), bias, labels, scores.data(), out.data(), lse);
  }

  void write(const Shape& s, BFloat16* to, int64_t length) {
    for (int64_t i = 0; i < s.n; i++) std::memcpy(to + i * length, &out[i * (D / 2)], s.d * sizeof(BFloat16));
  }
};

}  // namespace

#endif
