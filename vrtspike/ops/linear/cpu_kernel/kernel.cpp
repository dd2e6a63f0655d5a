// Gradients of weight and bias of a linear layer with few channels and many tokens, in bfloat16 on processors that
// multiply pairs of it. A pair is two neighbouring tokens. Sums are in float32.

#include <product.h>

#include <algorithm>
#include <vector>

namespace {

#ifdef __AVX512BF16__

constexpr int64_t DEPTH = 128;  // pairs that stay in the cache until they are multiplied

struct Shape {
  int64_t tokens, outputs, inputs;
};

// Writes pairs (depth, stride) of the tokens from `rows` on, of which there are `tokens`; a missing one is zero.
void pair_tokens(const BFloat16* rows, int64_t tokens, int64_t channels, Pair* pairs) {
  const int64_t stride = whole_vectors(channels);
  for (int64_t i = 0; i < tokens; i += 2)
    for (int64_t c = 0; c < channels; c += LANES) {
      const BFloat16* at = rows + i * channels + c;
      const Words even = Words(load_first(at, channels - c)) >> 16;
      const Words odd = i + 1 < tokens ? Words(load_first(at + channels, channels - c)) : Words{};
      *reinterpret_cast<Words*>(pairs + i / 2 * stride + c) = even | odd;
    }
}

// The sums of a share of the tokens, and its buffers.
class Sums {
  std::vector<Pair> grads, inputs;

 public:
  std::vector<float> weight, bias;

  explicit Sums(const Shape& s)
      : grads(DEPTH * whole_vectors(s.outputs)), inputs(DEPTH * whole_vectors(s.inputs)),
        weight(s.outputs * whole_vectors(s.inputs)), bias(whole_vectors(s.outputs)) {}

  void add(const Shape& s, const BFloat16* grad, const BFloat16* x, int64_t tokens) {
    const int64_t depth = (tokens + 1) / 2, outputs = whole_vectors(s.outputs), stride = whole_vectors(s.inputs);
    pair_tokens(grad, tokens, s.outputs, grads.data());
    pair_tokens(x, tokens, s.inputs, inputs.data());
    add_product<Pair>(s.outputs, depth, s.inputs, {grads.data(), 1, outputs}, inputs.data(), stride, weight.data(),
                      stride);
    const Pair ones = 0x3f803f80;
    for (int64_t o = 0; o < outputs; o += LANES) {
      Vector sums[4] = {load(&bias[o])};  // several, which do not wait for one another
      for (int64_t i = 0; i < depth; i++)
        sums[i % 4] = multiply_add(sums[i % 4], ones, lanes_at(&grads[i * outputs + o]));
      store(&bias[o], sums[0] + sums[1] + sums[2] + sums[3]);
    }
  }
};

void gradients(const Shape& s, int threads, const BFloat16* grad, const BFloat16* x, BFloat16* of_weight,
               BFloat16* of_bias) {
  std::vector<Sums> shares(threads, Sums(s));
  const int64_t blocks = (s.tokens + 2 * DEPTH - 1) / (2 * DEPTH);
#pragma omp parallel for num_threads(threads) schedule(static)
  for (int share = 0; share < threads; share++)
    for (int64_t block = blocks * share / threads; block < blocks * (share + 1) / threads; block++) {
      const int64_t first = 2 * DEPTH * block;
      shares[share].add(s, grad + first * s.outputs, x + first * s.inputs, std::min(2 * DEPTH, s.tokens - first));
    }
  const int64_t stride = whole_vectors(s.inputs);
  for (int share = 1; share < threads; share++) {
    for (size_t i = 0; i < shares[0].weight.size(); i++) shares[0].weight[i] += shares[share].weight[i];
    for (size_t i = 0; i < shares[0].bias.size(); i++) shares[0].bias[i] += shares[share].bias[i];
  }
  for (int64_t o = 0; o < s.outputs; o++) {
    for (int64_t i = 0; i < s.inputs; i++) put(of_weight[o * s.inputs + i], shares[0].weight[o * stride + i]);
    put(of_bias[o], shares[0].bias[o]);
  }
}

#endif

}  // namespace

extern "C" {

#ifdef __AVX512BF16__
void gradients_bfloat16(const int64_t* sizes, int threads, const void* grad, const void* x, void* of_weight,
                        void* of_bias) {
  gradients({sizes[0], sizes[1], sizes[2]}, threads, static_cast<const BFloat16*>(grad),
            static_cast<const BFloat16*>(x), static_cast<BFloat16*>(of_weight), static_cast<BFloat16*>(of_bias));
}
#endif
}
