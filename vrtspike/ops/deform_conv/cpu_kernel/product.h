// Products of small matrices that lie in the cache.

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
struct Left {
  const float* at;
  int64_t row, step;
};

// c[i][j] += sum over k of a[i][k] * b[k][j], for the rows i and vectors of columns j that registers hold.
template <int ROWS, int VECTORS>
inline void add_tile(int64_t depth, Left a, const float* b, int64_t b_stride, float* c, int64_t c_stride) {
  Vector sums[ROWS][VECTORS];
#pragma GCC unroll 12
  for (int i = 0; i < ROWS; i++)
#pragma GCC unroll 2
    for (int j = 0; j < VECTORS; j++) sums[i][j] = load(c + i * c_stride + j * LANES);
  for (int64_t k = 0; k < depth; k++) {
    Vector right[VECTORS];
#pragma GCC unroll 2
    for (int j = 0; j < VECTORS; j++) right[j] = load(b + k * b_stride + j * LANES);
#pragma GCC unroll 12
    for (int i = 0; i < ROWS; i++) {
      const float left = a.at[i * a.row + k * a.step];
#pragma GCC unroll 2
      for (int j = 0; j < VECTORS; j++) sums[i][j] += left * right[j];
    }
  }
#pragma GCC unroll 12
  for (int i = 0; i < ROWS; i++)
#pragma GCC unroll 2
    for (int j = 0; j < VECTORS; j++) store(c + i * c_stride + j * LANES, sums[i][j]);
}

// The last rows, fewer than ROWS.
template <int ROWS, int VECTORS>
inline void add_last_rows(int64_t rows, int64_t depth, Left a, const float* b, int64_t b_stride, float* c,
                          int64_t c_stride) {
  if constexpr (ROWS > 1) {
    if (rows == ROWS - 1) return add_tile<ROWS - 1, VECTORS>(depth, a, b, b_stride, c, c_stride);
    add_last_rows<ROWS - 1, VECTORS>(rows, depth, a, b, b_stride, c, c_stride);
  }
}

template <int VECTORS>
void add_columns(int64_t rows, int64_t depth, Left a, const float* b, int64_t b_stride, float* c, int64_t c_stride) {
  int64_t i = 0;
  for (; i + TILE_ROWS <= rows; i += TILE_ROWS)
    add_tile<TILE_ROWS, VECTORS>(depth, {a.at + i * a.row, a.row, a.step}, b, b_stride, c + i * c_stride, c_stride);
  add_last_rows<TILE_ROWS, VECTORS>(rows - i, depth, {a.at + i * a.row, a.row, a.step}, b, b_stride, c + i * c_stride,
                                    c_stride);
}

// c (rows, columns) += a (rows, depth) * b (depth, columns). Rows of b and c are read and written up to whole vectors.
void add_product(int64_t rows, int64_t depth, int64_t columns, Left a, const float* b, int64_t b_stride, float* c,
                 int64_t c_stride) {
  int64_t j = 0;
  for (; j + LANES < columns; j += TILE_VECTORS * LANES)
    add_columns<TILE_VECTORS>(rows, depth, a, b + j, b_stride, c + j, c_stride);
  if (j < columns) add_columns<1>(rows, depth, a, b + j, b_stride, c + j, c_stride);
}

}  // namespace
