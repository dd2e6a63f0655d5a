// Rows in another order, added to the map that they belong to, and the gradient of these rows, each in one pass.
//
// Row i belongs to row sources[i] of the map, or to none if sources[i] is the number of rows of the map. Sums are in
// float32, whatever type map and rows have.

#include <vectors.h>

#include <algorithm>

namespace {

constexpr int64_t TOGETHER = 256;  // rows that a thread takes at a time

struct Shape {
  int64_t map_rows, rows, channels;
  float scale;
};

// Calls function(i, count, row) for runs of rows, from i on, that belong to as many rows of the map from `row` on. The
// tokens of a line of a window are such a run.
template <typename Function>
void over_runs(const Shape& s, int threads, const int32_t* sources, Function function) {
#pragma omp parallel for num_threads(threads) schedule(static)
  for (int64_t first = 0; first < s.rows; first += TOGETHER) {
    const int64_t end = std::min(s.rows, first + TOGETHER);
    for (int64_t i = first, next; i < end; i = next) {
      const int64_t row = sources[i];
      next = i + 1;
      if (row == s.map_rows) continue;
      while (next < end && sources[next] == row + next - i && sources[next] < s.map_rows) next++;
      function(i, next - i, row);
    }
  }
}

// Every row of the map has exactly one row, so all of `out` is written once all rows are.
template <typename Map, typename Row>
void add(const Shape& s, int threads, const Map* x, const Row* rows, const int32_t* sources, Map* out) {
  over_runs(s, threads, sources, [=](int64_t first, int64_t count, int64_t row) {
    const Map* from = x + row * s.channels;
    const Row* added = rows + first * s.channels;
    Map* to = out + row * s.channels;
    for (int64_t i = 0, end = count * s.channels; i < end; i += LANES)
      store_first(to + i, load_first(from + i, end - i) + s.scale * load_first(added + i, end - i), end - i);
  });
}

// Writes the rows of `grad`, scaled, in the order of `sources`; rows that belong to none are zero.
template <typename Map, typename Row>
void gather(const Shape& s, int threads, const Map* grad, const int32_t* sources, Row* rows) {
#pragma omp parallel for num_threads(threads) schedule(static)
  for (int64_t i = 0; i < s.rows; i++) {
    Row* to = rows + i * s.channels;
    const Map* from = grad + sources[i] * s.channels;
    if (sources[i] == s.map_rows) {
      std::fill_n(to, s.channels, Row{});
      continue;
    }
    for (int64_t c = 0; c < s.channels; c += LANES)
      store_first(to + c, s.scale * load_first(from + c, s.channels - c), s.channels - c);
  }
}

}  // namespace

extern "C" {

#define ENTRIES(NAME, Map, Row)                                                                                      \
  void add_##NAME(const int64_t* sizes, float scale, int threads, const void* x, const void* rows,                   \
                  const int32_t* sources, void* out) {                                                               \
    add({sizes[0], sizes[1], sizes[2], scale}, threads, static_cast<const Map*>(x), static_cast<const Row*>(rows),   \
        sources, static_cast<Map*>(out));                                                                            \
  }                                                                                                                  \
  void gather_##NAME(const int64_t* sizes, float scale, int threads, const void* grad, const int32_t* sources,       \
                     void* rows) {                                                                                   \
    gather({sizes[0], sizes[1], sizes[2], scale}, threads, static_cast<const Map*>(grad), sources,                   \
           static_cast<Row*>(rows));                                                                                 \
  }

ENTRIES(float32_float32, float, float)
ENTRIES(float32_bfloat16, float, BFloat16)
ENTRIES(bfloat16_bfloat16, BFloat16, BFloat16)
}
