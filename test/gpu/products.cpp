// Products with stored matrices: linear, its input gradient, the gradient of z, the merge.
#include "gpu.h"

namespace t2::gpu {
namespace {

using doubles = std::vector<double>;

std::string shape(dtype type, int n, int m, int k) {
  return std::string(" ") + name_of(type) + " " + std::to_string(n) + " × " + std::to_string(k) + " → " + std::to_string(m);
}

void linears(const device& d, results& r) {
  random g(11);
  for (dtype type : all_types)
    for (auto [m, k] : {std::pair{1, 1}, {5, 7}, {33, 65}, {130, 200}, {320, 577}, {512, 1024}})
      for (int n : {1, 2, 3, 8, 9, 17, 131}) {
        stored w(d, g, m, k, type), w1(d, g, 7, k, type);
        const int x_stride = k + 3, y_stride = m + 5;
        auto x = g.floats(size_t(n) * size_t(x_stride)), bias = g.floats(size_t(m)), y1 = g.floats(size_t(n) * 7);
        array<float> dev_x(d, x), y(d, std::vector<float>(size_t(n) * size_t(y_stride), 0.f)), dev_bias(d, bias), dev_y1(d, y1);
        t2_linear items[] = {{w.m, y, y_stride, dev_bias, 0}, {w1.m, dev_y1, 7, nullptr, 1}};
        d.ok(d.t->linear(d.c, dev_x, x_stride, n, items, 2), "linear");
        doubles want(y.size()), want1(y1.begin(), y1.end());
        for (int i = 0; i < n; i++) {
          const float* row = x.data() + size_t(i) * size_t(x_stride);
          for (int j = 0; j < m; j++) {
            double sum = bias[size_t(j)];
            for (int l = 0; l < k; l++) sum += rounded(row[l], type) * w(j, l);
            want[size_t(i) * size_t(y_stride) + size_t(j)] = sum;
          }
          for (int j = 0; j < 7; j++)
            for (int l = 0; l < k; l++) want1[size_t(i * 7 + j)] += rounded(row[l], type) * w1(j, l);
        }
        r.check("linear" + shape(type, n, m, k), y.get(), want, 1e-5);
        r.check("linear, added" + shape(type, n, 7, k), dev_y1.get(), want1, 1e-5);
      }
}

void gradients(const device& d, results& r) {
  random g(12);
  for (dtype type : all_types)
    for (auto [m, k] : {std::pair{5, 7}, {33, 65}, {200, 130}, {577, 320}})
      for (int n : {1, 8, 33, 131}) {
        stored w(d, g, m, k, type);
        auto gy = g.floats(size_t(n) * size_t(m)), before = g.floats(size_t(n) * size_t(k));
        array<float> dev_g(d, gy), dx(d, before);
        d.ok(d.t->linear_backward(d.c, dev_g, m, n, &w.m, dx, k, 1), "linear_backward");
        doubles want(before.begin(), before.end());
        for (int i = 0; i < n; i++)
          for (int j = 0; j < m; j++)
            for (int l = 0; l < k; l++)
              want[size_t(i) * size_t(k) + size_t(l)] += rounded(gy[size_t(i) * size_t(m) + size_t(j)], type) * w(j, l);
        r.check("linear_backward" + shape(type, n, k, m), dx.get(), want, 1e-5);

        const int rank = std::min(m, k);
        stored u(d, g, m, rank, type, 0.2f), vh(d, g, rank, k, type, 0.2f);
        auto x = g.floats(size_t(n) * size_t(k));
        array<float> dev_x(d, x);
        array<double> q(d, doubles(size_t(rank), 0.5));
        d.ok(d.t->z_gradient(d.c, dev_g, m, dev_x, k, n, &u.m, &vh.m, q), "z_gradient");
        doubles sums(size_t(rank), 0.5);
        for (int i = 0; i < rank; i++)
          for (int t = 0; t < n; t++) {
            double a = 0, b = 0;
            for (int j = 0; j < m; j++) a += gy[size_t(t) * size_t(m) + size_t(j)] * u(j, i);
            for (int l = 0; l < k; l++) b += x[size_t(t) * size_t(k) + size_t(l)] * vh(i, l);
            sums[size_t(i)] += a * b;
          }
        auto got = q.get();
        // with 16-bit factors g and x are rounded as well
        double tolerance = type == dtype::f32 ? 1e-5 : type == dtype::f16 ? 3e-3 : 2e-2;
        r.check("z_gradient" + shape(type, n, m, k), std::vector<float>(got.begin(), got.end()), sums, tolerance);
      }
}

void merges(const device& d, results& r) {
  random g(13);
  for (dtype type : all_types)
    for (auto [m, k] : {std::pair{1, 1}, {5, 7}, {65, 33}, {130, 200}, {320, 320}}) {
      const int rank = std::min(m, k);
      const dtype factors = type == dtype::f32 ? dtype::f32 : dtype::f16;
      stored w(d, g, m, k, type), u(d, g, m, rank, factors, 0.2f), vh(d, g, rank, k, factors, 0.2f);
      auto s = g.floats(size_t(rank), 0.3f);
      array<float> dev_s(d, s), zeros(d, std::vector<float>(size_t(rank), 0.f));
      array<uint8_t> out(d, w.data.size());
      d.ok(d.t->merge(d.c, &w.m, &u.m, &vh.m, zeros, out, int(type)), "merge");
      r.check("merge: s = 0 gives the bits of w" + shape(type, rank, m, k), out.get() == w.data.get() ? 0 : 1, 0);
      d.ok(d.t->merge(d.c, &w.m, &u.m, &vh.m, dev_s, out, int(type)), "merge");
      array<float> wide(d, w.values.size());
      d.ok(d.t->cast(d.c, out, int(type), int64_t(w.values.size()), wide, 0), "cast");
      doubles want;
      for (int i = 0; i < m; i++)
        for (int j = 0; j < k; j++) {
          double sum = w(i, j);
          for (int l = 0; l < rank; l++) sum += u(i, l) * s[size_t(l)] * vh(l, j);
          want.push_back(sum);
        }
      r.check("merge" + shape(type, rank, m, k), wide.get(), want, type == dtype::f32 ? 1e-5 : type == dtype::f16 ? 1e-3 : 6e-3);
    }
}

}  // namespace

void check_products(const device& d, results& r) {
  r.group("linear", [&] { linears(d, r); });
  r.group("gradients", [&] { gradients(d, r); });
  r.group("merge", [&] { merges(d, r); });
}

}  // namespace t2::gpu
