// Products of small matrices that lie in the cache. Elements are numbers, or pairs of bfloat16 whose products are added.

#pragma once

#include <vectors.h>

namespace {

#ifdef __AVX512F__
constexpr int TILE_ROWS = 12;
#else
constexpr int TILE_ROWS = 6;
#endif
constexpr int TILE_VECTORS = 2;

// The left factor (i, k) of a product, anyhow strided, so that its transpose is one too.
template <typename Element>
struct Left {
  const Element* at;
  int64_t row, step;
};

inline Vector lanes_at(const float* from) { return load(from); }
#ifdef __AVX512BF16__
inline Bits lanes_at(const Pair* from) { return reinterpret_cast<const Bits&>(*from); }
#endif

template <typename Element>
inline Left<Element> from_row(Left<Element> a, int64_t row) {
  return {a.at + row * a.row, a.row, a.step};
}

// c[i][j] += sum over k of a[i][k] * b[k][j], for the rows i and vectors of columns j that registers hold.
template <int ROWS, int VECTORS, typename Element>
inline void add_tile(int64_t depth, Left<Element> a, const Element* b, int64_t b_stride, float* c, int64_t c_stride) {
  Vector sums[ROWS][VECTORS];
#pragma GCC unroll 16
  for (int i = 0; i < ROWS; i++)
#pragma GCC unroll 2
    for (int j = 0; j < VECTORS; j++) sums[i][j] = load(c + i * c_stride + j * LANES);
  for (int64_t k = 0; k < depth; k++) {
    decltype(lanes_at(b)) right[VECTORS];
#pragma GCC unroll 2
    for (int j = 0; j < VECTORS; j++) right[j] = lanes_at(b + k * b_stride + j * LANES);
#pragma GCC unroll 16
    for (int i = 0; i < ROWS; i++) {
      const Element left = a.at[i * a.row + k * a.step];
#pragma GCC unroll 2
      for (int j = 0; j < VECTORS; j++) sums[i][j] = multiply_add(sums[i][j], left, right[j]);
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < ROWS; i++)
#pragma GCC unroll 2
    for (int j = 0; j < VECTORS; j++) store(c + i * c_stride + j * LANES, sums[i][j]);
}

// The last rows, fewer than ROWS.
template <int ROWS, int VECTORS, typename Element>
inline void add_last_rows(int64_t rows, int64_t depth, Left<Element> a, const Element* b, int64_t b_stride, float* c,
                          int64_t c_stride) {
  if constexpr (ROWS > 1) {
    if (rows == ROWS - 1) return add_tile<ROWS - 1, VECTORS>(depth, a, b, b_stride, c, c_stride);
    add_last_rows<ROWS - 1, VECTORS>(rows, depth, a, b, b_stride, c, c_stride);
  }
}

template <int VECTORS, typename Element>
void add_columns(int64_t rows, int64_t depth, Left<Element> a, const Element* b, int64_t b_stride, float* c,
                 int64_t c_stride) {
  constexpr int ROWS = VECTORS == 1 ? TILE_ROWS * 4 / 3 : TILE_ROWS;
  int64_t i = 0;
  for (; i + ROWS <= rows; i += ROWS)
    add_tile<ROWS, VECTORS>(depth, from_row(a, i), b, b_stride, c + i * c_stride, c_stride);
  add_last_rows<ROWS, VECTORS>(rows - i, depth, from_row(a, i), b, b_stride, c + i * c_stride, c_stride);
}

// c (rows, columns) += a (rows, depth) * b (depth, columns). Rows of b and c are read and written up to whole vectors.
template <typename Element>
void add_product(int64_t rows, int64_t depth, int64_t columns, Left<Element> a, const Element* b, int64_t b_stride,
                 float* c, int64_t c_stride) {
  int64_t j = 0;
  for (; j + LANES < columns; j += TILE_VECTORS * LANES)
    add_columns<TILE_VECTORS>(rows, depth, a, b + j, b_stride, c + j, c_stride);
  if (j < columns) add_columns<1>(rows, depth, a, b + j, b_stride, c + j, c_stride);
}

}  // namespace
