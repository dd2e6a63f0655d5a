// Functions of single numbers, written without branches: compilers turn loops over them into vector instructions.

#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

namespace {

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
  to.bits = uint16_t(x != x ? 0x7fc0 : (bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

// exp(x) of x <= 0 to the last bits of float32; results below the smallest normal number become that number.
inline float exp_of(float x) {
  x = x < -87.0f ? -87.0f : x;        // written so that NaN stays
  const float shifter = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer, found in the lowest bits
  const float shifted = x * 1.44269504f + shifter;
  const float n = shifted - shifter;
  const float f = x - n * 0.693359375f + n * 2.12194440e-4f;
  float y = f * 1.9875691500e-4f + 1.3981999507e-3f;
  y = y * f + 8.3334519073e-3f;
  y = y * f + 4.1665795894e-2f;
  y = y * f + 1.6666665459e-1f;
  y = y * f + 5.0000001201e-1f;
  y = y * f * f + f + 1.0f;
  int32_t power;
  std::memcpy(&power, &shifted, sizeof power);
  power = (power << 23) + 0x3f800000;
  float scale;
  std::memcpy(&scale, &power, sizeof scale);
  return y * scale;
}

// The probability of numbers smaller than x in the normal distribution, to 1e-7: half of it is x times a rational
// function of x^2, fitted up to 5.5 and constant beyond, where the bounds 0 and 1 are reached.
inline float below(float x) {
  const float u = x * x > 30.25f ? 30.25f : x * x;  // this and the bounds are written so that NaN stays
  float top = u * 2.27493248879911e-08f + 6.352130694159283e-06f;
  top = top * u + 0.0001688270562481579f;
  top = top * u + 0.004677269102991417f;
  top = top * u + 0.03385277857137196f;
  top = top * u + 0.3989422346218441f;
  float bottom = u * 1.1975036927670006e-06f + 7.36479625220632e-05f;
  bottom = bottom * u + 0.0018844526531258206f;
  bottom = bottom * u + 0.02864594809598434f;
  bottom = bottom * u + 0.25152225024701225f;
  bottom = bottom * u + 1.0f;
  float y = 0.5f + x * top / bottom;
  y = y < 0.0f ? 0.0f : y;
  return y > 1.0f ? 1.0f : y;
}

// The density of the normal distribution at x.
inline float density(float x) { return 0.3989422804f * exp_of(-0.5f * x * x); }

}  // namespace
