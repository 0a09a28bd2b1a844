// Dense products over cuBLASLt. It thinks in columns: a row-major array is its own transpose there, so D = A B is asked for as Dᵀ = Bᵀ Aᵀ.
#include "gemm.h"

#include <algorithm>

namespace t2::cuda {
namespace {

int size_of(element e) { return e == element::f64 ? 8 : e == element::f32 ? 4 : 2; }

int lt_type(element e) {
  return e == element::f64 ? lt_real_64f : e == element::f32 ? lt_real_32f : e == element::f16 ? lt_real_16f : lt_real_16bf;
}

/// The power of two that the address is a multiple of, as far as an algorithm may care.
uint32_t alignment_of(const void* p) {
  const uintptr_t a = reinterpret_cast<uintptr_t>(p) | 256;
  return uint32_t(a & -a);
}

template <class H>
struct owned {
  int (*destroy)(H);
  H handle = nullptr;
  explicit owned(int (*d)(H)) : destroy(d) {}
  owned(const owned&) = delete;
  ~owned() {
    if (handle) destroy(handle);
  }
};

/// One array as cuBLASLt sees it: its `rows` are our row length.
struct columns {
  int64_t rows, cols, stride;
  columns(int64_t our_rows, int64_t our_cols, int64_t our_stride)
      // a single row may be followed by less than its own length
      : rows(our_cols), cols(our_rows), stride(std::max(our_stride, our_cols)) {}
};

struct request {
  int m, n, k;
  operand a, b;
  const void* c;
  void* d;
  element d_type;
  int64_t c_stride, d_stride;
  bool adds;
  size_t workspace_bytes;

  std::array<int64_t, 16> key() const {
    auto aligned = [](const void* p, int at) { return int64_t(alignment_of(p)) << at; };
    return {m,
            n,
            k,
            int64_t(a.type),
            int64_t(b.type),
            int64_t(d_type),
            a.transposed,
            b.transposed,
            a.stride,
            b.stride,
            c_stride,
            d_stride,
            adds,
            d == c,
            int64_t(workspace_bytes),
            aligned(a.data, 0) | aligned(b.data, 12) | aligned(c, 24) | aligned(d, 36)};
  }

