// Window attention on CPUs: scores, bias, mask, softmax and values of a window in one pass, forward and backward.
//
// Sixteen queries (eight without AVX-512) stand in the lanes of a vector, keys follow one another in time: a softmax is
// then a loop, and scores never leave the cache. All is computed in float32, whatever type the tokens have.
//
// Tokens are rows (M windows x frames x n, 3 * heads * d) of queries, keys and values. With two frames, every frame's
// keys meet the other frame's queries, and the result stands at the place of the keys. What is added to the scores, and
// its gradient, is (heads, n keys, stride), queries last: `stride` is n rounded up to whole vectors.

#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

namespace {

#ifdef __AVX512F__
constexpr int LANES = 16;
#else
constexpr int LANES = 8;
#endif

typedef float Vector __attribute__((vector_size(4 * LANES), aligned(4)));
typedef int32_t Bits __attribute__((vector_size(4 * LANES), aligned(4)));
typedef float Quad __attribute__((vector_size(16), aligned(4)));

constexpr int KEYS = 4;         // that a loop treats at once, so that sums do not wait for one another
constexpr int CHUNK = 64;       // keys whose probabilities and gradients are held at a time
constexpr float MASKED = -100;  // added to scores across regions

inline Vector load(const float* from) { return *reinterpret_cast<const Vector*>(from); }
inline void store(float* to, Vector x) { *reinterpret_cast<Vector*>(to) = x; }
inline Vector all(float x) { return Vector{} + x; }

// exp(x) of x <= 0 to the last bits of float32; what is below the smallest normal number becomes that number.
inline Vector exp_of(Vector x) {
  x = x < all(-87.0f) ? all(-87.0f) : x;  // written so that NaN stays
  const float shifter = 12582912.0f;      // 1.5 * 2^23: adding it rounds to an integer, found in the lowest bits
  const Vector shifted = x * 1.44269504f + shifter;
  const Vector n = shifted - shifter;
  const Vector f = x - n * 0.693359375f + n * 2.12194440e-4f;
  Vector y = f * 1.9875691500e-4f + 1.3981999507e-3f;
  y = y * f + 8.3334519073e-3f;
  y = y * f + 4.1665795894e-2f;
  y = y * f + 1.6666665459e-1f;
  y = y * f + 5.0000001201e-1f;
  y = y * f * f + f + 1.0f;
  Bits power;
  std::memcpy(&power, &shifted, sizeof power);
  power = (power << 23) + 0x3f800000;
  Vector scale;
  std::memcpy(&scale, &power, sizeof scale);
  return y * scale;
}

struct BFloat16 {
  uint16_t bits;
};

inline float to_float(float x) { return x; }
inline float to_float(BFloat16 x) {
  const uint32_t bits = uint32_t(x.bits) << 16;
  float y;
  std::memcpy(&y, &bits, sizeof y);
  return y;
}

inline void put(float& to, float x) { to = x; }
inline void put(BFloat16& to, float x) {  // to the nearest, ties to even
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  to.bits = x != x ? 0x7fc0 : uint16_t((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

// What of the operator does not depend on the window.
struct Shape {
  int64_t windows, frames, n, heads, d, stride;
  float scale;
  int64_t channels() const { return heads * d; }
  int64_t row(int64_t window, int64_t frame) const { return (window * frames + frame) * n; }
};

// Rows (n, D) of floats, or their transpose (D, stride); what is beyond d channels or n rows stays zero.
struct Buffer {
  std::vector<float> values;
  explicit Buffer(int64_t size) : values(size, 0.0f) {}
  float* data() { return values.data(); }
};

template <typename T>
void read_rows(const T* from, int64_t row_length, const Shape& s, int D, float factor, float* rows) {
  for (int64_t i = 0; i < s.n; i++)
    for (int64_t c = 0; c < s.d; c++) rows[i * D + c] = factor * to_float(from[i * row_length + c]);
}

void transpose(const float* rows, const Shape& s, int D, float* columns) {
  for (int64_t i = 0; i < s.n; i++)
    for (int64_t c = 0; c < D; c++) columns[c * s.stride + i] = rows[i * D + c];
}

template <typename T>
void write_rows(const float* rows, const Shape& s, int D, float factor, T* to, int64_t row_length) {
  for (int64_t i = 0; i < s.n; i++)
    for (int64_t c = 0; c < s.d; c++) put(to[i * row_length + c], factor * rows[i * D + c]);
}

// columns[c] . rows[key] of COUNT keys, for the queries or gradients of one vector
template <int D, int COUNT>
inline void products(const Vector* columns, const float* rows, Vector* sums) {
#pragma GCC unroll 64
  for (int c = 0; c < D; c++)
#pragma GCC unroll 4
    for (int key = 0; key < COUNT; key++) sums[key] += columns[c] * rows[key * D + c];
}

// Scores of COUNT keys from `key` on, with what is added to them.
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

// One window, frame and head forward: rows k and v, columns q (scaled); `out` rows, `lse` one value per query.
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
    for (key = 0; key < s.n; key++) {  // a loop of its own: the next one needs all registers
      const Vector p = exp_of(load(scores + key * LANES) - top);
      sum += p;
      store(scores + key * LANES, p);
    }
    for (key = 0; key < s.n; key++) {
      const Vector p = load(scores + key * LANES);
#pragma GCC unroll 64
      for (int c = 0; c < D; c++) sums[c] += p * v[key * D + c];
    }
    const int count = s.n - first < LANES ? int(s.n - first) : LANES;
    for (int c = 0; c < D; c++) {
      sums[c] /= sum;
      for (int i = 0; i < count; i++) out[(first + i) * D + c] = sums[c][i];
    }
    if (lse)
      for (int i = 0; i < count; i++) lse[first + i] = top[i] + std::log(sum[i]);
  }
}

// sums[key] += weights[key][i] * rows[i] over the queries i of a vector, for COUNT keys.
template <int D, int COUNT>
inline void gather_rows(const float* weights, const float* rows, float* sums) {
  constexpr int WIDE = D / LANES, NARROW = D % LANES / 4;
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
  for (int i = 0; i < LANES; i++) {
    const float* row = rows + i * D;
#pragma GCC unroll 4
    for (int key = 0; key < COUNT; key++) {
      const float weight = weights[key * LANES + i];
#pragma GCC unroll 8
      for (int a = 0; a < WIDE; a++) wide[key][a] += weight * load(row + a * LANES);
#pragma GCC unroll 4
      for (int a = 0; a < NARROW; a++) narrow[key][a] += weight * *at(const_cast<float*>(row), a);
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

template <int D>
void gather_all(int64_t keys, const float* weights, const float* rows, float* sums) {
  int64_t key = 0;
  for (; key + KEYS <= keys; key += KEYS) gather_rows<D, KEYS>(weights + key * LANES, rows, sums + key * D);
  for (; key < keys; key++) gather_rows<D, 1>(weights + key * LANES, rows, sums + key * D);
}

// What the backward pass of one window, frame and head reads and writes: rows (n, D) and columns (D, stride).
struct Gradients {
  const float *q, *q_columns, *k, *v, *grad, *grad_columns, *lse, *delta, *bias, *labels;
  float *q_grad, *k_grad, *v_grad, *bias_grad;
};

template <int D>
void attend_backward(const Shape& s, const Gradients& g) {
  float p[CHUNK * LANES], ds[CHUNK * LANES];
  for (int64_t first = 0; first < s.n; first += LANES) {
    const Vector lse = load(g.lse + first), delta = load(g.delta + first);
    const float* added = g.bias ? g.bias + first : nullptr;
    const float* query_labels = g.labels ? g.labels + first : nullptr;
    Vector sums[D] = {};
    for (int64_t begin = 0; begin < s.n; begin += CHUNK) {
      const int64_t keys = s.n - begin < CHUNK ? s.n - begin : CHUNK;
      Vector columns[D];
      for (int c = 0; c < D; c++) columns[c] = load(g.q_columns + c * s.stride + first);
      int64_t key = 0;
      for (; key + KEYS <= keys; key += KEYS) {
        Vector found[KEYS];
        scores_of<D, KEYS>(columns, g.k, added, s.stride, g.labels, query_labels, begin + key, found);
        for (int i = 0; i < KEYS; i++) store(p + (key + i) * LANES, exp_of(found[i] - lse));
      }
      for (; key < keys; key++) {
        Vector found[1];
        scores_of<D, 1>(columns, g.k, added, s.stride, g.labels, query_labels, begin + key, found);
        store(p + key * LANES, exp_of(found[0] - lse));
      }
      for (int c = 0; c < D; c++) columns[c] = load(g.grad_columns + c * s.stride + first);
      for (key = 0; key + KEYS <= keys; key += KEYS) {
        Vector found[KEYS] = {};
        products<D, KEYS>(columns, g.v + (begin + key) * D, found);
        for (int i = 0; i < KEYS; i++)
          store(ds + (key + i) * LANES, load(p + (key + i) * LANES) * (found[i] - delta));
      }
      for (; key < keys; key++) {
        Vector found[1] = {};
        products<D, 1>(columns, g.v + (begin + key) * D, found);
        store(ds + key * LANES, load(p + key * LANES) * (found[0] - delta));
      }
      for (key = 0; key < keys; key++) {
        const Vector grad = load(ds + key * LANES);
#pragma GCC unroll 64
        for (int c = 0; c < D; c++) sums[c] += grad * g.k[(begin + key) * D + c];
      }
      if (g.bias_grad)
        for (key = 0; key < keys; key++) {
          float* to = g.bias_grad + (begin + key) * s.stride + first;
          store(to, load(to) + load(ds + key * LANES));
        }
      gather_all<D>(keys, p, g.grad + first * D, g.v_grad + begin * D);
      gather_all<D>(keys, ds, g.q + first * D, g.k_grad + begin * D);
    }
    const int count = s.n - first < LANES ? int(s.n - first) : LANES;
    for (int c = 0; c < D; c++)
      for (int i = 0; i < count; i++) g.q_grad[(first + i) * D + c] = sums[c][i];
  }
}

#define FOR_WIDTHS(CASE) \
  CASE(4) CASE(8) CASE(12) CASE(16) CASE(20) CASE(24) CASE(28) CASE(32) CASE(48) CASE(64) CASE(96) CASE(128)

// Returns the width of the kernel for heads of d channels, or 0 where there is none.
int width_for(int64_t d) {
#define CASE(D) \
  if (d <= D) return D;
  FOR_WIDTHS(CASE)
#undef CASE
  return 0;
}

void attend_any(int D, const Shape& s, const float* q, const float* k, const float* v, const float* bias,
                const float* labels, float* scores, float* out, float* lse) {
  switch (D) {
#define CASE(D) \
  case D:       \
    return attend<D>(s, q, k, v, bias, labels, scores, out, lse);
    FOR_WIDTHS(CASE)
#undef CASE
  }
}

void attend_backward_any(int D, const Shape& s, const Gradients& g) {
  switch (D) {
#define CASE(D) \
  case D:       \
    return attend_backward<D>(s, g);
    FOR_WIDTHS(CASE)
#undef CASE
  }
}

const float* of_kind(const float* labels, const int32_t* kinds, int64_t window, int64_t stride) {
  return labels && kinds[window] ? labels + kinds[window] * stride : nullptr;  // kind 0 is one region
}

template <typename T>
void forward(const Shape& s, int threads, const T* qkv, const float* bias, const float* labels, const int32_t* kinds,
             T* out, float* lse) {
  const int D = width_for(s.d);
  const int64_t C = s.channels(), tasks = s.windows * s.frames * s.heads, row_length = 3 * C;
#pragma omp parallel num_threads(threads)
  {
    const int64_t rows = s.stride * D;
    Buffer q(rows), columns(rows), k(rows), v(rows), result(rows), scores(s.n * LANES);
#pragma omp for schedule(static)
    for (int64_t task = 0; task < tasks; task++) {
      const int64_t head = task % s.heads, frame = task / s.heads % s.frames, window = task / s.heads / s.frames;
      const int64_t row = s.row(window, frame), query_row = s.row(window, s.frames - 1 - frame), at = head * s.d;
      read_rows(qkv + query_row * row_length + at, row_length, s, D, s.scale, q.data());
      transpose(q.data(), s, D, columns.data());
      read_rows(qkv + row * row_length + C + at, row_length, s, D, 1, k.data());
      read_rows(qkv + row * row_length + 2 * C + at, row_length, s, D, 1, v.data());
      attend_any(D, s, columns.data(), k.data(), v.data(), bias ? bias + head * s.n * s.stride : nullptr,
                 of_kind(labels, kinds, window, s.stride), scores.data(), result.data(),
                 lse ? lse + task * s.n : nullptr);
      write_rows(result.data(), s, D, 1, out + row * C + at, C);
    }
  }
}

// Splits of the windows are summed apart, so that the bias gradient is the same whichever thread comes first.
template <typename T>
void backward(const Shape& s, int threads, int64_t splits, const T* qkv, const float* bias, const float* labels,
              const int32_t* kinds, const T* out, const float* lse, const T* grad, T* qkv_grad, float* bias_grad) {
  const int D = width_for(s.d);
  const int64_t C = s.channels(), row_length = 3 * C;
#pragma omp parallel num_threads(threads)
  {
    const int64_t rows = s.stride * D;
    Buffer q(rows), q_columns(rows), k(rows), v(rows), g(rows), g_columns(rows), o(rows);
    Buffer q_grad(rows), k_grad(rows), v_grad(rows), own_lse(s.stride), delta(s.stride);
#pragma omp for schedule(static) collapse(2)
    for (int64_t split = 0; split < splits; split++)
      for (int64_t head = 0; head < s.heads; head++) {
        float* bias_sums = bias_grad ? bias_grad + (split * s.heads + head) * s.n * s.stride : nullptr;
        const int64_t at = head * s.d;
        const int64_t from = s.windows * split / splits, to = s.windows * (split + 1) / splits;
        for (int64_t index = from * s.frames; index < to * s.frames; index++) {
          const int64_t window = index / s.frames, frame = index % s.frames;
          const int64_t row = s.row(window, frame), query_row = s.row(window, s.frames - 1 - frame);
          read_rows(qkv + query_row * row_length + at, row_length, s, D, s.scale, q.data());
          transpose(q.data(), s, D, q_columns.data());
          read_rows(qkv + row * row_length + C + at, row_length, s, D, 1, k.data());
          read_rows(qkv + row * row_length + 2 * C + at, row_length, s, D, 1, v.data());
          read_rows(grad + row * C + at, C, s, D, 1, g.data());
          transpose(g.data(), s, D, g_columns.data());
          read_rows(out + row * C + at, C, s, D, 1, o.data());
          for (int64_t i = 0; i < s.n; i++) {
            float sum = 0;
            for (int64_t c = 0; c < s.d; c++) sum += g.data()[i * D + c] * o.data()[i * D + c];
            delta.data()[i] = sum;
          }
          std::memcpy(own_lse.data(), lse + (index * s.heads + head) * s.n, s.n * sizeof(float));
          std::memset(k_grad.data(), 0, rows * sizeof(float));
          std::memset(v_grad.data(), 0, rows * sizeof(float));
          attend_backward_any(
              D, s,
              {q.data(), q_columns.data(), k.data(), v.data(), g.data(), g_columns.data(), own_lse.data(),
               delta.data(), bias ? bias + head * s.n * s.stride : nullptr, of_kind(labels, kinds, window, s.stride),
               q_grad.data(), k_grad.data(), v_grad.data(), bias_sums});
          write_rows(q_grad.data(), s, D, s.scale, qkv_grad + query_row * row_length + at, row_length);
          write_rows(k_grad.data(), s, D, 1, qkv_grad + row * row_length + C + at, row_length);
          write_rows(v_grad.data(), s, D, 1, qkv_grad + row * row_length + 2 * C + at, row_length);
        }
      }
  }
}

}  // namespace

extern "C" {

int lanes() { return LANES; }

int widest() { return 128; }

#define ENTRIES(NAME, T)                                                                                             \
  void forward_##NAME(const int64_t* sizes, float scale, int threads, const void* qkv, const float* bias,            \
                      const float* labels, const int32_t* kinds, void* out, float* lse) {                            \
    const Shape s{sizes[0], sizes[1], sizes[2], sizes[3], sizes[4], sizes[5], scale};                                \
    forward(s, threads, static_cast<const T*>(qkv), bias, labels, kinds, static_cast<T*>(out), lse);                 \
  }                                                                                                                  \
  void backward_##NAME(const int64_t* sizes, float scale, int threads, int64_t splits, const void* qkv,              \
                       const float* bias, const float* labels, const int32_t* kinds, const void* out,                \
                       const float* lse, const void* grad, void* qkv_grad, float* bias_grad) {                       \
    const Shape s{sizes[0], sizes[1], sizes[2], sizes[3], sizes[4], sizes[5], scale};                                \
    backward(s, threads, splits, static_cast<const T*>(qkv), bias, labels, kinds, static_cast<const T*>(out), lse,   \
             static_cast<const T*>(grad), static_cast<T*>(qkv_grad), bias_grad);                                     \
  }

ENTRIES(float32, float)
ENTRIES(bfloat16, BFloat16)
}
