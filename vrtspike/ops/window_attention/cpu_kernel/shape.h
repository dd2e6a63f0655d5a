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

template <int D, typename T>
void read_rows(const T* from, int64_t row_length, const Shape& s, float* rows) {
  for (int64_t i = 0; i < s.n; i++)
    for (int c = 0; c < D; c += LANES) {
      const Vector x = c < s.d ? load_first(from + i * row_length + c, s.d - c) : Vector{};
      store_first(rows + i * D + c, x, D - c);
    }
}

template <int D, typename T>
void write_rows(const float* rows, const Shape& s, float factor, T* to, int64_t row_length) {
  for (int64_t i = 0; i < s.n; i++)
    for (int c = 0; c < s.d; c += LANES)
      store_first(to + i * row_length + c, factor * load_first(rows + i * D + c, D - c), s.d - c);
}

template <int D>
void columns_of(const float* rows, const Shape& s, float* columns) {
  for (int64_t first = 0; first < s.n; first += LANES)
    for (int c = 0; c < D; c += LANES) {
      Vector x[LANES];
#pragma GCC unroll 16
      for (int i = 0; i < LANES; i++)
        x[i] = first + i < s.n ? load_first(rows + (first + i) * D + c, D - c) : Vector{};
      transpose(x);
#pragma GCC unroll 16
      for (int i = 0; i < LANES; i++)
        if (c + i < D) store(columns + (c + i) * s.stride + first, x[i]);
    }
}

// Writes D vectors, which hold a channel each of the tokens from `first` on, as rows.
template <int D>
void write_tokens(const Shape& s, int64_t first, const Vector* channels, float* rows) {
  const int64_t count = s.n - first < LANES ? s.n - first : LANES;
  for (int c = 0; c < D; c += LANES) {
    Vector x[LANES];
#pragma GCC unroll 16
    for (int i = 0; i < LANES; i++) x[i] = c + i < D ? channels[c + i] : Vector{};
    transpose(x);
    for (int64_t i = 0; i < count; i++) store_first(rows + (first + i) * D + c, x[i], D - c);
  }
}

}  // namespace
