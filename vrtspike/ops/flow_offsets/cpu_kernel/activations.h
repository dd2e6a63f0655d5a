// The hyperbolic tangent and the logistic function, a vector at a time. NaN stays.

#pragma once

#include <vectors.h>

namespace {

inline Vector absolute(Vector x) { return x < Vector{} ? -x : x; }

// tanh(x) to the last bits of float32: a polynomial near zero, where (1 - e) / (1 + e) would cancel.
inline Vector tanh_of(Vector x) {
  const Vector square = x * x;
  Vector y = square * -5.70498872745e-3f + 2.06390887954e-2f;
  y = y * square - 5.37397155531e-2f;
  y = y * square + 1.33314422036e-1f;
  y = y * square - 3.33332819422e-1f;
  const Vector near = x + x * square * y;
  const Vector e = exp_of(-2.0f * absolute(x));
  const Vector far = (1.0f - e) / (1.0f + e);
  return absolute(x) < all(0.625f) ? near : x < Vector{} ? -far : far;
}

// 1 / (1 + exp(-x)); the exponential never overflows.
inline Vector sigmoid_of(Vector x) {
  const Vector e = exp_of(-absolute(x)), large = 1.0f / (1.0f + e);
  return x < Vector{} ? e * large : large;
}

}  // namespace
