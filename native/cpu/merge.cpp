// W' = W + U diag(s) Vh, rows of W dealt out to threads, one sgemm with beta = 1 each; rounded once to the model's dtype.
#include <algorithm>

#include "backend_cpu.h"
#include "blas.h"
#include "t2/dtype.h"

namespace t2::cpu {

int merge(t2_context* c, const t2_matrix* w, const t2_matrix* u, const t2_matrix* vh, const float* s, void* out, int32_t out_dtype) {
  int m = w->rows, n = w->cols, r = u->cols;
  const float* v = static_cast<const float*>(vh->data);
  int64_t v_stride = vh->stride;
  if (dtype(vh->dtype) != dtype::f32) {  // once for all threads
    float* copy = c->scratch(shared, 0, size_t(r) * size_t(n));
    c->ranges(r, 16, [&](int64_t b, int64_t e, int) {
      for (int64_t i = b; i < e; i++)
        c->k.convert(vh->dtype, static_cast<const char*>(vh->data) + i * vh->stride * size_of(dtype(vh->dtype)), copy + i * n, n);
    });
    v = copy;
    v_stride = n;
  }
  int64_t w_size = size_of(dtype(w->dtype)), u_size = size_of(dtype(u->dtype)), o_size = size_of(dtype(out_dtype));
  int rows = std::clamp(int(200000000 / (2LL * n * r + 1)), 16, 96);  // whatever the number of threads: the same tiles, the same sums
  return c->parallel((m + rows - 1) / rows, [&](int t, int thread) {
    int r0 = t * rows, rn = std::min(rows, m - r0);
    float* a = c->scratch(thread, 1, size_t(rows) * size_t(r));
    float* b = c->scratch(thread, 2, size_t(rows) * size_t(n));
    for (int i = 0; i < rn; i++) {
      c->k.convert(u->dtype, static_cast<const char*>(u->data) + (r0 + i) * u->stride * u_size, a + int64_t(i) * r, r);
      c->k.multiply(s, a + int64_t(i) * r, r);
      c->k.convert(w->dtype, static_cast<const char*>(w->data) + (r0 + i) * w->stride * w_size, b + int64_t(i) * n, n);
    }
    blas::sgemm(false, false, rn, n, r, 1.f, a, r, v, int(v_stride), 1.f, b, n);
    c->k.round(out_dtype, b, static_cast<char*>(out) + int64_t(r0) * n * o_size, int64_t(rn) * n);
  });
}

}  // namespace t2::cpu
