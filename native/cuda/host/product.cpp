// Host emulation: a blocked product of matrices of any type that cuBLASLt is asked for.
#include "product.h"

#include <algorithm>
#include <vector>

namespace t2::cuda::host {
namespace {

// Panels of both operands are packed so that one small kernel with its sums in registers does all the work

constexpr int panel_m = 16, panel_n = 4;

template <class T>
struct lanes;
template <>
struct lanes<float> {
  typedef float type __attribute__((vector_size(panel_m * 4), aligned(4), may_alias));
};
template <>
struct lanes<double> {
  typedef double type __attribute__((vector_size(panel_m * 8), aligned(8), may_alias));
};

/// c[panel_n][panel_m] = Σ_p a[p][panel_m] · b[p][panel_n]
template <class T>
[[gnu::always_inline]] inline void multiply_panels(const T* a, const T* b, int64_t k, T* c) {
  using vector = typename lanes<T>::type;
  vector sum[panel_n] = {};
  for (int64_t p = 0; p < k; ++p) {
    const vector va = *reinterpret_cast<const vector*>(a + p * panel_m);
    for (int j = 0; j < panel_n; ++j) sum[j] += va * b[p * panel_n + j];
  }
  for (int j = 0; j < panel_n; ++j) *reinterpret_cast<vector*>(c + j * panel_m) = sum[j];
}

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define T2_CLONES __attribute__((target_clones("default", "arch=haswell", "arch=skylake-avx512")))
#else
#define T2_CLONES
#endif
T2_CLONES void multiply(const float* a, const float* b, int64_t k, float* c) { multiply_panels(a, b, k, c); }
T2_CLONES void multiply(const double* a, const double* b, int64_t k, double* c) { multiply_panels(a, b, k, c); }

template <class T>
T get(const matrix& m, int64_t row, int64_t col) {
  const int64_t at = m.transposed ? row * m.ld + col : col * m.ld + row;
  switch (m.type) {
    case lt_real_32f:
      return T(static_cast<const float*>(m.data)[at]);
    case lt_real_64f:
      return T(static_cast<const double*>(m.data)[at]);
    case lt_real_16f:
      return T(__half2float(static_cast<const __half*>(m.data)[at]));
    default:
      return T(__bfloat162float(static_cast<const __nv_bfloat16*>(m.data)[at]));
  }
}
template <class T>
void set(const matrix& m, int64_t row, int64_t col, T x) {
  const int64_t at = col * m.ld + row;
  switch (m.type) {
    case lt_real_32f:
      static_cast<float*>(m.data)[at] = float(x);
      break;
    case lt_real_64f:
      static_cast<double*>(m.data)[at] = double(x);
      break;
    case lt_real_16f:
      static_cast<__half*>(m.data)[at] = __float2half_rn(float(x));
      break;
    default:
      static_cast<__nv_bfloat16*>(m.data)[at] = __float2bfloat16_rn(float(x));
  }
}
/// The panels of `width` rows (of op(a)) or columns (of op(b)), each [k][width], zeros beyond the matrix.
template <class T, class Get>
std::vector<T> pack(int64_t count, int64_t k, int width, Get get) {
  const int64_t panels = (count + width - 1) / width;
  std::vector<T> packed(size_t(panels * k * width));
  for (int64_t panel = 0; panel < panels; ++panel) {
    T* to = packed.data() + panel * k * width;
    const int64_t used = std::min<int64_t>(width, count - panel * width);
    for (int64_t i = 0; i < used; ++i)
      for (int64_t p = 0; p < k; ++p) to[p * width + i] = get(panel * width + i, p);
  }
  return packed;
}

}  // namespace

size_t size_of(int type) {
  switch (type) {
    case lt_real_32f:
      return 4;
    case lt_real_64f:
      return 8;
    case lt_real_16f:
    case lt_real_16bf:
      return 2;
    default:
      return 0;
  }
}

template <class T>
void product(int64_t m, int64_t n, int64_t k, T alpha, const matrix& a, const matrix& b, T beta, const matrix& c, const matrix& d) {
  const auto pa = pack<T>(m, k, panel_m, [&](int64_t i, int64_t p) { return get<T>(a, i, p); });
  const auto pb = pack<T>(n, k, panel_n, [&](int64_t j, int64_t p) { return get<T>(b, p, j); });
  for (int64_t i = 0; i < m; i += panel_m)
    for (int64_t j = 0; j < n; j += panel_n) {
      T tile[panel_m * panel_n];
      multiply(pa.data() + i * k, pb.data() + j * k, k, tile);
      for (int64_t col = j; col < std::min(n, j + panel_n); ++col)
        for (int64_t row = i; row < std::min(m, i + panel_m); ++row) {
          const T x = alpha * tile[(col - j) * panel_m + row - i];
          set(d, row, col, beta == 0 ? x : x + beta * get<T>(c, row, col));
        }
    }
}

template void product(int64_t, int64_t, int64_t, float, const matrix&, const matrix&, float, const matrix&, const matrix&);
template void product(int64_t, int64_t, int64_t, double, const matrix&, const matrix&, double, const matrix&, const matrix&);

}  // namespace t2::cuda::host
