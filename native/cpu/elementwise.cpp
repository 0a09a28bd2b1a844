// Embedding, norms, RoPE, SwiGLU, row scale, gather and scatter: one row or a range of elements per task.
#include <cmath>
#include <cstring>

#include "backend_cpu.h"
#include "t2/dtype.h"

namespace t2::cpu {

constexpr int64_t grain = 16384;  // floats per task, below which a thread is not worth waking

static int64_t rows_grain(int64_t row) { return row >= grain ? 1 : grain / row; }

int embed(t2_context* c, const t2_matrix* table, const int32_t* tokens, int32_t n, float* y) {
  auto base = static_cast<const char*>(table->data);
  int64_t bytes = size_of(dtype(table->dtype));
  return c->ranges(n, rows_grain(table->cols), [&](int64_t b, int64_t e, int) {
    for (int64_t i = b; i < e; i++)
      c->k.convert(table->dtype, base + tokens[i] * table->stride * bytes, y + i * table->cols, table->cols);
  });
}

int rms_norm(t2_context* c, const float* x, const float* weight, int32_t n, int32_t size, float eps, float* y) {
  return c->ranges(n, rows_grain(size), [&](int64_t b, int64_t e, int) {
    for (int64_t i = b; i < e; i++) c->k.rms_norm(x + i * size, weight, size, eps, y + i * size);
  });
}

int rms_norm_backward(t2_context* c, const float* x, const float* weight, const float* dy, int32_t n, int32_t size, float eps, float* dx) {
  return c->ranges(n, rows_grain(size), [&](int64_t b, int64_t e, int) {
    for (int64_t i = b; i < e; i++) c->k.rms_norm_backward(x + i * size, weight, dy + i * size, size, eps, dx + i * size);
  });
}

int swiglu(t2_context* c, const float* gate, const float* up, int64_t count, float* y) {
  return c->ranges(count, 8192, [&](int64_t b, int64_t e, int) { c->k.swiglu(gate + b, up + b, e - b, y + b); });
}

int swiglu_backward(t2_context* c, const float* gate, const float* up, const float* dy, int64_t count, float* dgate, float* dup) {
  return c->ranges(count, 8192, [&](int64_t b, int64_t e, int) { c->k.swiglu_backward(gate + b, up + b, dy + b, e - b, dgate + b, dup + b); });
}

int scale_rows(t2_context* c, float* q, int64_t q_stride, int32_t n, int32_t r, const float* const* scales, const int32_t* row_scale) {
  return c->ranges(n, rows_grain(r), [&](int64_t b, int64_t e, int) {
    for (int64_t i = b; i < e; i++) {
      const float* s = row_scale[i] < 0 ? nullptr : scales[row_scale[i]];
      if (s)
        c->k.multiply(s, q + i * q_stride, r);
      else
        std::memset(q + i * q_stride, 0, size_t(r) * 4);
    }
  });
}

int rope(t2_context* c, float* x, int64_t stride, int32_t n, int32_t heads, int32_t head_dim, const int32_t* positions,
         const float* inverse_frequencies, float factor, int32_t inverse) {
  int half = head_dim / 2;
  return c->ranges(n, rows_grain(int64_t(heads) * head_dim * 4), [&](int64_t b, int64_t e, int thread) {
    float* cs = c->scratch(thread, 0, size_t(head_dim));
    int32_t known = -1;
    for (int64_t i = b; i < e; i++) {
      if (positions[i] != known) {
        known = positions[i];
        for (int p = 0; p < half; p++) {
          float angle = float(known) * inverse_frequencies[p];  // fp32 product, as transformers computes it
          cs[p] = float(std::cos(double(angle))) * factor;
          cs[half + p] = float(std::sin(double(angle))) * (inverse ? -factor : factor);
        }
      }
      for (int h = 0; h < heads; h++) {
        float* v = x + i * stride + int64_t(h) * head_dim;
        for (int p = 0; p < half; p++) {
          float a = v[p], d = v[p + half];
          v[p] = a * cs[p] - d * cs[half + p];
          v[p + half] = d * cs[p] + a * cs[half + p];
        }
      }
    }
  });
}

int scatter_rows(t2_context* c, const float* x, int64_t stride, int32_t n, int32_t size, float* const* to) {
  return c->ranges(n, rows_grain(size), [&](int64_t b, int64_t e, int) {
    for (int64_t i = b; i < e; i++) std::memcpy(to[i], x + i * stride, size_t(size) * 4);
  });
}

int gather_rows(t2_context* c, const float* x, int64_t size, const int32_t* rows, int32_t n, float* y) {
  return c->ranges(n, rows_grain(size), [&](int64_t b, int64_t e, int) {
    for (int64_t i = b; i < e; i++) std::memcpy(y + i * size, x + rows[i] * size, size_t(size) * 4);
  });
}

int scatter_add_rows(t2_context* c, const float* x, int64_t size, const int32_t* rows, int32_t n, float* y) {
  // rows may repeat: one thread, in order
  for (int32_t i = 0; i < n; i++) c->k.add(x + i * size, y + rows[i] * size, size);
  return T2_OK;
}

}  // namespace t2::cpu
