// Products with stored matrices on the processor's matrix unit: forward, for the gradient of the input, and a thread's own.
#include "linear_parts.h"

namespace t2::cpu {
namespace {

/// So many tokens at a time that an abort is noticed and a thread's share of them stays in its second-level cache.
constexpr int tokens_per_thread = 256;

struct stretch {
  int begin, size;
  bool last;
};

template <class F>
int for_stretches(int cols, F f) {
  int size = share_of(cols, (cols + unit_k - 1) / unit_k, unit_step);
  for (int k = 0; k < cols; k += size)
    if (int status = f(stretch{k, std::min(size, cols - k), k + size >= cols})) return status;
  return T2_OK;
}

uint16_t* packed_tokens(t2_context* c, int n, int cols) {
  return reinterpret_cast<uint16_t*>(c->scratch(shared, 0, size_t(unit_packed(n, cols)) / 2));
}

int few(t2_context* c, const float* x, int64_t x_stride, int32_t n, const t2_linear* items, int32_t count, stretch k) {
  uint16_t* packed = packed_tokens(c, n, k.size);
  c->k.unit->pack_few(x + k.begin, x_stride, n, k.size, packed);
  int64_t total = 0;
  for (int i = 0; i < count; i++) total += items[i].w.rows;
  int64_t per_task = std::max<int64_t>(total / (c->pool.threads() * 4), unit_width);
  auto tasks = split_rows(items, count, (per_task + unit_width - 1) / unit_width * unit_width);
  return c->parallel(int(tasks.size()), [&](int i, int thread) {
    const row_task& t = tasks[size_t(i)];
    const t2_linear& it = *t.item;
    c->k.unit->multiply_few(it.w.dtype, row_of(it.w, t.begin, k.begin), it.w.stride, t.end - t.begin, k.size, packed, n, it.y + t.begin,
                            it.y_stride, k.begin > 0 || it.accumulate, c->scratch(thread, 0, unit_scratch));
    if (k.last) add_bias(t, it.y, n);
  });
}

/// Calls multiply(first token, tokens, packed, panel, thread) for every panel of every share of n tokens, laid out for one stretch of k.
template <class Multiply>
int many(t2_context* c, const float* x, int64_t x_stride, int n, int cols, int panels, Multiply multiply) {
  uint16_t* packed = packed_tokens(c, n, cols);
  auto at = [&](const token_part& p) { return packed + unit_packed(p.first, cols); };
  return share_tokens(
      c, n, unit_tile, 2 * unit_tile, panels,
      [&](const token_part& p, int first, int m) { c->k.unit->pack(x + p.first * x_stride, x_stride, p.count, first, m, cols, at(p)); },
      [&](const token_part& p, int panel, int thread) { multiply(p, at(p), panel, c->scratch(thread, 0, unit_scratch)); });
}

/// Calls f(first, count) for stretches of tokens.
template <class F>
int for_tokens(t2_context* c, int n, F f) {
  int most = tokens_per_thread * c->pool.threads(), size = share_of(n, (n + most - 1) / most, unit_tile);
  for (int t = 0; t < n; t += size)
    if (int status = f(t, std::min(size, n - t))) return status;
  return T2_OK;
}

}  // namespace

int linear_on_unit(t2_context* c, const float* x, int64_t x_stride, int32_t n, const t2_linear* items, int32_t count) {
  int cols = items[0].w.cols;
  if (n <= unit_few) return for_stretches(cols, [&](stretch k) { return few(c, x, x_stride, n, items, count, k); });
  auto panels = split_rows(items, count, unit_width);
  return for_tokens(c, n, [&](int first, int tokens) {
    return for_stretches(cols, [&](stretch k) {
      return many(c, x + first * x_stride + k.begin, x_stride, tokens, k.size, int(panels.size()),
                  [&](const token_part& p, const uint16_t* packed, int panel, float* scratch) {
                    const row_task& t = panels[size_t(panel)];
                    const t2_linear& it = *t.item;
                    float* y = it.y + (first + p.first) * it.y_stride;
                    c->k.unit->multiply(it.w.dtype, row_of(it.w, t.begin, k.begin), it.w.stride, true, t.end - t.begin, k.size, packed,
                                        p.count, y + t.begin, it.y_stride, k.begin > 0 || it.accumulate, scratch);
                    if (k.last) add_bias(t, y, p.count);
                  });
    });
  });
}

int linear_backward_on_unit(t2_context* c, const float* g, int64_t g_stride, int32_t n, const t2_matrix& w, float* dx, int64_t dx_stride,
                            bool accumulate) {
  int panels = (w.cols + unit_width - 1) / unit_width;
  return for_tokens(c, n, [&](int first, int tokens) {
    return for_stretches(w.rows, [&](stretch k) {
      return many(c, g + first * g_stride + k.begin, g_stride, tokens, k.size, panels,
                  [&](const token_part& p, const uint16_t* packed, int panel, float* scratch) {
                    int j = panel * unit_width;
                    c->k.unit->multiply(w.dtype, row_of(w, k.begin, j), w.stride, false, std::min(unit_width, w.cols - j), k.size, packed,
                                        p.count, dx + (first + p.first) * dx_stride + j, dx_stride, k.begin > 0 || accumulate, scratch);
                  });
    });
  });
}

void product_on_unit(t2_context* c, int thread, const float* a, int64_t a_stride, int m, const t2_matrix& b, float* y, int64_t y_stride,
                     bool accumulate) {
  float* scratch = c->scratch(thread, 0, unit_scratch);
  for_stretches(b.rows, [&](stretch k) {
    uint16_t* packed = reinterpret_cast<uint16_t*>(c->scratch(thread, 3, size_t(unit_packed(m, k.size)) / 2));
    c->k.unit->pack(a + k.begin, a_stride, m, 0, m, k.size, packed);
    for (int j = 0; j < b.cols; j += unit_width)
      c->k.unit->multiply(b.dtype, row_of(b, k.begin, j), b.stride, false, std::min(unit_width, b.cols - j), k.size, packed, m, y + j,
                          y_stride, k.begin > 0 || accumulate, scratch);
    return T2_OK;
  });
}

}  // namespace t2::cpu
