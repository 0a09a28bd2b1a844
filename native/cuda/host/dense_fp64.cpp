// Host emulation: Householder reduction with implicit QL for symmetric matrices, one-sided Jacobi for others.
#include "dense_fp64.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace t2::cuda::host {
namespace {

constexpr double epsilon = std::numeric_limits<double>::epsilon();

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define T2_CLONES __attribute__((target_clones("default", "arch=haswell", "arch=skylake-avx512")))
#else
#define T2_CLONES
#endif

constexpr int lanes = 8;
typedef double vector __attribute__((vector_size(lanes * 8), aligned(8), may_alias));

T2_CLONES double dot(const double* x, const double* y, int n) {
  vector sums = {};
  int i = 0;
  for (; i + lanes <= n; i += lanes) sums += *reinterpret_cast<const vector*>(x + i) * *reinterpret_cast<const vector*>(y + i);
  double sum = 0;
  for (int l = 0; l < lanes; ++l) sum += sums[l];
  for (; i < n; ++i) sum += x[i] * y[i];
  return sum;
}
/// z += a x + b y
T2_CLONES void add(double a, const double* x, double b, const double* y, double* z, int n) {
  int i = 0;
  for (; i + lanes <= n; i += lanes)
    *reinterpret_cast<vector*>(z + i) += a * *reinterpret_cast<const vector*>(x + i) + b * *reinterpret_cast<const vector*>(y + i);
  for (; i < n; ++i) z[i] += a * x[i] + b * y[i];
}
/// (x, y) = (c x − s y, s x + c y)
T2_CLONES void rotate(double c, double s, double* x, double* y, int n) {
  int i = 0;
  for (; i + lanes <= n; i += lanes) {
    vector &vx = *reinterpret_cast<vector*>(x + i), &vy = *reinterpret_cast<vector*>(y + i);
    const vector before = vx;
    vx = c * before - s * vy;
    vy = s * before + c * vy;
  }
  for (; i < n; ++i) {
    const double before = x[i];
    x[i] = c * before - s * y[i];
    y[i] = s * before + c * y[i];
  }
}

/// a = Q T Qᵀ with the diagonals d and e (e[i] beside d[i] and d[i + 1]); a becomes Q.
void tridiagonalise(int n, double* a, double* d, double* e) {
  auto column = [&](int j) { return a + size_t(j) * n; };
  for (int j = 0; j < n; ++j)
    for (int i = j + 1; i < n; ++i) column(i)[j] = column(j)[i];
  std::vector<std::vector<double>> reflectors(n);  // scaled so that H = I − v vᵀ; empty: none
  std::vector<double> w(n);
  for (int k = 0; k + 1 < n; ++k) {
    const int m = n - k - 1;
    double* x = column(k) + k + 1;
    d[k] = column(k)[k];
    const double below = dot(x + 1, x + 1, m - 1), length = std::sqrt(x[0] * x[0] + below);
    if (!(below > 0)) {
      e[k] = x[0];
      continue;
    }
    const double to = x[0] > 0 ? -length : length;
    std::vector<double>& v = reflectors[k];
    v.assign(x, x + m);
    v[0] -= to;
    const double scale = std::sqrt(2 / dot(v.data(), v.data(), m));
    for (double& value : v) value *= scale;
    e[k] = to;
    // H A H = A − v wᵀ − w vᵀ with p = A v, w = p − (pᵀv / 2) v
    std::fill_n(w.begin(), m, 0.0);
    for (int j = 0; j < m; ++j) add(v[j], column(k + 1 + j) + k + 1, 0, v.data(), w.data(), m);
    const double half = dot(w.data(), v.data(), m) / 2;
    add(-half, v.data(), 0, v.data(), w.data(), m);
    for (int j = 0; j < m; ++j) add(-w[j], v.data(), -v[j], w.data(), column(k + 1 + j) + k + 1, m);
  }
  d[n - 1] = column(n - 1)[n - 1];
  std::fill_n(a, size_t(n) * n, 0.0);
  for (int i = 0; i < n; ++i) column(i)[i] = 1;
  for (int k = n - 2; k >= 0; --k) {
    const auto& v = reflectors[k];
    const int m = int(v.size());
    for (int j = 0; j < m; ++j) {
      double* q = column(k + 1 + j) + k + 1;
      add(-dot(v.data(), q, m), v.data(), 0, v.data(), q, m);
    }
  }
}

/// Implicit QL on the tridiagonal matrix; q's columns take part in its rotations.
bool diagonalise(int n, double* d, std::vector<double>& e, double* q) {
  e.push_back(0);
  for (int l = 0; l < n; ++l)
    for (int turn = 0;; ++turn) {
      int m = l;
      while (m + 1 < n && std::fabs(e[m]) > epsilon * (std::fabs(d[m]) + std::fabs(d[m + 1])) &&
             std::fabs(e[m]) > std::numeric_limits<double>::min())
        ++m;
      if (m == l) break;
      if (turn == 60) return false;
      double g = (d[l + 1] - d[l]) / (2 * e[l]), r = std::hypot(g, 1.0);
      g = d[m] - d[l] + e[l] / (g + std::copysign(r, g));
      double s = 1, c = 1, p = 0;
      int i = m - 1;
      for (; i >= l; --i) {
        const double f = s * e[i], b = c * e[i];
        e[i + 1] = r = std::hypot(f, g);
        if (r == 0) {
          d[i + 1] -= p;
          e[m] = 0;
          break;
        }
        s = f / r;
        c = g / r;
        g = d[i + 1] - p;
        r = (d[i] - g) * s + 2 * c * b;
        p = s * r;
        d[i + 1] = g + p;
        g = c * r - b;
        rotate(c, s, q + size_t(i) * n, q + size_t(i + 1) * n, n);
      }
      if (r == 0 && i >= l) continue;
      d[l] -= p;
      e[l] = g;
      e[m] = 0;
    }
  return true;
}

/// Columns of from[n, count] in the given order.
std::vector<double> in_order(const double* from, int n, const std::vector<int>& order) {
  std::vector<double> to(size_t(n) * order.size());
  for (size_t j = 0; j < order.size(); ++j) std::copy_n(from + size_t(order[j]) * n, n, to.data() + j * n);
  return to;
}

/// Makes column j of u[m, ·] a unit vector that is orthogonal to the columns before it: of the unit vectors, the first that leaves enough.
void complete(int m, double* u, int j) {
  double* x = u + size_t(j) * m;
  for (int unit = 0; unit < m; ++unit) {
    std::fill_n(x, m, 0.0);
    x[unit] = 1;
    double length = 0;
    for (int pass = 0; pass < 3; ++pass) {
      for (int i = 0; i < j; ++i) add(-dot(u + size_t(i) * m, x, m), u + size_t(i) * m, 0, x, x, m);
      length = std::sqrt(dot(x, x, m));
      // A column of an orthonormal basis of the rest has an entry of this size for some unit vector.
      if (pass == 0 && length * length * m < 0.5) break;
      for (int i = 0; i < m; ++i) x[i] /= length;
    }
    if (length * length * m >= 0.5) return;
  }
}

}  // namespace

