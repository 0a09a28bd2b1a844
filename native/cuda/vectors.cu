// Element-wise work on vectors that belong to no layer: mixtures of z, sums, changes of dtype, and the optimiser's step.
#include <algorithm>
#include <cmath>

#include "device.h"
#include "launch.h"
#include "operators.h"

namespace t2::cuda {

// kernels

namespace {

constexpr int threads = 256;

__device__ int64_t first_element() { return int64_t(blockIdx.x) * threads + threadIdx.x; }
__device__ int64_t element_step() { return int64_t(gridDim.x) * threads; }

// `out` may be one of the vectors
__global__ void mix_kernel(const float* const* vectors, const float* weights, int count, float base, int64_t n, float* out) {
  for (int64_t i = first_element(); i < n; i += element_step()) {
    float sum = base;
    for (int k = 0; k < count; k++) sum += weights[k] * (vectors[k][i] - base);
    out[i] = sum;
  }
}

__global__ void axpy_kernel(float a, const float* x, int64_t n, float* y) {
  for (int64_t i = first_element(); i < n; i += element_step()) y[i] += a * x[i];
}

template <class From, class To>
__global__ void cast_kernel(const From* from, int64_t n, To* to) {
  for (int64_t i = first_element(); i < n; i += element_step()) store(to + i, load(from + i));
}
/// n elements of four each.
template <class From, class To>
__global__ void cast4_kernel(const From* from, int64_t n, To* to) {
  for (int64_t i = first_element(); i < n; i += element_step()) store4(to + 4 * i, load4(from + 4 * i));
}

// with m̂ = m / correct1 and v̂ = v / correct2
__global__ void adamw_kernel(t2_adamw a, float correct1, float correct2) {
  for (int64_t i = first_element(); i < a.n; i += element_step()) {
    const float g = a.gradient[i], m = a.beta1 * a.m[i] + (1 - a.beta1) * g, v = a.beta2 * a.v[i] + (1 - a.beta2) * g * g;
    a.m[i] = m;
    a.v[i] = v;
    a.p[i] -= a.learning_rate * (m / correct1 / (sqrtf(v / correct2) + a.eps) + a.weight_decay * a.p[i]);
  }
}

}  // namespace

// launchers

static unsigned blocks_of(int64_t n) { return unsigned(std::clamp<int64_t>((n + threads - 1) / threads, 0, 1 << 16)); }

int mix(t2_context* c, const float* const* vectors, const float* weights, int32_t count, float base, int64_t n, float* out) {
  const float* const* device_vectors = nullptr;
  const float* device_weights = nullptr;
  if (count > 0) {
    T2_TRY(c->stage(vectors, size_t(count), &device_vectors));
    T2_TRY(c->stage(weights, size_t(count), &device_weights));
  }
  return launch(c, mix_kernel, blocks_of(n), threads, 0, device_vectors, device_weights, count, base, n, out);
}

int axpy(t2_context* c, float a, const float* x, int64_t n, float* y) {
  return launch(c, axpy_kernel, blocks_of(n), threads, 0, a, x, n, y);
}

int cast(t2_context* c, const void* from, int32_t from_dtype, int64_t n, void* to, int32_t to_dtype) {
  return with_dtype(from_dtype, [&](auto from_tag) {
    return with_dtype(to_dtype, [&](auto to_tag) {
      using From = typename decltype(from_tag)::type;
      using To = typename decltype(to_tag)::type;
      const From* source = static_cast<const From*>(from);
      To* target = static_cast<To*>(to);
      if (n % 4 == 0 && is_aligned(from, 16) && is_aligned(to, 16))
        return launch(c, cast4_kernel<From, To>, blocks_of(n / 4), threads, 0, source, n / 4, target);
      return launch(c, cast_kernel<From, To>, blocks_of(n), threads, 0, source, n, target);
    });
  });
}

int adamw(t2_context* c, const t2_adamw* a) {
  const float correct1 = float(1 - std::pow(double(a->beta1), a->step)), correct2 = float(1 - std::pow(double(a->beta2), a->step));
  return launch(c, adamw_kernel, blocks_of(a->n), threads, 0, *a, correct1, correct2);
}

}  // namespace t2::cuda
