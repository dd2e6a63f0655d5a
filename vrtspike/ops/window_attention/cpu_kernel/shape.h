// The sizes that a kernel gets, and functions that read tokens into rows of float32 and write them back.

#pragma once

#include <vectors.h>

namespace {

constexpr int KEYS = 4;         // processed together in a loop, so that sums do not wait for one another
constexpr float MASKED = -100;  // added to scores across regions

// The sizes of the operator, the same for all windows.
struct Shape {
  int64_t windows, frames, n, heads, d, stride;
  float scale;
  int64_t channels() const { return heads * d; }
  int64_t row(int64_t window, int64_t frame) const { return (window * frames + frame) * n; }
};

// Rows are (n, D), columns are (D, stride). Values beyond d channels or n tokens are zero.

template <typename T>
void read_rows(const T* from, int64_t row_length, const Shape& s, int D, float* rows) {
  for (int64_t i = 0; i < s.n; i++)
    for (int64_t c = 0; c < s.d; c++) rows[i * D + c] = to_float(from[i * row_length + c]);
}

inline void transpose(const float* rows, const Shape& s, int D, float factor, float* columns) {
  for (int64_t i = 0; i < s.n; i++)
    for (int64_t c = 0; c < D; c++) columns[c * s.stride + i] = factor * rows[i * D + c];
}

template <typename T>
void write_rows(const float* rows, const Shape& s, int D, float factor, T* to, int64_t row_length) {
  for (int64_t i = 0; i < s.n; i++)
    for (int64_t c = 0; c < s.d; c++) put(to[i * row_length + c], factor * rows[i * D + c]);
}

}  // namespace
