// Vectors of float32, read from and written to rows of float32 or bfloat16 of any length.

#pragma once

#include <cstdint>
#include <cstring>

namespace {

#ifdef __AVX512F__
constexpr int LANES = 16;
#else
constexpr int LANES = 8;
#endif

typedef float Vector __attribute__((vector_size(4 * LANES), aligned(4)));
typedef uint32_t Bits __attribute__((vector_size(4 * LANES), aligned(4)));
typedef uint16_t Halves __attribute__((vector_size(2 * LANES), aligned(2)));

struct BFloat16 {
  uint16_t bits;
};

inline Vector load(const float* from) { return *reinterpret_cast<const Vector*>(from); }
inline Vector load(const BFloat16* from) {
  return Vector(__builtin_convertvector(*reinterpret_cast<const Halves*>(from), Bits) << 16);
}

inline void store(float* to, Vector x) { *reinterpret_cast<Vector*>(to) = x; }
inline void store(BFloat16* to, Vector x) {  // to the nearest, ties to even
  const Bits bits = Bits(x), rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
  *reinterpret_cast<Halves*>(to) = __builtin_convertvector(x == x ? rounded : Bits{} + 0x7fc0, Halves);
}

// The first `count` numbers of a row; the other lanes are zero.
template <typename T>
inline Vector load(const T* from, int64_t count) {
  if (count >= LANES) return load(from);
  T some[LANES] = {};
  std::memcpy(some, from, count * sizeof(T));
  return load(some);
}

template <typename T>
inline void store(T* to, Vector x, int64_t count) {
  if (count >= LANES) return store(to, x);
  T some[LANES];
  store(some, x);
  std::memcpy(to, some, count * sizeof(T));
}

// x with zeros in all lanes but the first `count`.
inline Vector first_of(Vector x, int64_t count) {
  for (int64_t i = count; i < LANES; i++) x[i] = 0;
  return x;
}

inline float total(Vector x) {
  float sum = 0;
  for (int i = 0; i < LANES; i++) sum += x[i];
  return sum;
}

}  // namespace
