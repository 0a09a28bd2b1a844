// Products with a stored matrix: forward (own kernels: few tokens read the weights as stored, many lay panels of them out first; the same
// bits) and the gradient of its input (panels converted once, BLAS sgemm).
#include <algorithm>
#include <atomic>
#include <thread>

#include "backend_cpu.h"
#include "blas.h"
#include "t2/dtype.h"

namespace t2::cpu {

static const void* row_of(const t2_matrix& w, int64_t row, int64_t col = 0) {
  return static_cast<const char*>(w.data) + (row * w.stride + col) * size_of(dtype(w.dtype));
}

namespace {

struct row_task {
  const t2_linear* item;
  int32_t begin, end;
};

std::vector<row_task> split_rows(const t2_linear* items, int count, int64_t per_task) {
  std::vector<row_task> tasks;
  for (int i = 0; i < count; i++)
    for (int64_t r = 0; r < items[i].w.rows; r += per_task)
      tasks.push_back({items + i, int32_t(r), int32_t(std::min<int64_t>(r + per_task, items[i].w.rows))});
  return tasks;
}

void add_bias(const row_task& t, float* y, int32_t n) {
  if (t.item->bias)
    for (int32_t i = 0; i < n; i++)
      for (int32_t r = t.begin; r < t.end; r++) y[i * t.item->y_stride + r] += t.item->bias[r];
}

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

/// A share of the tokens: its tiles are laid out, then its panels of rows multiplied, both handed out one by one.
struct token_part {
  int first = 0, count = 0;
  float* packed = nullptr;
  std::atomic<int> next_tile{0}, laid_out{0}, next_panel{0};
};

// Threads share tokens rather than rows, so that what one of them lays out and writes stays in its own caches (6 % of a prefill on two
// cores); a thread that is done helps the others. Below so many tokens a share would not pay for laying out all rows once more.
constexpr int least_part = 128;

int linear_many(t2_context* c, const float* x, int64_t x_stride, int32_t n, const t2_linear* items, int32_t count) {
  int cols = items[0].w.cols, tile = c->k.panel_tile, threads = c->pool.threads();
  int parts = std::clamp(n / least_part, 1, threads), size = ((n + parts - 1) / parts + tile - 1) / tile * tile;
  parts = (n + size - 1) / size;
  size_t row = size_t(cols + 15) / 16 * 16;
  float* packed = c->scratch(shared, 0, size_t(n) * row);
  std::vector<token_part> part(static_cast<size_t>(parts));
  for (int p = 0; p < parts; p++) {
    part[size_t(p)].first = p * size;
    part[size_t(p)].count = std::min(size, n - p * size);
    part[size_t(p)].packed = packed + size_t(p * size) * row;
  }
  auto panels = split_rows(items, count, c->k.panel_rows);
  int tiles = std::max(1, 16384 / cols / tile) * tile;  // tokens laid out at once
  int status = c->parallel(threads, [&](int, int thread) {
    float* scratch = c->scratch(thread, 0, panel_scratch);
    for (int i = 0; i < parts; i++) {
      token_part& p = part[size_t((thread + i) % parts)];
      for (int t; (t = p.next_tile.fetch_add(tiles)) < p.count;) {
        int m = std::min(tiles, p.count - t);
        c->k.pack_tokens(x + p.first * x_stride, x_stride, p.count, t, m, cols, p.packed);
        p.laid_out.fetch_add(m, std::memory_order_release);
      }
      while (p.laid_out.load(std::memory_order_acquire) < p.count) std::this_thread::yield();
      for (int j; (j = p.next_panel.fetch_add(1)) < int(panels.size());) {
        if (c->stop()) return;
        const row_task& t = panels[size_t(j)];
        const t2_linear& it = *t.item;
        float* y = it.y + p.first * it.y_stride;
        c->k.linear_panels(it.w.dtype, row_of(it.w, t.begin), it.w.stride, t.end - t.begin, cols, p.packed, p.count, y + t.begin,
                           it.y_stride, it.accumulate != 0, scratch);
        add_bias(t, y, p.count);
      }
    }
  });
  return status == T2_OK && c->stop() ? T2_ERROR_CANCELLED : status;
}

}  // namespace

int linear(t2_context* c, const float* x, int64_t x_stride, int32_t n, const t2_linear* items, int32_t count) {
  if (n <= 0 || count <= 0) return T2_OK;
  if (n < c->k.panel_from) return linear_few(c, x, x_stride, n, items, count);
  // so many tokens at a time that their copy stays in the last-level cache and an abort is noticed
  int64_t most = std::max<int64_t>(192, (int64_t(2) << 20) / items[0].w.cols), parts = (n + most - 1) / most;
  int tile = c->k.panel_tile, size = int(((n + parts - 1) / parts + tile - 1) / tile * tile);
  std::vector<t2_linear> part(items, items + count);
  for (int begin = 0; begin < n; begin += size) {
    if (int status = linear_many(c, x + begin * x_stride, x_stride, std::min(size, n - begin), part.data(), count)) return status;
    for (auto& it : part) it.y += size * it.y_stride;
  }
  return T2_OK;
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
