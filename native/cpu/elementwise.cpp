// Embedding, norms, RoPE, SwiGLU, row scale, gather and scatter: one row or a range of elements per task.
#include <algorithm>
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
    for (int64_t i = b; i < e; i++) c->k.convert(table->dtype, base + tokens[i] * table->stride * bytes, y + i * table->cols, table->cols);
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
  return c->ranges(count, 8192,
                   [&](int64_t b, int64_t e, int) { c->k.swiglu_backward(gate + b, up + b, dy + b, e - b, dgate + b, dup + b); });
}

int scale_rows(t2_context* c, float* q, int64_t q_stride, int32_t n, int32_t r, const float* const* scales, const int32_t* row_scale) {
  return c->ranges(n, rows_grain(r), [&](int64_t b, int64_t e, int) {
    for (int64_t i = b; i < e; i++) {
      const float* s = row_scale[i] < 0 ? nullptr : scales[row_scale[i]];
      if (s) c->k.multiply(s, q + i * q_stride, r);
      else std::memset(q + i * q_stride, 0, size_t(r) * 4);
    }
  });
}

/// Cosines and sines of all positions below `count`, kept in the context: they cost more than the rotation itself.
static const float* rope_table(t2_context* c, int32_t count, int half, const float* inverse_frequencies, float factor) {
  auto& t = c->rope;
  bool same =
      int(t.frequencies.size()) == half && t.factor == factor && !std::memcmp(t.frequencies.data(), inverse_frequencies, size_t(half) * 4);
  if (!same) {
    t.frequencies.assign(inverse_frequencies, inverse_frequencies + half);
    t.factor = factor;
    t.values.clear();
  }
  int64_t known = int64_t(t.values.size()) / (2 * half);
  if (known < count) {
    int64_t grown = (int64_t(count) + 255) / 256 * 256;
    t.values.resize(size_t(grown) * 2 * size_t(half));
    for (int64_t p = known; p < grown; p++)
      for (int i = 0; i < half; i++) {
        float angle = float(p) * inverse_frequencies[i];  // fp32 product, as transformers computes it
        t.values[size_t(p * 2 * half + i)] = float(std::cos(double(angle))) * factor;
        t.values[size_t(p * 2 * half + half + i)] = float(std::sin(double(angle))) * factor;
      }
  }
  return t.values.data();
}

/// One head: from and to may be the same.
static void rotate(const float* from, const float* cosines, const float* sines, float sign, int half, float* to) {
  for (int p = 0; p < half; p++) {
    float a = from[p], d = from[p + half], s = sines[p] * sign;
    to[p] = a * cosines[p] - d * s;
    to[p + half] = d * cosines[p] + a * s;
  }
}

static int32_t positions_of(const int32_t* positions, int32_t n) {
  int32_t last = -1;
  for (int32_t i = 0; i < n; i++) last = std::max(last, positions[i]);
  return last + 1;
}

int rope(t2_context* c, float* x, int64_t stride, int32_t n, int32_t heads, int32_t head_dim, const int32_t* positions,
         const float* inverse_frequencies, float factor, int32_t inverse) {
  int half = head_dim / 2;
  const float* table = rope_table(c, positions_of(positions, n), half, inverse_frequencies, factor);
  float sign = inverse ? -1.f : 1.f;
  return c->ranges(n, rows_grain(int64_t(heads) * head_dim), [&](int64_t b, int64_t e, int) {
    for (int64_t i = b; i < e; i++) {
      const float* cosines = table + int64_t(positions[i]) * head_dim;
      for (int h = 0; h < heads; h++) {
        float* v = x + i * stride + int64_t(h) * head_dim;
        rotate(v, cosines, cosines + half, sign, half, v);
      }
    }
  });
}

int rope_write(t2_context* c, const t2_rope_write* what) {
  const t2_rope_write& r = *what;
  int half = r.head_dim / 2, size = r.kv_heads * r.head_dim;
  const float* table = rope_table(c, positions_of(r.positions, r.n), half, r.inverse_frequencies, r.factor);
  return c->ranges(r.n, rows_grain(int64_t(r.heads + 2 * r.kv_heads) * r.head_dim), [&](int64_t b, int64_t e, int) {
    for (int64_t i = b; i < e; i++) {
      const float* cosines = table + int64_t(r.positions[i]) * r.head_dim;
      auto turn = [&](const float* from, int heads, float* to) {
        for (int h = 0; h < heads * r.head_dim; h += r.head_dim) rotate(from + h, cosines, cosines + half, 1.f, half, to + h);
      };
      float *q = r.q + i * r.q_stride, *k = r.k + i * r.kv_stride;
      turn(q, r.heads, q);
      turn(k, r.kv_heads, r.k_rows ? r.k_rows[i] + r.offset : k);
      if (r.k_rows) std::memcpy(r.v_rows[i] + r.offset, r.v + i * r.kv_stride, size_t(size) * 4);
    }
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
