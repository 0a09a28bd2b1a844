// What a decomposition is worth, measured on its fp32 factors with fp32 products and fp64 sums (their rounding, 1e-7 to 3e-7, is part of
// the numbers), and the rule for signs. The three products cost about a fifth of the decomposition. Any thread.
#include <algorithm>
#include <cmath>

#include "blas.h"
#include "svd_parts.h"

namespace t2::svd {

int panel(int64_t total, double flops_per_column) {
  // 0.4 GFLOP: 10 ms of fp64 on one core of a server. Products narrower than 48 lose speed.
  return int(std::min<int64_t>(total, std::clamp<int64_t>(int64_t(0.4e9 / flops_per_column) / 16 * 16, 48, 512)));
}

/// Sums of this many products at a time keep the rounding of fp32 small.
static constexpr int depth = 128;

double orthogonality(const float* m, int n, int k, bool columns, const cancel_check& cancel) {
  const int step = std::min(panel(k, double(n) * n), depth);
  std::vector<float> g(size_t(n) * n);
  for (int at = 0; at < k; at += step) {
    cancel();
    blas::cblas_ssyrk(blas::CblasRowMajor, blas::CblasUpper, columns ? blas::CblasTrans : blas::CblasNoTrans, n, std::min(step, k - at), 1,
                      m + (columns ? size_t(at) * n : size_t(at)), columns ? n : k, at ? 1 : 0, g.data(), n);
  }
  float worst = 0;
  for (int i = 0; i < n; i++) {
    g[size_t(i) * n + i] -= 1;
    for (int j = i; j < n; j++) {
      float x = std::fabs(g[size_t(i) * n + j]);
      worst = x > worst || x != x ? x : worst;
    }
  }
  return worst;
}

quality measure(const problem& p, const factors& f, const cancel_check& cancel) {
  const int r = p.r(), step = panel(p.rows, 1.0 * r * p.cols);
  std::vector<float> us(size_t(step) * r), rest(size_t(step) * p.cols);
  double difference = 0, whole = 0;
  for (int at = 0; at < p.rows; at += step) {
    cancel();
    int height = std::min(step, p.rows - at);
    for (int i = 0; i < height; i++)
      for (int j = 0; j < r; j++) us[size_t(i) * r + j] = f.u[size_t(at + i) * r + j] * f.sigma[j];
    const float* w = p.w + size_t(at) * p.cols;
    const size_t count = size_t(height) * p.cols;
    std::copy_n(w, count, rest.data());
    for (int k = 0; k < r; k += depth)  // the largest singular values first: what is left, and with it the rounding, shrinks
      blas::sgemm(false, false, height, p.cols, std::min(depth, r - k), -1, us.data() + k, r, f.vh.data() + size_t(k) * p.cols, p.cols, 1,
                  rest.data(), p.cols);
    for (size_t i = 0; i < count; i++) {
      difference += double(rest[i]) * rest[i];
      whole += double(w[i]) * w[i];
    }
  }
  quality q;
  q.residual = whole > 0 ? std::sqrt(difference / whole) : std::sqrt(difference);
  q.orthogonality_u = orthogonality(f.u.data(), r, p.rows, true, cancel);
  q.orthogonality_v = orthogonality(f.vh.data(), r, p.cols, false, cancel);
  return q;
}

void fix_signs(const problem& p, factors& f) {
  const int r = p.r();
  std::vector<float> largest(r, 0.f), sign(r, 1.f);
  for (int i = 0; i < p.rows; i++)
    for (int j = 0; j < r; j++) {
      float x = f.u[size_t(i) * r + j];
      bool larger = std::fabs(x) > largest[j];
      largest[j] = larger ? std::fabs(x) : largest[j];
      sign[j] = larger ? std::copysign(1.f, x) : sign[j];
    }
  for (int i = 0; i < p.rows; i++)
    for (int j = 0; j < r; j++) f.u[size_t(i) * r + j] *= sign[j];
  for (int j = 0; j < r; j++)
    if (sign[j] < 0)
      for (int i = 0; i < p.cols; i++) f.vh[size_t(j) * p.cols + i] = -f.vh[size_t(j) * p.cols + i];
}

}  // namespace t2::svd
