// Single operators with stored matrices: linear and its input gradient, the gradient of z, merge, and the decomposition.
#include <algorithm>
#include <cstring>

#include "../core/decompose.h"
#include "operators.h"
#include "t2/dtype.h"
#include "t2/svd.h"

namespace t2::binding {

/// Values stored in `type` as fp32 (exact).
static std::vector<float> widened(const std::vector<uint8_t>& bytes, dtype type) {
  std::vector<float> out(bytes.size() / size_t(size_of(type)));
  for (size_t i = 0; i < out.size(); i++) {
    if (type == dtype::f32) {
      std::memcpy(&out[i], bytes.data() + i * 4, 4);
      continue;
    }
    uint16_t half;
    std::memcpy(&half, bytes.data() + i * 2, 2);
    out[i] = type == dtype::f16 ? f16_to_f32(half) : bf16_to_f32(half);
  }
  return out;
}

/// x [n, x_stride]; matrices w, w1, w2, … with outputs y, y1, y2, …; bias, bias1, …; an input y is accumulated to.
static void linear(operator_call& op) {
  int n = op.integer("n", 0, max_int32);
  std::vector<t2_linear> items;
  std::vector<std::string> names;
  std::vector<int64_t> counts;
  for (int i = 0;; i++) {
    std::string suffix = i ? std::to_string(i) : "", w = "w" + suffix, y = "y" + suffix;
    if (i && !op.has(w.c_str())) break;
    t2_linear item{};
    item.w = op.matrix(w);
    if (i && item.w.cols != items[0].w.cols) op.input((w + "_cols").c_str()).reject("the same for all matrices");
    item.y_stride = op.integer_or((y + "_stride").c_str(), item.w.rows, max_int32, item.w.rows);
    item.bias = op.upload_or_null(("bias" + suffix).c_str(), item.w.rows);
    item.accumulate = op.has(y.c_str());
    counts.push_back(elements({n, item.y_stride}));
    item.y = item.accumulate ? op.upload(y.c_str(), counts.back()) : op.room(counts.back());
    items.push_back(item);
    names.push_back(y);
  }
  int64_t x_stride = op.integer_or("x_stride", items[0].w.cols, max_int32, items[0].w.cols);
  float* x = op.upload("x", elements({n, x_stride}));
  op.run([&] { return op.backend->linear(op.context, x, x_stride, n, items.data(), int32_t(items.size())); });
  for (size_t i = 0; i < items.size(); i++) op.give(names[i].c_str(), items[i].y, counts[i]);
}

static void linear_backward(operator_call& op) {
  int n = op.integer("n", 0, max_int32);
  t2_matrix w = op.matrix("w");
  int64_t g_stride = op.integer_or("g_stride", w.rows, max_int32, w.rows),
          dx_stride = op.integer_or("dx_stride", w.cols, max_int32, w.cols);
  float* g = op.upload("g", elements({n, g_stride}));
  int64_t count = elements({n, dx_stride});
  bool accumulate = op.has("dx");
  float* dx = accumulate ? op.upload("dx", count) : op.room(count);
  op.run([&] { return op.backend->linear_backward(op.context, g, g_stride, n, &w, dx, dx_stride, accumulate); });
  op.give("dx", dx, count);
}

static void z_gradient(operator_call& op) {
  int n = op.integer("n", 0, max_int32);
  t2_matrix u = op.matrix("u"), vh = op.matrix("vh");
  if (vh.rows != u.cols) op.input("vh_rows").reject("u_cols");
  int64_t g_stride = op.integer_or("g_stride", u.rows, max_int32, u.rows),
          x_stride = op.integer_or("x_stride", vh.cols, max_int32, vh.cols);
  float *g = op.upload("g", elements({n, g_stride})), *x = op.upload("x", elements({n, x_stride}));
  std::vector<double> q(size_t(u.cols), 0.);
  if (op.has("q")) {
    std::vector<float> begin = op.floats("q", u.cols);
    q.assign(begin.begin(), begin.end());
  }
  double* sums = static_cast<double*>(op.store(q.data(), q.size() * 8));
  op.run([&] { return op.backend->z_gradient(op.context, g, g_stride, x, x_stride, n, &u, &vh, sums); });
  op.check(op.backend->download(op.context, q.data(), sums, q.size() * 8));
  op.give("q", q);
}

/// `out` comes back as fp32 whatever out_dtype is; the conversion is exact.
static void merge(operator_call& op) {
  t2_matrix w = op.matrix("w"), u = op.matrix("u"), vh = op.matrix("vh");
  if (u.rows != w.rows) op.input("u_rows").reject("w_rows");
  if (vh.rows != u.cols) op.input("vh_rows").reject("u_cols");
  if (vh.cols != w.cols) op.input("vh_cols").reject("w_cols");
  float* s = op.upload("s", u.cols);
  dtype type = dtype(op.integer_or("out_dtype", 0, 2, w.dtype));
  int64_t count = elements({w.rows, w.cols});
  void* out = op.room(count);
  op.run([&] { return op.backend->merge(op.context, &w, &u, &vh, s, out, int32_t(type)); });
  std::vector<uint8_t> bytes(size_t(count * size_of(type)));
  op.check(op.backend->download(op.context, bytes.data(), out, bytes.size()));
  op.give("out", widened(bytes, type));
}

/// t2::decompose, or the device's own. dtype 0: F32, 1: F16; driver as svd_driver. u and vh come back as fp32; driver as svd_driver too, 0:
/// gram+newton-schulz. `copies`: so many of them in one call of the device, the last of which comes back.
static void svd(operator_call& op) {
  t2_matrix w = op.host_matrix("w");
  dtype type = dtype(op.integer_or("dtype", 0, 1, 0));
  svd_driver driver = svd_driver(op.integer_or("driver", 0, int(svd_driver::gesvdp), 0));
  svd_result r;
  op.run([&] {
    if (op.backend->svd) {
      const std::vector<t2_matrix> copies(size_t(op.integer_or("copies", 1, 64, 1)), w);
      decompose_on(op.backend, op.context, copies, type, driver, cancel_check{}, [&](size_t, svd_result&& one) { r = std::move(one); });
    } else {
      r = decompose(w, type, driver, op.integer_or("threads", 1, 256, 1), cancel_check{});
    }
    return 0;
  });
  op.give("u", widened(r.u, r.type));
  op.give("vh", widened(r.vh, r.type));
  op.give("sigma", r.sigma);
  op.give("rank", r.rank);
  op.give("residual", r.residual);
  op.give("orthogonality_u", r.orthogonality_u);
  op.give("orthogonality_v", r.orthogonality_v);
  const std::vector<std::string> drivers = {"gram+newton-schulz", "gram", "gesdd", "gesvd", "gesvdj", "gesvdp"};
  op.give("driver", double(std::find(drivers.begin(), drivers.end(), r.driver) - drivers.begin()));
}

const std::vector<named_operator> matrix_operators = {
    {"linear", linear}, {"linear_backward", linear_backward}, {"z_gradient", z_gradient}, {"merge", merge}, {"svd", svd},
};

}  // namespace t2::binding
