// What a decomposition is worth, measured on its fp32 factors with fp32 products and fp64 sums (their rounding, 1e-7 to 3e-7, is part of
// the numbers), and the rule for signs. The three products cost about a fifth of the decomposition. Any thread.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "blas.h"
#include "svd_parts.h"

namespace t2::svd {

/// Sums of this many products at a time keep the rounding of fp32 small.
static constexpr int depth = 128;

double orthogonality(const float* m, int n, int k, bool columns, const team& team) {
  const pieces tiles = even(n, 256), sums{k, depth};
  const int count = tiles.count(), tasks = count * (count + 1) / 2;
  std::vector<float> worst(tasks);
  team.run(tasks, [&](int task) {
    auto [i, j] = pair_of(task, count);
    const int height = tiles.length(i), width = tiles.length(j);
    std::vector<float> g(size_t(height) * width);
    for (int s = 0; s < sums.count(); s++) {
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

static double residual(const problem& p, const factors& f, const team& team) {
  const int r = p.r();
  const pieces strips = slices(p.rows, 1.0 * r * p.cols);
  std::vector<double> difference(strips.count()), whole(strips.count());
  team.run(strips.count(), [&](int task) {
    const int at = strips.begin(task), height = strips.length(task);
    const size_t count = size_t(height) * p.cols;
    const float* w = p.w + size_t(at) * p.cols;
    std::vector<float> us(size_t(height) * r), rest(w, w + count);
    for (int i = 0; i < height; i++)
      for (int j = 0; j < r; j++) us[size_t(i) * r + j] = f.u[size_t(at + i) * r + j] * f.sigma[j];
    for (int k = 0; k < r; k += depth)  // the largest singular values first: what is left, and with it the rounding, shrinks
      blas::sgemm(false, false, height, p.cols, std::min(depth, r - k), -1, us.data() + k, r, f.vh.data() + size_t(k) * p.cols, p.cols, 1,
                  rest.data(), p.cols);
    for (size_t i = 0; i < count; i++) {
      difference[task] += double(rest[i]) * rest[i];
      whole[task] += double(w[i]) * w[i];
    }
  });
  const double d = std::accumulate(difference.begin(), difference.end(), 0.0), norm = std::accumulate(whole.begin(), whole.end(), 0.0);
  return std::sqrt(norm > 0 ? d / norm : d);
}

quality measure(const problem& p, const factors& f, const team& team) {
  quality q;
  q.residual = residual(p, f, team);
  q.orthogonality_u = orthogonality(f.u.data(), p.r(), p.rows, true, team);
  q.orthogonality_v = orthogonality(f.vh.data(), p.r(), p.cols, false, team);
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
