// The forward pass of one window, frame and head, on processors that multiply pairs of bfloat16 and add in float32.

#pragma once

#ifdef __AVX512BF16__

#include <immintrin.h>

#include "forward.h"

namespace {

typedef std::vector<Pair> Pairs;

// Adds the products of a row of pairs with one pair, for the backward pass.
inline Vector add_weighted(Vector sum, const Pair* row, Pair weight) {
  Bits pairs;
  std::memcpy(&pairs, row, sizeof pairs);
  return multiply_add(sum, weight, pairs);
}
inline Quad add_weighted(Quad sum, const Pair* row, Pair weight) {
  const __m128i left = _mm_loadu_si128(reinterpret_cast<const __m128i*>(row)), right = _mm_set1_epi32(int32_t(weight));
  return Quad(_mm_dpbf16_ps(__m128(sum), reinterpret_cast<__m128bh>(left), reinterpret_cast<__m128bh>(right)));
}

constexpr float LOG2_OF_E = 1.44269504f;

// 2^x to 13 bits, more than bfloat16 has: 2^floor(x) times a polynomial in what is left of x.
inline Vector power_of_2(Vector x) {
  const Vector f = Vector(_mm512_reduce_ps(__m512(x), _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC));  // x - floor(x)
  Vector y = f * 7.8023039e-2f + 2.2606930e-1f;
  y = y * f + 6.9583279e-1f;
  y = y * f + 9.9992526e-1f;
  return Vector(_mm512_scalef_ps(__m512(y), __m512(x)));  // takes the floor of x
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

// Pairs as numbers that are only moved.
inline float* moved(Pair* pairs) { return reinterpret_cast<float*>(pairs); }
inline const float* moved(const Pair* pairs) { return reinterpret_cast<const float*>(pairs); }

inline __mmask32 numbers_before(int64_t count) { return count < 32 ? (__mmask32(1) << count) - 1 : ~__mmask32(0); }

// Reads tokens as rows (n, D / 2) of pairs of neighbouring channels, which are neighbours in memory.
template <int D>
void read_rows(const BFloat16* from, int64_t row_length, const Shape& s, Pair* rows) {
  for (int64_t i = 0; i < s.n; i++)
    for (int c = 0; c < D; c += 2 * LANES) {
      const __mmask32 mask = c < s.d ? numbers_before(s.d - c) : 0;
      const Vector x = Vector(_mm512_castsi512_ps(_mm512_maskz_loadu_epi16(mask, from + i * row_length + c)));
      store_first(moved(rows + (i * D + c) / 2), x, (D - c) / 2);
    }
}

// Rows of pairs of neighbouring channels, as columns (D / 2, stride).
template <int D>
void transpose_pairs(const Shape& s, const Pair* rows, Pair* columns) {
  columns_of<D / 2>(moved(rows), s, moved(columns));
}

// The same numbers as pairs of neighbouring tokens, rows (n / 2, D).
template <int D>
void pair_tokens(const Shape& s, const Pair* rows, Pair* pairs) {
  Bits first, second;  // which lanes of two vectors alternate
  for (int i = 0; i < LANES; i++) {
    first[i] = i / 2 + i % 2 * LANES;
    second[i] = first[i] + LANES / 2;
  }
  for (int64_t i = 0; i < s.n; i += 2)
    for (int c = 0; c < D; c += 2 * LANES) {
      const Pair* row = rows + (i * D + c) / 2;
      const Words a = Words(load_first(moved(row), (D - c) / 2));
      const Words b = i + 1 < s.n ? Words(load_first(moved(row + D / 2), (D - c) / 2)) : Words{};
      const Words even = (a & 0xffff) | b << 16, odd = a >> 16 | (b & 0xffff0000);
      Pair* to = pairs + i / 2 * D + c;
      store_first(moved(to), Vector(__builtin_shuffle(even, odd, first)), D - c);
      if (D - c > LANES) store_first(moved(to + LANES), Vector(__builtin_shuffle(even, odd, second)), D - c - LANES);
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
      for (int i = 0; i < KEYS; i++) sums[i] = multiply_add(sums[i], rows[(key + i) * (D / 2) + c], column[c]);
    for (int i = 0; i < KEYS; i++) keep(key + i, sums[i]);
  }
  for (; key < s.n; key++) {
    Vector sum{};
    for (int c = 0; c < D / 2; c++) sum = multiply_add(sum, rows[key * (D / 2) + c], column[c]);
    keep(key, sum);
  }
}

// Calls `use` with the function that makes scores of the queries from `first` on from their products with a key: scaled,
// with bias and mask. The loop in `use` is compiled for each case, so that it asks for none.
template <typename Use>
__attribute__((always_inline)) inline void with_score(const Shape& s, const float* bias, const float* labels,
                                                      int64_t first, Use use) {
  const Vector scale = all(s.scale);
  const int64_t stride = s.stride;
  if (labels) {
    const Vector own = load(labels + first);
    use([=](int64_t key, Vector product) {
      const Vector score = product * scale + (own != all(labels[key]) ? all(MASKED) : Vector{});
      return bias ? score + load(bias + first + key * stride) : score;
    });
  } else if (bias) {
    use([=](int64_t key, Vector product) { return product * scale + load(bias + first + key * stride); });
  } else {
    use([=](int64_t, Vector product) { return product * scale; });
  }
}

// Writes the results of one vector of queries as rows of pairs (n, D / 2).
template <int D>
void finish_pairs(const Shape& s, int64_t first, Vector sum, const Vector* sums, Pair* out) {
  const Vector factor = 1.0f / sum;
  Vector pairs[D / 2];
#pragma GCC unroll 64
  for (int c = 0; c < D / 2; c++) pairs[c] = Vector(stored_pairs(sums[2 * c] * factor, sums[2 * c + 1] * factor));
  write_tokens<D / 2>(s, first, pairs, moved(out));
}

// The same as `attend`, on pairs; `scores` has room for one more key.
template <int D>
void attend_pairs(const Shape& s, const Pair* q_columns, const Pair* k, const Pair* v, const float* bias,
                  const float* labels, float* scores, Pair* out, float* lse) {
  for (int64_t first = 0; first < s.n; first += LANES) {
    Vector top = all(-INFINITY);
    with_score(s, bias, labels, first, [&](auto score_of) {
      multiply_pairs<D>(s, q_columns, k, first, [&](int64_t key, Vector product) {
        const Vector score = score_of(key, product);
        store(scores + key * LANES, score);
        top = score > top ? score : top;
      });
    });
    if (s.n % 2) store(scores + s.n * LANES, all(-INFINITY));  // the second key of the last pair
    Vector sum{}, sums[D] = {};
    const Vector log2_of_e = all(LOG2_OF_E), shift = top * log2_of_e;
    for (int64_t key = 0; key < s.n; key += 2) {
      const Vector low = power_of_2(load(scores + key * LANES) * log2_of_e - shift);
      const Vector high = power_of_2(load(scores + (key + 1) * LANES) * log2_of_e - shift);
      sum += low + high;
      const Bits pairs = pairs_of(low, high);
      std::memcpy(scores + key / 2 * LANES, &pairs, sizeof pairs);
    }
    for (int64_t key = 0; key < (s.n + 1) / 2; key++) {
      Bits pairs;
      std::memcpy(&pairs, scores + key * LANES, sizeof pairs);
#pragma GCC unroll 64
      for (int c = 0; c < D; c++) sums[c] = multiply_add(sums[c], v[key * D + c], pairs);
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
    read_rows<D>(queries, length, s, q.data());
    read_rows<D>(keys, length, s, k.data());
    read_rows<D>(values, length, s, v.data());
  }

  void attend(const Shape& s, const float* bias, const float* labels, float* lse) {
    transpose_pairs<D>(s, q.data(), columns.data());
    pair_tokens<D>(s, v.data(), tokens.data());
    attend_pairs<D>(s, columns.data(), k.data(), tokens.data(), bias, labels, scores.data(), out.data(), lse);
  }

  void write(const Shape& s, BFloat16* to, int64_t length) {
    for (int64_t i = 0; i < s.n; i++)
      for (int c = 0; c < s.d; c += 2 * LANES) {
        const Vector x = load_first(moved(&out[(i * D + c) / 2]), (D - c) / 2);
        _mm512_mask_storeu_epi16(to + i * length + c, numbers_before(s.d - c), _mm512_castps_si512(__m512(x)));
      }
  }
};

}  // namespace

#endif
