// W' = W + U diag(s) Vh, tiles of W dealt out to threads, one product with beta = 1 each; rounded once to the model's dtype.
#include "blas.h"
#include "linear_parts.h"

namespace t2::cpu {

int merge(t2_context* c, const t2_matrix* w, const t2_matrix* u, const t2_matrix* vh, const float* s, void* out, int32_t out_dtype) {
  int m = w->rows, n = w->cols, r = u->cols;
  const float* v = static_cast<const float*>(vh->data);
  int64_t v_stride = vh->stride;
  if (!c->k.unit && dtype(vh->dtype) != dtype::f32) {  // once for all threads
    float* copy = c->scratch(shared, 0, size_t(r) * size_t(n));
    c->ranges(r, 16, [&](int64_t b, int64_t e, int) {
      for (int64_t i = b; i < e; i++) c->k.convert(vh->dtype, row_of(*vh, i), copy + i * n, n);
    });
    v = copy;
    v_stride = n;
  }
  int64_t o_size = size_of(dtype(out_dtype));
  // Tiles of W that keep both operands of sgemm worth packing (2048 × 2048 at twice the speed of 23 whole rows) and still end
  // within some ten milliseconds; the same ones whatever the number of threads, so that the sums are the same.
  constexpr int tile_rows = 256, tile_cols = 512;
  int down = (m + tile_rows - 1) / tile_rows, across = (n + tile_cols - 1) / tile_cols;
  return c->parallel(down * across, [&](int t, int thread) {
    int r0 = t / across * tile_rows, rn = std::min(tile_rows, m - r0), c0 = t % across * tile_cols, cn = std::min(tile_cols, n - c0);
    float* a = c->scratch(thread, 1, size_t(rn) * size_t(r));
    float* b = c->scratch(thread, 2, size_t(rn) * size_t(cn));
    for (int i = 0; i < rn; i++) {
      c->k.convert(u->dtype, row_of(*u, r0 + i), a + int64_t(i) * r, r);
      c->k.multiply(s, a + int64_t(i) * r, r);
      c->k.convert(w->dtype, row_of(*w, r0 + i, c0), b + int64_t(i) * cn, cn);
    }
    if (c->k.unit) {
      t2_matrix columns = *vh;
      columns.data = row_of(*vh, 0, c0);
      columns.cols = cn;
      product_on_unit(c, thread, a, r, rn, columns, b, cn, true);
    } else {
      blas::sgemm(false, false, rn, cn, r, 1.f, a, r, v + c0, int(v_stride), 1.f, b, cn);
    }
    for (int i = 0; i < rn; i++)
      c->k.round(out_dtype, b + int64_t(i) * cn, static_cast<char*>(out) + (int64_t(r0 + i) * n + c0) * o_size, cn);
  });
}

}  // namespace t2::cpu