bool symmetric_eigenvectors(int n, double* a, double* w) {
  std::vector<double> e(n > 1 ? n - 1 : 0);
  tridiagonalise(n, a, w, e.data());
  if (!diagonalise(n, w, e, a)) return false;
  std::vector<int> order(n);
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int i, int j) { return w[i] < w[j]; });
  const auto sorted = in_order(a, n, order), values = in_order(w, 1, order);
  std::copy(sorted.begin(), sorted.end(), a);
  std::copy(values.begin(), values.end(), w);
  return true;
}

singular_vectors decompose(int m, int n, const double* a) {
  // Powers of two keep squares in range and change nothing else.
  double largest = 0;
  for (size_t i = 0; i < size_t(m) * n; ++i) largest = std::max(largest, std::fabs(a[i]));
  const int exponent = largest > 0 ? std::ilogb(largest) : 0;
  std::vector<double> u(a, a + size_t(m) * n), v(size_t(n) * n), s(n);
  for (double& x : u) x = std::scalbn(x, -exponent);
  for (int i = 0; i < n; ++i) v[size_t(i) * n + i] = 1;
  std::vector<double> squares(n);
  bool rotated = true;
  for (int sweep = 0; rotated && sweep < 60; ++sweep) {
    rotated = false;
    for (int j = 0; j < n; ++j) squares[j] = dot(&u[size_t(j) * m], &u[size_t(j) * m], m);
    // Columns this small are noise of the others: they are made anew below.
    const double nothing = *std::max_element(squares.begin(), squares.end()) * double(n) * n * epsilon * epsilon;
    for (int i = 0; i < n; ++i)
      for (int j = i + 1; j < n; ++j) {
        if (squares[i] <= nothing || squares[j] <= nothing) continue;
        double *x = &u[size_t(i) * m], *y = &u[size_t(j) * m];
        const double xy = dot(x, y, m);
        if (std::fabs(xy) <= epsilon * std::sqrt(m * squares[i] * squares[j])) continue;
        rotated = true;
        const double zeta = (squares[j] - squares[i]) / (2 * xy);
        const double t = std::copysign(1 / (std::fabs(zeta) + std::hypot(1.0, zeta)), zeta), c = 1 / std::hypot(1.0, t);
        rotate(c, c * t, x, y, m);
        rotate(c, c * t, &v[size_t(i) * n], &v[size_t(j) * n], n);
        squares[i] = dot(x, x, m);
        squares[j] = dot(y, y, m);
      }
  }
  for (int j = 0; j < n; ++j) s[j] = std::sqrt(dot(&u[size_t(j) * m], &u[size_t(j) * m], m));
  std::vector<int> order(n);
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int i, int j) { return s[i] > s[j]; });
  singular_vectors out{in_order(u.data(), m, order), in_order(s.data(), 1, order), in_order(v.data(), n, order)};
  for (int j = 0; j < n; ++j) {
    double* x = &out.u[size_t(j) * m];
    if (out.s[j] <= out.s[0] * n * epsilon) complete(m, out.u.data(), j);
    else
      for (int i = 0; i < m; ++i) x[i] /= out.s[j];
    out.s[j] = std::scalbn(out.s[j], exponent);
  }
  return out;
}

}  // namespace t2::cuda::host
