// Products with a stored matrix: forward (own kernels: few tokens read the weights as stored, many lay panels of them out first; the same
// bits) and the gradient of its input (panels converted once, BLAS sgemm).
#include "blas.h"
#include "linear_parts.h"

namespace t2::cpu {
namespace {

int linear_few(t2_context* c, const float* x, int64_t x_stride, int32_t n, const t2_linear* items, int32_t count) {
  // one task: rows of one matrix; about a quarter of a thread's share, at most ~0.3 GFLOP so that an abort is noticed
  int64_t total = 0;
  for (int i = 0; i < count; i++) total += items[i].w.rows;
  int64_t per_task = std::max<int64_t>(total / (c->pool.threads() * 4), 16);
  per_task = std::min<int64_t>(per_task, std::max<int64_t>(16, 150000000 / (int64_t(n) * items[0].w.cols)));
  auto tasks = split_rows(items, count, (per_task + 3) / 4 * 4);
  return c->parallel(int(tasks.size()), [&](int i, int thread) {
    const row_task& t = tasks[size_t(i)];
    const t2_linear& it = *t.item;
    c->k.linear(it.w.dtype, row_of(it.w, t.begin), it.w.stride, t.end - t.begin, it.w.cols, x, x_stride, n, it.y + t.begin, it.y_stride,
                it.accumulate != 0, c->scratch(thread, 0, linear_scratch));
    add_bias(t, it.y, n);
  });
}

int linear_many(t2_context* c, const float* x, int64_t x_stride, int32_t n, const t2_linear* items, int32_t count) {
  int cols = items[0].w.cols, tile = c->k.panel_tile;
  size_t row = size_t(cols + 15) / 16 * 16;
  float* packed = c->scratch(shared, 0, size_t(n) * row);
  auto panels = split_rows(items, count, c->k.panel_rows);
  auto at = [&](const token_part& p) { return packed + size_t(p.first) * row; };
  return share_tokens(
      c, n, tile, std::max(1, 16384 / cols / tile) * tile, int(panels.size()),
      [&](const token_part& p, int first, int m) { c->k.pack_tokens(x + p.first * x_stride, x_stride, p.count, first, m, cols, at(p)); },
      [&](const token_part& p, int panel, int thread) {
        const row_task& t = panels[size_t(panel)];
        const t2_linear& it = *t.item;
        float* y = it.y + p.first * it.y_stride;
        c->k.linear_panels(it.w.dtype, row_of(it.w, t.begin), it.w.stride, t.end - t.begin, cols, at(p), p.count, y + t.begin, it.y_stride,
                           it.accumulate != 0, c->scratch(thread, 0, panel_scratch));
        add_bias(t, y, p.count);
      });
}

int linear_on_vectors(t2_context* c, const float* x, int64_t x_stride, int32_t n, const t2_linear* items, int32_t count) {
  if (n < c->k.panel_from) return linear_few(c, x, x_stride, n, items, count);
  // so many tokens at a time that their copy stays in the last-level cache and an abort is noticed
  int64_t most = std::max<int64_t>(192, (int64_t(2) << 20) / items[0].w.cols), parts = (n + most - 1) / most;
  int size = share_of(n, parts, c->k.panel_tile);
  std::vector<t2_linear> part(items, items + count);
  for (int begin = 0; begin < n; begin += size) {
    if (int status = linear_many(c, x + begin * x_stride, x_stride, std::min(size, n - begin), part.data(), count)) return status;
    for (auto& it : part) it.y += size * it.y_stride;
  }
  return T2_OK;
}

/// The matrix unit multiplies 16-bit matrices, the vector kernels the rest: a matrix' dtype alone decides, so that a row's bits depend on
/// nothing else.
bool on_unit(t2_context* c, const t2_matrix& w) { return c->k.unit && dtype(w.dtype) != dtype::f32; }

}  // namespace

int linear(t2_context* c, const float* x, int64_t x_stride, int32_t n, const t2_linear* items, int32_t count) {
  if (n <= 0) return T2_OK;
  for (int begin = 0, end; begin < count; begin = end) {
    bool unit = on_unit(c, items[begin].w);
    for (end = begin + 1; end < count && on_unit(c, items[end].w) == unit;) end++;
    if (int status = (unit ? linear_on_unit : linear_on_vectors)(c, x, x_stride, n, items + begin, end - begin)) return status;
  }
  return T2_OK;
}

int linear_backward(t2_context* c, const float* g, int64_t g_stride, int32_t n, const t2_matrix* w, float* dx, int64_t dx_stride,
                    int32_t accumulate) {
  if (n <= 0) return T2_OK;
  if (on_unit(c, *w)) return linear_backward_on_unit(c, g, g_stride, n, *w, dx, dx_stride, accumulate != 0);
  // columns of w are dealt out; each task converts its column panel in row blocks and adds their products
  // (of a width that does not depend on the number of threads, and so neither do the sums)
  int width = std::clamp((w->cols / 8 + 31) / 32 * 32, 32, 384);
  int tasks = (w->cols + width - 1) / width;
  constexpr int block = 256;
  return c->parallel(tasks, [&](int t, int thread) {
    int c0 = t * width, cn = std::min(width, w->cols - c0);
    float* panel = c->scratch(thread, 1, size_t(block) * size_t(width));
    for (int r0 = 0; r0 < w->rows; r0 += block) {
      if (c->stop()) return;
      int rn = std::min(block, w->rows - r0);
      const float* p;
      int64_t p_stride;
      if (dtype(w->dtype) == dtype::f32) {
        p = static_cast<const float*>(row_of(*w, r0, c0));
        p_stride = w->stride;
      } else {
        for (int r = 0; r < rn; r++) c->k.convert(w->dtype, row_of(*w, r0 + r, c0), panel + int64_t(r) * cn, cn);
        p = panel;
        p_stride = cn;
      }
      blas::sgemm(false, false, n, cn, rn, 1.f, g + r0, int(g_stride), p, int(p_stride), r0 || accumulate ? 1.f : 0.f, dx + c0,
                  int(dx_stride));
    }
  });
}

}  // namespace t2::cpu
