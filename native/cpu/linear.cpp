// Products with a stored matrix: forward (own kernel, weights read as stored) and the gradient of its input (panels converted once, BLAS
// sgemm).
#include <algorithm>

#include "backend_cpu.h"
#include "blas.h"
#include "t2/dtype.h"

namespace t2::cpu {

static const void* row_of(const t2_matrix& w, int64_t row, int64_t col = 0) {
  return static_cast<const char*>(w.data) + (row * w.stride + col) * size_of(dtype(w.dtype));
}

int linear(t2_context* c, const float* x, int64_t x_stride, int32_t n, const t2_linear* items, int32_t count) {
  if (n <= 0) return T2_OK;
  // one task: rows of one matrix; about a quarter of a thread's share, at most ~0.3 GFLOP so that an abort is noticed
  int64_t total = 0;
  for (int i = 0; i < count; i++) total += items[i].w.rows;
  int64_t per_task = std::max<int64_t>(total / (c->pool.threads() * 4), 16);
  per_task = std::min<int64_t>(per_task, std::max<int64_t>(16, 150000000 / (int64_t(n) * items[0].w.cols)));
  per_task = (per_task + 3) / 4 * 4;
  struct task {
    int item;
    int32_t begin, end;
  };
  std::vector<task> tasks;
  for (int i = 0; i < count; i++)
    for (int64_t r = 0; r < items[i].w.rows; r += per_task)
      tasks.push_back({i, int32_t(r), int32_t(std::min<int64_t>(r + per_task, items[i].w.rows))});
  return c->parallel(int(tasks.size()), [&](int t, int thread) {
    const t2_linear& it = items[tasks[size_t(t)].item];
    int32_t b = tasks[size_t(t)].begin, e = tasks[size_t(t)].end;
    float* scratch = c->scratch(thread, 0, linear_scratch);
    float* y = it.y + b;
    c->k.linear(it.w.dtype, row_of(it.w, b), it.w.stride, e - b, it.w.cols, x, x_stride, n, y, it.y_stride, it.accumulate != 0, scratch);
    if (it.bias)
      for (int32_t i = 0; i < n; i++)
        for (int32_t r = b; r < e; r++) it.y[i * it.y_stride + r] += it.bias[r];
  });
}

int linear_backward(t2_context* c, const float* g, int64_t g_stride, int32_t n, const t2_matrix* w, float* dx, int64_t dx_stride,
                    int32_t accumulate) {
  if (n <= 0) return T2_OK;
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
