// What a decomposition is worth, measured on its fp32 factors, and the rule for signs. Orthogonality is the whole of UᵀU and V Vᵀ, in fp32
// (the rounding, about 3e-7, is part of the number): a tenth of the decomposition's time. The residual is estimated in fp64. Any thread.
#include <algorithm>
#include <cmath>

#include "blas.h"
#include "svd_parts.h"

namespace t2::svd {

/// Sums of this many products at a time keep the rounding of fp32 small.
static constexpr int depth = 128;
static constexpr int probes = 32;

double orthogonality(const float* m, int n, int k, bool columns, const team& team) {
  const pieces tiles = even(n, 256), sums{k, depth};
  const int count = tiles.count(), tasks = count * (count + 1) / 2;
  std::vector<float> worst(tasks);
  team.run(tasks, [&](int task) {
    auto [i, j] = pair_of(task, count);
    const int height = tiles.length(i), width = tiles.length(j);
    std::vector<float> g(size_t(height) * width);
    for (int s = 0; s < sums.count(); s++) {
      team.cancel();
      auto at = [&](int t) {
        return m + (columns ? size_t(sums.begin(s)) * n + tiles.begin(t) : size_t(tiles.begin(t)) * k + sums.begin(s));
      };
      const int ld = columns ? n : k;
      const float keep = s ? 1 : 0;
      if (i == j) {
        blas::cblas_ssyrk(blas::CblasRowMajor, blas::CblasUpper, columns ? blas::CblasTrans : blas::CblasNoTrans, height, sums.length(s), 1,
                          at(i), ld, keep, g.data(), width);
      } else {
        blas::sgemm(columns, !columns, height, width, sums.length(s), 1, at(i), ld, at(j), ld, keep, g.data(), width);
      }
    }
    float largest = 0;
    for (int y = 0; y < height; y++)
      for (int x = i == j ? y : 0; x < width; x++) {
        float d = std::fabs(g[size_t(y) * width + x] - (i == j && x == y ? 1.f : 0.f));
        largest = d > largest || d != d ? d : largest;
      }
    worst[task] = largest;
  });
  return *std::max_element(worst.begin(), worst.end());
}

/// m x for m [rows, cols] and x [cols, probes], in fp64.
static std::vector<double> times(const float* m, int rows, int cols, const std::vector<double>& x, const team& team) {
  std::vector<double> y(size_t(rows) * probes);
  const pieces strips{rows, 64};
  team.run(strips.count(), [&](int task) {
    const size_t from = size_t(strips.begin(task)) * cols, count = size_t(strips.length(task)) * cols;
    const std::vector<double> wide(m + from, m + from + count);
    blas::dgemm(false, false, strips.length(task), probes, cols, 1, wide.data(), cols, x.data(), probes, 0,
                y.data() + size_t(strips.begin(task)) * probes, probes);
  });
  return y;
}

/// ‖W − U S Vh‖F / ‖W‖F. For x of independent random signs the expectation of ‖E x‖² is ‖E‖F²; over 32 of them the root of the mean is
/// right to 12 per cent at one standard deviation or better, whatever E is, at a small part of the cost of the whole product.
static double residual(const problem& p, const factors& f, const team& team) {
  std::vector<double> x(size_t(p.cols) * probes);
  uint64_t state = 1;
  for (double& sign : x) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    sign = state >> 63 ? 1 : -1;
  }
  const std::vector<double> exact = times(p.w, p.rows, p.cols, x, team);
  std::vector<double> y = times(f.vh.data(), p.r(), p.cols, x, team);
  for (int i = 0; i < p.r(); i++)
    for (int j = 0; j < probes; j++) y[size_t(i) * probes + j] *= f.sigma[i];
  y = times(f.u.data(), p.rows, p.r(), y, team);
  double difference = 0, whole = 0;
  for (size_t i = 0; i < y.size(); i++) difference += (exact[i] - y[i]) * (exact[i] - y[i]);
  for (size_t i = 0; i < size_t(p.rows) * p.cols; i++) whole += double(p.w[i]) * p.w[i];
  return std::sqrt(whole > 0 ? difference / probes / whole : difference / probes);
}

quality measure(const problem& p, const factors& f, const team& team) {
  quality q;
  q.residual = residual(p, f, team);
  const bool known_u = f.long_orthogonality >= 0 && !p.wide(), known_v = f.long_orthogonality >= 0 && p.wide();
  q.orthogonality_u = known_u ? f.long_orthogonality : orthogonality(f.u.data(), p.r(), p.rows, true, team);
  q.orthogonality_v = known_v ? f.long_orthogonality : orthogonality(f.vh.data(), p.r(), p.cols, false, team);
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
