// Element-wise work on vectors that belong to no layer: mixtures of z, sums, changes of dtype, and the optimiser's step.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "backend_cpu.h"
#include "t2/dtype.h"

namespace t2::cpu {

constexpr int64_t grain = 1 << 14;

int mix(t2_context* c, const float* const* vectors, const float* weights, int32_t count, float base, int64_t n, float* out) {
  return c->ranges(n, grain, [&](int64_t b, int64_t e, int) {
    for (int64_t i = b; i < e; i++) {
      float sum = base;
      for (int k = 0; k < count; k++) sum += weights[k] * (vectors[k][i] - base);
      out[i] = sum;  // last, since out may be one of the vectors
    }
  });
}

int axpy(t2_context* c, float a, const float* x, int64_t n, float* y) {
  return c->ranges(n, grain, [&](int64_t b, int64_t e, int) {
    for (int64_t i = b; i < e; i++) y[i] += a * x[i];
  });
}

int cast(t2_context* c, const void* from, int32_t from_dtype, int64_t n, void* to, int32_t to_dtype) {
  const int64_t from_size = size_of(dtype(from_dtype)), to_size = size_of(dtype(to_dtype));
  return c->ranges(n, grain, [&](int64_t b, int64_t e, int) {
    const char* source = static_cast<const char*>(from) + b * from_size;
    char* target = static_cast<char*>(to) + b * to_size;
    if (from_dtype == to_dtype) {
      std::memcpy(target, source, size_t((e - b) * to_size));
      return;
    }
    float wide[512];
    for (int64_t i = b; i < e; i += 512) {
      int64_t count = std::min<int64_t>(512, e - i);
      c->k.convert(from_dtype, source + (i - b) * from_size, wide, count);
      c->k.round(to_dtype, wide, target + (i - b) * to_size, count);
    }
  });
}

int adamw(t2_context* c, const t2_adamw* a) {
  // with m̂ = m / correct1 and v̂ = v / correct2
  const float correct1 = float(1 - std::pow(double(a->beta1), a->step)), correct2 = float(1 - std::pow(double(a->beta2), a->step));
  return c->ranges(a->n, grain, [&](int64_t b, int64_t e, int) {
    for (int64_t i = b; i < e; i++) {
      const float g = a->gradient[i], m = a->beta1 * a->m[i] + (1 - a->beta1) * g, v = a->beta2 * a->v[i] + (1 - a->beta2) * g * g;
      a->m[i] = m;
      a->v[i] = v;
      a->p[i] -= a->learning_rate * (m / correct1 / (std::sqrt(v / correct2) + a->eps) + a->weight_decay * a->p[i]);
    }
  });
}

}  // namespace t2::cpu
