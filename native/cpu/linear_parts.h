// What the ways of multiplying with stored matrices share: ranges of rows as tasks, and threads that share tokens.
#pragma once
#include <algorithm>
#include <atomic>
#include <thread>
#include <vector>

#include "backend_cpu.h"
#include "t2/dtype.h"

namespace t2::cpu {

inline const void* row_of(const t2_matrix& w, int64_t row, int64_t col = 0) {
  return static_cast<const char*>(w.data) + (row * w.stride + col) * size_of(dtype(w.dtype));
}

struct row_task {
  const t2_linear* item;
  int32_t begin, end;
};

inline std::vector<row_task> split_rows(const t2_linear* items, int count, int64_t per_task) {
  std::vector<row_task> tasks;
  for (int i = 0; i < count; i++)
    for (int64_t r = 0; r < items[i].w.rows; r += per_task)
      tasks.push_back({items + i, int32_t(r), int32_t(std::min<int64_t>(r + per_task, items[i].w.rows))});
  return tasks;
}

inline void add_bias(const row_task& t, float* y, int32_t n) {
  if (t.item->bias)
    for (int32_t i = 0; i < n; i++)
      for (int32_t r = t.begin; r < t.end; r++) y[i * t.item->y_stride + r] += t.item->bias[r];
}

/// n in `parts` equal shares, each but the last a multiple of `unit`.
inline int share_of(int64_t n, int64_t parts, int unit) { return int(((n + parts - 1) / parts + unit - 1) / unit * unit); }

/// A share of the tokens: its tiles are laid out, then its panels of rows multiplied, both handed out one by one.
struct token_part {
  int first = 0, count = 0;
  std::atomic<int> next_tile{0}, laid_out{0}, next_panel{0};
};

/// Threads share tokens rather than rows, so that what one of them lays out and writes stays in its own caches (6 % of a prefill on two
/// cores); a thread that is done helps the others. Below so many tokens a share would not pay for laying out all rows once more.
constexpr int least_part = 128;

/// pack(part, first, count) lays out tiles of a part, `at_once` tokens of them; multiply(part, panel, thread) follows when all of the part
/// is.
template <class Pack, class Multiply>
int share_tokens(t2_context* c, int n, int tile, int at_once, int panels, Pack pack, Multiply multiply) {
  int threads = c->pool.threads();
  int parts = std::clamp(n / least_part, 1, threads), size = share_of(n, parts, tile);
  parts = (n + size - 1) / size;
  std::vector<token_part> part(static_cast<size_t>(parts));
  for (int p = 0; p < parts; p++) {
    part[size_t(p)].first = p * size;
    part[size_t(p)].count = std::min(size, n - p * size);
  }
  int status = c->parallel(threads, [&](int, int thread) {
    for (int i = 0; i < parts; i++) {
      token_part& p = part[size_t((thread + i) % parts)];
      for (int t; (t = p.next_tile.fetch_add(at_once)) < p.count;) {
        int m = std::min(at_once, p.count - t);
        pack(p, t, m);
        p.laid_out.fetch_add(m, std::memory_order_release);
      }
      while (p.laid_out.load(std::memory_order_acquire) < p.count) std::this_thread::yield();
      for (int j; (j = p.next_panel.fetch_add(1)) < panels;) {
        if (c->stop()) return;
        multiply(p, j, thread);
      }
    }
  });
  return status == T2_OK && c->stop() ? T2_ERROR_CANCELLED : status;
}

// linear_unit.cpp: the same operators on the processor's matrix unit, for 16-bit matrices.
int linear_on_unit(t2_context*, const float* x, int64_t x_stride, int32_t n, const t2_linear* items, int32_t count);
int linear_backward_on_unit(t2_context*, const float* g, int64_t g_stride, int32_t n, const t2_matrix& w, float* dx, int64_t dx_stride,
                            bool accumulate);
/// One thread's own product: y[i, j] (+)= Σ_k a[i, k] b[k, j] for m rows of a and all of b, in any dtype; a in fp32.
void product_on_unit(t2_context*, int thread, const float* a, int64_t a_stride, int m, const t2_matrix& b, float* y, int64_t y_stride,
                     bool accumulate);

}  // namespace t2::cpu