  std::string text() const {
    return std::to_string(m) + " x " + std::to_string(k) + " by " + std::to_string(k) + " x " + std::to_string(n) + " of " +
           std::to_string(size_of(a.type)) + "-byte elements";
  }
};

/// An error of the library; a device that is lost shows behind it.
int failed(t2_context* c, const char* what, int status, const request& r) {
  T2_CUDA(cudaGetLastError());
  return c->fail(T2_ERROR_DEVICE, std::string(what) + " failed with status " + std::to_string(status) + " for a product of " + r.text());
}

struct layouts {
  owned<lt_layout> a, b, c, d;
  explicit layouts(const lt_table& lt) : a(lt.layout_destroy), b(lt.layout_destroy), c(lt.layout_destroy), d(lt.layout_destroy) {}
};

int choose(t2_context* c, const request& r, lt_matmul_desc desc, const layouts& l, lt_algo* algo) {
  std::lock_guard lock(c->libraries.algorithms_mutex);
  auto& known = c->libraries.algorithms;
  const auto key = r.key();
  if (auto it = known.find(key); it != known.end()) {
    *algo = it->second;
    return T2_OK;
  }
  const lt_table& lt = c->libraries.lt;
  owned<lt_preference> preference(lt.preference_destroy);
  if (int status = lt.preference_create(&preference.handle)) return failed(c, "cublasLtMatmulPreferenceCreate", status, r);
  auto set = [&](int attribute, const auto& value) { return lt.preference_set(preference.handle, attribute, &value, sizeof value); };
  int status = set(lt_preference_max_workspace, r.workspace_bytes);
  // partial sums of a product that is split over k stay in fp32 whatever the result is
  if (!status) status = set(lt_preference_reduction_schemes, uint32_t(lt_reduction_compute_type));
  if (!status) status = set(lt_preference_alignment_a, alignment_of(r.b.data));
  if (!status) status = set(lt_preference_alignment_b, alignment_of(r.a.data));
  if (!status) status = set(lt_preference_alignment_c, alignment_of(r.c));
  if (!status) status = set(lt_preference_alignment_d, alignment_of(r.d));
  if (status) return failed(c, "cublasLtMatmulPreferenceSetAttribute", status, r);
  lt_heuristic best{};
  int found = 0;
  status = lt.heuristic(c->libraries.lt_context, desc, l.b.handle, l.a.handle, l.c.handle, l.d.handle, preference.handle, 1, &best, &found);
  if (status || !found || best.state)
    return failed(c, "cublasLtMatmulAlgoGetHeuristic", status ? status : found ? best.state : 15 /* not supported */, r);
  *algo = known[key] = best.algo;
  return T2_OK;
}

}  // namespace

int gemm_on(t2_context* c, cudaStream_t stream, void* workspace, size_t workspace_bytes, int m, int n, int k, double alpha, operand a,
            operand b, double beta, void* d, element d_type, int64_t d_stride, const void* c_in, int64_t c_stride) {
  if (c->lost) return T2_ERROR_LOST;
  if (m <= 0 || n <= 0) return T2_OK;
  if (!c_in) {
    c_in = d;
    c_stride = d_stride;
  }
  const request r{m, n, k, a, b, c_in, d, d_type, c_stride, d_stride, beta != 0, workspace_bytes};
  const lt_table& lt = c->libraries.lt;
  const bool wide = a.type == element::f64;

  owned<lt_matmul_desc> desc(lt.desc_destroy);
  int status = lt.desc_create(&desc.handle, wide ? lt_compute_64f : lt_compute_32f, wide ? lt_real_64f : lt_real_32f);
  const int32_t first = b.transposed ? lt_op_t : lt_op_n, second = a.transposed ? lt_op_t : lt_op_n;
  if (!status) status = lt.desc_set(desc.handle, lt_desc_transa, &first, sizeof first);
  if (!status) status = lt.desc_set(desc.handle, lt_desc_transb, &second, sizeof second);
  if (status) return failed(c, "cublasLtMatmulDescCreate", status, r);

  layouts l(lt);
  auto create = [&](owned<lt_layout>& layout, element type, columns shape) {
    return lt.layout_create(&layout.handle, lt_type(type), uint64_t(shape.rows), uint64_t(shape.cols), shape.stride);
  };
  status = create(l.a, a.type, a.transposed ? columns(k, m, a.stride) : columns(m, k, a.stride));
  if (!status) status = create(l.b, b.type, b.transposed ? columns(n, k, b.stride) : columns(k, n, b.stride));
  if (!status) status = create(l.c, d_type, columns(m, n, c_stride));
  if (!status) status = create(l.d, d_type, columns(m, n, d_stride));
  if (status) return failed(c, "cublasLtMatrixLayoutCreate", status, r);

  lt_algo algo;
  T2_TRY(choose(c, r, desc.handle, l, &algo));
  const float alpha_f = float(alpha), beta_f = float(beta);
  const void *alpha_p = wide ? static_cast<const void*>(&alpha) : &alpha_f, *beta_p = wide ? static_cast<const void*>(&beta) : &beta_f;
  status = lt.matmul(c->libraries.lt_context, desc.handle, alpha_p, b.data, l.b.handle, a.data, l.a.handle, beta_p, c_in, l.c.handle, d,
                     l.d.handle, &algo, workspace, workspace_bytes, stream);
  return status ? failed(c, "cublasLtMatmul", status, r) : T2_OK;
}

int gemm(t2_context* c, int m, int n, int k, double alpha, operand a, operand b, double beta, void* d, element d_type, int64_t d_stride,
         const void* c_in, int64_t c_stride) {
  if (c->lost) return T2_ERROR_LOST;
  const size_t bytes = size_t(c->capability >= 90 ? 32 : 4) << 20;
  void* workspace = c->scratch(scratch_gemm_workspace, bytes);
  if (!workspace) return c->fail(T2_ERROR_MEMORY, "no device memory for the workspace of products");
  if (c->graphs.active()) {
    graph_hash h;
    auto add = [&](const auto&... values) { (h.add(values), ...); };
    add(m, n, k, alpha, beta, a.data, a.type, a.stride, a.transposed, b.data, b.type, b.stride, b.transposed);
    add(d, d_type, d_stride, c_in, c_stride, workspace);
    if (!c->graphs.record(h)) return T2_OK;
  }
  return gemm_on(c, c->stream, workspace, bytes, m, n, k, alpha, a, b, beta, d, d_type, d_stride, c_in, c_stride);
}

}  // namespace t2::cuda
