// The normal distribution, a vector at a time.

#pragma once

#include <vectors.h>

namespace {

// The probability of numbers smaller than x, to 1e-7: half of it is x times a rational function of x^2, fitted up to
// 5.5 and constant beyond, where the bounds 0 and 1 are reached.
inline Vector below(Vector x) {
  const Vector u = at_most(30.25f, x * x);
  Vector top = u * 2.27493248879911e-08f + 6.352130694159283e-06f;
  top = top * u + 0.0001688270562481579f;
  top = top * u + 0.004677269102991417f;
  top = top * u + 0.03385277857137196f;
  top = top * u + 0.3989422346218441f;
  Vector bottom = u * 1.1975036927670006e-06f + 7.36479625220632e-05f;
  bottom = bottom * u + 0.0018844526531258206f;
  bottom = bottom * u + 0.02864594809598434f;
  bottom = bottom * u + 0.25152225024701225f;
  bottom = bottom * u + 1.0f;
  return at_most(1.0f, at_least(0.0f, 0.5f + x * top / bottom));
}

// The density at x.
inline Vector density(Vector x) { return 0.3989422804f * exp_of(-0.5f * x * x); }

}  // namespace
