// Single operators on rows and elements: embedding, norms, row scale, RoPE, gather, scatter, SwiGLU.
#include "operators.h"

namespace t2::binding {

static void embed(operator_call& op) {
  t2_matrix table = op.matrix("table");
  std::vector<int32_t> tokens = op.indices("tokens", -1, 0, table.rows);
  int64_t count = elements({int64_t(tokens.size()), table.cols});
  float* y = op.room(count);
  op.run([&] { return op.backend->embed(op.context, &table, tokens.data(), int32_t(tokens.size()), y); });
  op.give("y", y, count);
}

static void rms_norm(operator_call& op) {
  int n = op.integer("n", 0, max_int32), size = op.integer("size", 1, max_int32);
  int64_t count = elements({n, size});
  float *x = op.upload("x", count), *weight = op.upload("weight", size), *y = op.room(count);
  op.run([&] { return op.backend->rms_norm(op.context, x, weight, n, size, op.number("eps"), y); });
  op.give("y", y, count);
}

static void rms_norm_backward(operator_call& op) {
  int n = op.integer("n", 0, max_int32), size = op.integer("size", 1, max_int32);
  int64_t count = elements({n, size});
  float *x = op.upload("x", count), *weight = op.upload("weight", size), *dy = op.upload("dy", count), *dx = op.upload("dx", count);
  op.run([&] { return op.backend->rms_norm_backward(op.context, x, weight, dy, n, size, op.number("eps"), dx); });
  op.give("dx", dx, count);
}

/// scales [scale_count, r]; scale −1 in row_scale, or one listed in null_scales, sets the row to zero.
static void scale_rows(operator_call& op) {
  int n = op.integer("n", 0, max_int32), r = op.integer("r", 1, max_int32), scale_count = op.integer("scale_count", 0, 1 << 20);
  int64_t stride = op.integer_or("q_stride", r, max_int32, r), count = elements({n, stride});
  float* scales = op.upload("scales", elements({scale_count, r}));
  std::vector<const float*> table;
  for (int i = 0; i < scale_count; i++) table.push_back(scales + int64_t(i) * r);
  if (op.has("null_scales"))
    for (int32_t i : op.indices("null_scales", -1, 0, scale_count)) table[size_t(i)] = nullptr;
  std::vector<int32_t> row_scale = op.indices("row_scale", n, -1, scale_count);
  float* q = op.upload("q", count);
  op.run([&] { return op.backend->scale_rows(op.context, q, stride, n, r, table.data(), row_scale.data()); });
  op.give("q", q, count);
}

static void rope(operator_call& op) {
  int n = op.integer("n", 0, max_int32), heads = op.integer("heads", 1, 1 << 16), head_dim = op.integer("head_dim", 2, 1 << 16);
  if (head_dim % 2) op.input("head_dim").reject("even");
  int64_t row = elements({heads, head_dim}), stride = op.integer_or("stride", row, max_int32, int(row)), count = elements({n, stride});
  std::vector<int32_t> positions = op.indices("positions", n, 0, max_int32);
  float *frequencies = op.upload("inverse_frequencies", head_dim / 2), *x = op.upload("x", count);
  float factor = op.has("factor") ? op.number("factor") : 1.f;
  int inverse = op.integer_or("inverse", 0, 1, 0);
  op.run([&] { return op.backend->rope(op.context, x, stride, n, heads, head_dim, positions.data(), frequencies, factor, inverse); });
  op.give("x", x, count);
}

/// With `to`, row i of k and v goes to k_cache[to[i] + offset …) and v_cache[to[i] + offset …), both of cache_size floats.
static void rope_write(operator_call& op) {
  t2_rope_write r{};
  r.n = op.integer("n", 0, max_int32);
  r.heads = op.integer("heads", 1, 1 << 16);
  r.kv_heads = op.integer("kv_heads", 1, 1 << 16);
  r.head_dim = op.integer("head_dim", 2, 1 << 16);
  if (r.head_dim % 2) op.input("head_dim").reject("even");
  int64_t q_row = elements({r.heads, r.head_dim}), kv_row = elements({r.kv_heads, r.head_dim});
  r.q_stride = op.integer_or("q_stride", q_row, max_int32, int(q_row));
  r.kv_stride = op.integer_or("kv_stride", kv_row, max_int32, int(kv_row));
  int64_t q_count = elements({r.n, r.q_stride}), kv_count = elements({r.n, r.kv_stride});
  std::vector<int32_t> positions = op.indices("positions", r.n, 0, max_int32);
  r.positions = positions.data();
  r.inverse_frequencies = op.upload("inverse_frequencies", r.head_dim / 2);
  r.factor = op.has("factor") ? op.number("factor") : 1.f;
  r.q = op.upload("q", q_count);
  r.k = op.upload("k", kv_count);
  r.v = op.upload("v", kv_count);
  std::vector<float*> k_rows, v_rows;
  float *k_cache = nullptr, *v_cache = nullptr;
  int64_t size = 0;
  if (op.has("to")) {
    size = elements({op.integer("cache_size", kv_row, max_int32)});
    r.offset = op.integer_or("offset", 0, max_int32, 0);
    k_cache = op.room(size);
    v_cache = op.room(size);
    for (int32_t at : op.indices("to", r.n, 0, size - kv_row + 1 - r.offset)) {
      k_rows.push_back(k_cache + at);
      v_rows.push_back(v_cache + at);
    }
    r.k_rows = k_rows.data();
    r.v_rows = v_rows.data();
  }
  op.run([&] { return op.backend->rope_write(op.context, &r); });
  op.give("q", r.q, q_count);
  op.give("k", r.k, kv_count);
  if (op.has("to")) {
    op.give("k_cache", k_cache, size);
    op.give("v_cache", v_cache, size);
  }
}

static void gather_rows(operator_call& op) {
  int x_rows = op.integer("x_rows", 1, max_int32), size = op.integer("size", 1, max_int32);
  float* x = op.upload("x", elements({x_rows, size}));
  std::vector<int32_t> rows = op.indices("rows", -1, 0, x_rows);
  int64_t count = elements({int64_t(rows.size()), size});
  float* y = op.room(count);
  op.run([&] { return op.backend->gather_rows(op.context, x, size, rows.data(), int32_t(rows.size()), y); });
  op.give("y", y, count);
}

static void scatter_add_rows(operator_call& op) {
  int y_rows = op.integer("y_rows", 1, max_int32), size = op.integer("size", 1, max_int32);
  std::vector<int32_t> rows = op.indices("rows", -1, 0, y_rows);
  int64_t count = elements({y_rows, size});
  float *x = op.upload("x", elements({int64_t(rows.size()), size})), *y = op.upload("y", count);
  op.run([&] { return op.backend->scatter_add_rows(op.context, x, size, rows.data(), int32_t(rows.size()), y); });
  op.give("y", y, count);
}

static void swiglu(operator_call& op) {
  int64_t count = op.integer("count", 0, max_int32);
  float *gate = op.upload("gate", count), *up = op.upload("up", count), *y = op.room(elements({count}));
  op.run([&] { return op.backend->swiglu(op.context, gate, up, count, y); });
  op.give("y", y, count);
}

static void swiglu_backward(operator_call& op) {
  int64_t count = op.integer("count", 0, max_int32);
  float *gate = op.upload("gate", count), *up = op.upload("up", count), *dy = op.upload("dy", count);
  float *dgate = op.room(elements({count})), *dup = op.room(count);
  op.run([&] { return op.backend->swiglu_backward(op.context, gate, up, dy, count, dgate, dup); });
  op.give("dgate", dgate, count);
  op.give("dup", dup, count);
}

const std::vector<named_operator> row_operators = {
    {"embed", embed},
    {"rms_norm", rms_norm},
    {"rms_norm_backward", rms_norm_backward},
    {"scale_rows", scale_rows},
    {"rope", rope},
    {"rope_write", rope_write},
    {"gather_rows", gather_rows},
    {"scatter_add_rows", scatter_add_rows},
    {"swiglu", swiglu},
    {"swiglu_backward", swiglu_backward},
};

}  // namespace t2::binding
