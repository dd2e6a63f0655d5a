// What CPU kernels share: vectors of float32, the exponential of one, and conversions from and to bfloat16.

#pragma once

#include <cstdint>
#include <cstring>

#ifdef __SSE__
#include <immintrin.h>
#endif

namespace {

// Flushes subnormal numbers to zero on this thread during its lifetime. Masked keys have many of them, and some
// processors take a hundred times as long for each.
class TinyIsZero {
#ifdef __SSE__
  static constexpr unsigned FLUSH = 0x8000, READ_AS_ZERO = 0x0040;
  const unsigned before = _mm_getcsr();

 public:
  TinyIsZero() { _mm_setcsr(before | FLUSH | READ_AS_ZERO); }
  ~TinyIsZero() { _mm_setcsr(before); }
#endif
};

#ifdef __AVX512F__
constexpr int LANES = 16;
#else
constexpr int LANES = 8;
#endif

typedef float Vector __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef int32_t Bits __attribute__((vector_size(4 * LANES), aligned(4)));
typedef float Quad __attribute__((vector_size(16), aligned(4)));

inline Vector load(const float* from) { return *reinterpret_cast<const Vector*>(from); }
inline void store(float* to, Vector x) { *reinterpret_cast<Vector*>(to) = x; }
inline Vector all(float x) { return Vector{} + x; }

// The length with padding to whole vectors.
inline int64_t whole_vectors(int64_t length) { return (length + LANES - 1) / LANES * LANES; }

// The sum of all lanes.
#ifdef __AVX512F__
inline float sum_of(Vector x) { return _mm512_reduce_add_ps(__m512(x)); }
#else
inline float sum_of(Vector x) {
  for (int half = LANES / 2; half; half /= 2)
    for (int i = 0; i < half; i++) x[i] += x[i + half];
  return x[0];
}
#endif

// Transposes a square of vectors: swaps its halves across the diagonal, then those of the quarters, and so on.
inline void transpose(Vector (&x)[LANES]) {
#pragma GCC unroll 4
  for (int half = LANES / 2; half; half /= 2) {
    Bits upper, lower;
    for (int i = 0; i < LANES; i++) {
      upper[i] = i & half ? LANES + i - half : i;
      lower[i] = i & half ? LANES + i : i + half;
    }
#pragma GCC unroll 16
    for (int i = 0; i < LANES; i++)
      if (!(i & half)) {
        const Vector above = x[i], below = x[i + half];
        x[i] = __builtin_shuffle(above, below, upper);
        x[i + half] = __builtin_shuffle(above, below, lower);
      }
  }
}

// The larger or smaller of both; NaN stays.
#ifdef __AVX512F__
inline Vector at_least(float bound, Vector x) { return Vector(_mm512_max_ps(__m512(all(bound)), __m512(x))); }
inline Vector at_most(float bound, Vector x) { return Vector(_mm512_min_ps(__m512(all(bound)), __m512(x))); }
#else
inline Vector at_least(float bound, Vector x) { return x < all(bound) ? all(bound) : x; }
inline Vector at_most(float bound, Vector x) { return x > all(bound) ? all(bound) : x; }
#endif

#ifdef __AVX512F__
// exp(x) of x <= 0 to the last bits of float32, as 2^(n + f).
inline Vector exp_of(Vector x) {
  x = at_least(-104.0f, x);  // its exponential is zero
  const Vector log2_of_e = all(1.44269502f);
  const Vector n = Vector(_mm512_roundscale_ps(__m512(x * log2_of_e), _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC));
  const Vector exact = Vector(_mm512_fmsub_ps(__m512(x), __m512(log2_of_e), __m512(n)));  // the product is not rounded
  const Vector f = exact + x * 1.92596299e-8f;  // in [0, 1], with the rest of log2(e)
  Vector y = f * 2.1612931e-4f + 1.2467843e-3f;
  y = y * f + 9.6754518e-3f;
  y = y * f + 5.5485281e-2f;
  y = y * f + 2.4022931e-1f;
  y = y * f + 6.9314704e-1f;
  y = y * f + 1.0f;
  return Vector(_mm512_scalef_ps(__m512(y), __m512(n)));
}
#else
// exp(x) of x <= 0 to the last bits of float32; results below the smallest normal number become that number.
inline Vector exp_of(Vector x) {
  x = at_least(-87.0f, x);
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
#endif

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

typedef uint16_t Halves __attribute__((vector_size(2 * LANES), aligned(2)));
typedef uint32_t Words __attribute__((vector_size(4 * LANES), aligned(4)));

#ifdef __AVX512F__
inline Vector load(const BFloat16* from) {
  const __m256i halves = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
  return Vector(_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16)));
}
#else
inline Vector load(const BFloat16* from) {
  const Words bits = __builtin_convertvector(*reinterpret_cast<const Halves*>(&from->bits), Words) << 16;
  return reinterpret_cast<Vector>(bits);
}
#endif

