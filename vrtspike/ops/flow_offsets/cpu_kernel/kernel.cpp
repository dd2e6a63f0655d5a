// Offsets and masks of a flow-guided deformable convolution on CPUs, and their gradients, each in one pass.
//
// Maps are planes of pixels: predictions (N, 3 * taps), first the residues (y, x) of every tap, then the masks; flows
// (N, 2 * neighbours), x before y; offsets (N, 2 * taps), y before x; masks (N, taps). The same number of taps, one
// after another, follows each neighbour.

#include "activations.h"

#include <algorithm>

namespace {

constexpr int64_t TOGETHER = 1024;  // pixels: a flow, and its gradient, stay in the cache for all taps

struct Shape {
  int64_t maps, taps, neighbours, pixels;
  float max_residue;

  int64_t own_taps() const { return taps / neighbours; }
};

// Neighbouring pixels of a neighbour in a map.
struct Pixels {
  int64_t map, neighbour, first, end;

  // Calls function(i, n) for every vector of pixels from i on, of which n are left.
  template <typename Function>
  void over_vectors(Function function) const {
    for (int64_t i = first; i < end; i += LANES) function(i, end - i);
  }
};

// Where the planes of a tap begin.
struct Planes {
  int64_t residue[2], offset[2], flow[2];  // y, x
  int64_t predicted_mask, mask;

  Planes(const Shape& s, const Pixels& pixels, int64_t tap) {
    const int64_t predicted = pixels.map * 3 * s.taps;
    for (int axis = 0; axis < 2; axis++) {
      residue[axis] = (predicted + 2 * tap + axis) * s.pixels;
      offset[axis] = (pixels.map * 2 * s.taps + 2 * tap + axis) * s.pixels;
      flow[axis] = ((pixels.map * s.neighbours + pixels.neighbour) * 2 + 1 - axis) * s.pixels;
    }
    predicted_mask = (predicted + 2 * s.taps + tap) * s.pixels;
    mask = (pixels.map * s.taps + tap) * s.pixels;
  }
};

// Calls function(pixels) for all pixels of all neighbours and maps.
template <typename Function>
void over_pixels(const Shape& s, int threads, Function function) {
  const int64_t blocks = (s.pixels + TOGETHER - 1) / TOGETHER;
#pragma omp parallel for num_threads(threads) schedule(static) collapse(3)
  for (int64_t map = 0; map < s.maps; map++)
    for (int64_t neighbour = 0; neighbour < s.neighbours; neighbour++)
      for (int64_t block = 0; block < blocks; block++)
        function(Pixels{map, neighbour, block * TOGETHER, std::min(s.pixels, (block + 1) * TOGETHER)});
}

// Calls function(planes) for all taps of a neighbour.
template <typename Function>
void over_taps(const Shape& s, const Pixels& pixels, Function function) {
  const int64_t first = pixels.neighbour * s.own_taps();
  for (int64_t tap = first; tap < first + s.own_taps(); tap++) function(Planes(s, pixels, tap));
}

template <typename T>
void forward(const Shape& s, int threads, const T* predicted, const float* flows, float* offset, T* mask) {
  over_pixels(s, threads, [=](const Pixels& pixels) {
    over_taps(s, pixels, [=](const Planes& planes) {
      for (int axis = 0; axis < 2; axis++) {
        const T* residue = predicted + planes.residue[axis];
        const float* flow = flows + planes.flow[axis];
        float* out = offset + planes.offset[axis];
        pixels.over_vectors([=](int64_t i, int64_t n) {
          store_first(out + i, load_first(flow + i, n) + s.max_residue * tanh_of(load_first(residue + i, n)), n);
        });
      }
      pixels.over_vectors([=](int64_t i, int64_t n) {
        store_first(mask + planes.mask + i, sigmoid_of(load_first(predicted + planes.predicted_mask + i, n)), n);
      });
    });
  });
}

// The tangent is (offset - flow) / max_residue, so that nothing but the results need be saved.
template <typename T>
void backward(const Shape& s, int threads, const float* grad_offset, const T* grad_mask, const float* offset,
              const T* mask, const float* flows, T* grad_predicted, float* grad_flows) {
  const float inverse = s.max_residue == 0 ? 0 : 1 / s.max_residue;
  over_pixels(s, threads, [=](const Pixels& pixels) {
    const Planes of_first_tap(s, pixels, 0);
    for (int64_t flow : of_first_tap.flow)
      std::fill(grad_flows + flow + pixels.first, grad_flows + flow + pixels.end, 0.0f);
    over_taps(s, pixels, [=](const Planes& planes) {
      for (int axis = 0; axis < 2; axis++) {
        const float *grad = grad_offset + planes.offset[axis], *sum = offset + planes.offset[axis];
        const float* flow = flows + planes.flow[axis];
        T* out = grad_predicted + planes.residue[axis];
        float* total = grad_flows + planes.flow[axis];
        pixels.over_vectors([=](int64_t i, int64_t n) {
          const Vector g = load_first(grad + i, n), residue = load_first(sum + i, n) - load_first(flow + i, n);
          store_first(total + i, load_first(total + i, n) + g, n);
          store_first(out + i, g * (s.max_residue - residue * residue * inverse), n);
        });
      }
      pixels.over_vectors([=](int64_t i, int64_t n) {
        const Vector m = load_first(mask + planes.mask + i, n), g = load_first(grad_mask + planes.mask + i, n);
        store_first(grad_predicted + planes.predicted_mask + i, g * m * (1.0f - m), n);
      });
    });
  });
}

}  // namespace

extern "C" {

#define ENTRIES(NAME, T)                                                                                             \
  void forward_##NAME(const int64_t* sizes, float max_residue, int threads, const void* predicted,                   \
                      const float* flows, float* offset, void* mask) {                                               \
    forward({sizes[0], sizes[1], sizes[2], sizes[3], max_residue}, threads, static_cast<const T*>(predicted), flows, \
            offset, static_cast<T*>(mask));                                                                          \
  }                                                                                                                  \
  void backward_##NAME(const int64_t* sizes, float max_residue, int threads, const float* grad_offset,               \
                       const void* grad_mask, const float* offset, const void* mask, const float* flows,             \
                       void* grad_predicted, float* grad_flows) {                                                    \
    backward({sizes[0], sizes[1], sizes[2], sizes[3], max_residue}, threads, grad_offset,                            \
             static_cast<const T*>(grad_mask), offset, static_cast<const T*>(mask), flows,                           \
             static_cast<T*>(grad_predicted), grad_flows);                                                           \
  }

ENTRIES(float32, float)
ENTRIES(bfloat16, BFloat16)
}