#ifdef __AVX512BF16__
inline void store(BFloat16* to, Vector x) {
  const __m256bh rounded = _mm512_cvtneps_pbh(__m512(x));
  std::memcpy(to, &rounded, sizeof rounded);
}
#else
inline void store(BFloat16* to, Vector x) {
  const Words bits = reinterpret_cast<Words>(x);
  const Words rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
  const Words found = reinterpret_cast<Words>(x != x) ? Words{} + 0x7fc0 : rounded;
  *reinterpret_cast<Halves*>(&to->bits) = __builtin_convertvector(found, Halves);
}
#endif

// `load` and `store` of fewer lanes than a vector has; the other lanes are zero, and not written.
#if defined(__AVX512BW__) && defined(__AVX512VL__)
inline __mmask16 lanes_before(int64_t count) { return __mmask16((1u << count) - 1); }
inline Vector load_some(const float* from, int64_t count) {
  return Vector(_mm512_maskz_loadu_ps(lanes_before(count), from));
}
inline Vector load_some(const BFloat16* from, int64_t count) {
  const __m256i bits = _mm256_maskz_loadu_epi16(lanes_before(count), from);
  return Vector(_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16)));
}
inline void store_some(float* to, Vector x, int64_t count) {
  _mm512_mask_storeu_ps(to, lanes_before(count), __m512(x));
}
inline void store_some(BFloat16* to, Vector x, int64_t count) {
  BFloat16 some[LANES];
  store(some, x);
  _mm256_mask_storeu_epi16(to, lanes_before(count), _mm256_loadu_si256(reinterpret_cast<const __m256i*>(some)));
}
#else
template <typename T>
inline Vector load_some(const T* from, int64_t count) {
  T some[LANES] = {};
  std::memcpy(some, from, count * sizeof(T));
  return load(some);
}
template <typename T>
inline void store_some(T* to, Vector x, int64_t count) {
  T some[LANES];
  store(some, x);
  std::memcpy(to, some, count * sizeof(T));
}
#endif

#ifdef __AVX512BF16__
// Two neighbouring bfloat16 numbers in 32 bits; the processor multiplies and adds them in one instruction.
typedef uint32_t Pair;

// sum + left * right, with both numbers of a pair and of each lane's pair.
inline Vector multiply_add(Vector sum, Pair left, Bits right) {
  const __m512i pair = _mm512_set1_epi32(int32_t(left)), pairs = reinterpret_cast<__m512i>(right);
  return Vector(_mm512_dpbf16_ps(__m512(sum), reinterpret_cast<__m512bh>(pairs), reinterpret_cast<__m512bh>(pair)));
}
#endif

inline Vector multiply_add(Vector sum, float left, Vector right) { return sum + left * right; }

// The first `count` lanes, or all; the others are zero.
template <typename T>
inline Vector load_first(const T* from, int64_t count) {
  return count >= LANES ? load(from) : load_some(from, count);
}

template <typename T>
inline void store_first(T* to, Vector x, int64_t count) {
  if (count >= LANES) return store(to, x);
  store_some(to, x, count);
}

// `x` with zeros after the first `count` lanes, whatever they were.
inline Vector first_lanes(Vector x, int64_t count) {
  if (count >= LANES) return x;
  Bits lane;
  for (int i = 0; i < LANES; i++) lane[i] = i;
  return lane < int32_t(count) ? x : Vector{};
}

}  // namespace
