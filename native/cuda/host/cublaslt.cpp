// Host emulation: the functions of cuBLASLt that the backend uses. They mean what the library's own mean (column-major, types that go
// together, what an algorithm was chosen for) and refuse what it refuses or is free to; a refusal says why on stderr.
#include <algorithm>
#include <cstring>
#include <string>

#include "libraries.h"
#include "product.h"
#include "runtime.h"

namespace t2::cuda {

struct cublasLtContext {
  int unused = 0;
};
struct lt_matmul_desc_opaque {
  int compute, scale;
  int32_t op_a = lt_op_n, op_b = lt_op_n;
};
struct lt_layout_opaque {
  int type;
  uint64_t rows, cols;
  int64_t ld;
};
struct lt_preference_opaque {
  uint64_t workspace = 0;
  uint32_t alignment[4] = {256, 256, 256, 256};  // a, b, c, d
};

namespace host {
namespace {

enum { success = 0, invalid_value = 7, execution_failed = 13, not_supported = 15 };  // cublasStatus_t

int refuse(int status, const std::string& why) {
  report("cuBLASLt (host emulation): " + why);
  return status;
}

// What an algorithm is for. It stands in the opaque words of lt_algo

uint64_t alignment_of(uint64_t bytes) { return bytes ? std::min<uint64_t>(bytes & -bytes, 256) : 256; }

struct algorithm {
  uint64_t mark, m, n, k;
  uint8_t types[4], ops[2];
  uint16_t alignment[4];  // of pointers: a, b, c, d
  uint16_t ld_alignment[4];
  uint64_t workspace;
};
static_assert(sizeof(algorithm) <= sizeof(lt_algo));
constexpr uint64_t algorithm_mark = 0x7432'616c'676f'7269;

/// Checks that the layouts make a product that the library has; fills what an algorithm depends on.
int describe(lt_matmul_desc desc, const lt_layout_opaque* const (&layouts)[4], algorithm* out) {
  if (!desc) return refuse(invalid_value, "no matmul descriptor");
  for (auto layout : layouts)
    if (!layout) return refuse(invalid_value, "no layout");
  auto [a, b, c, d] = layouts;
  const bool ta = desc->op_a == lt_op_t, tb = desc->op_b == lt_op_t;
  const uint64_t m = ta ? a->cols : a->rows, k = ta ? a->rows : a->cols, n = tb ? b->rows : b->cols;
  if (k != (tb ? b->cols : b->rows) || m != d->rows || n != d->cols || c->rows != d->rows || c->cols != d->cols)
    return refuse(invalid_value, "layouts do not fit: op(a) is " + std::to_string(m) + " x " + std::to_string(k) + ", op(b) has " +
                                     std::to_string(n) + " columns, d is " + std::to_string(d->rows) + " x " + std::to_string(d->cols));
  if (!m || !n || !k) return refuse(invalid_value, "an empty matrix");
  const bool f64 = a->type == lt_real_64f;
  if (a->type != b->type || c->type != d->type || (d->type != a->type && (f64 || d->type != lt_real_32f)))
    return refuse(not_supported, "types do not go together: a " + std::to_string(a->type) + ", b " + std::to_string(b->type) + ", c " +
                                     std::to_string(c->type) + ", d " + std::to_string(d->type));
  if (desc->compute != (f64 ? lt_compute_64f : lt_compute_32f) || desc->scale != (f64 ? lt_real_64f : lt_real_32f))
    return refuse(not_supported, "compute type " + std::to_string(desc->compute) + ", scale type " + std::to_string(desc->scale));
  *out = {};
  out->mark = algorithm_mark;
  out->m = m;
  out->n = n;
  out->k = k;
  for (int i = 0; i < 4; ++i) {
    out->types[i] = uint8_t(layouts[i]->type);
    out->ld_alignment[i] = uint16_t(alignment_of(uint64_t(layouts[i]->ld) * size_of(layouts[i]->type)));
  }
  out->ops[0] = ta;
  out->ops[1] = tb;
  return success;
}

// The functions

int create(lt_handle* handle) {
  *handle = new cublasLtContext;
  return success;
}
int destroy(lt_handle handle) {
  delete handle;
  return success;
}
size_t version() { return 130000; }

int desc_create(lt_matmul_desc* desc, int compute, int scale) {
  if (compute != lt_compute_32f && compute != lt_compute_64f) return refuse(invalid_value, "compute type " + std::to_string(compute));
  *desc = new lt_matmul_desc_opaque{compute, scale};
  return success;
}
int desc_destroy(lt_matmul_desc desc) {
  delete desc;
  return success;
}
int desc_set(lt_matmul_desc desc, int attribute, const void* value, size_t size) {
  int32_t op = -1;
  if (!desc || !value || size != sizeof op) return refuse(invalid_value, "a descriptor's attribute has 4 bytes");
  std::memcpy(&op, value, sizeof op);
  if ((attribute != lt_desc_transa && attribute != lt_desc_transb) || (op != lt_op_n && op != lt_op_t))
    return refuse(invalid_value, "descriptor attribute " + std::to_string(attribute) + " = " + std::to_string(op));
  (attribute == lt_desc_transa ? desc->op_a : desc->op_b) = op;
  return success;
}

int layout_create(lt_layout* layout, int type, uint64_t rows, uint64_t cols, int64_t ld) {
  if (!size_of(type)) return refuse(invalid_value, "type " + std::to_string(type));
  if (ld < 0 || uint64_t(ld) < rows)
    return refuse(invalid_value, "leading dimension " + std::to_string(ld) + " of columns of " + std::to_string(rows));
  *layout = new lt_layout_opaque{type, rows, cols, ld};
  return success;
}
int layout_destroy(lt_layout layout) {
  delete layout;
  return success;
}

int preference_create(lt_preference* preference) {
  *preference = new lt_preference_opaque;
  return success;
}
int preference_destroy(lt_preference preference) {
  delete preference;
  return success;
}
int preference_set(lt_preference preference, int attribute, const void* value, size_t size) {
  if (!preference || !value) return refuse(invalid_value, "no preference");
  if (attribute == lt_preference_max_workspace) {
    if (size != sizeof preference->workspace) return refuse(invalid_value, "the workspace preference has 8 bytes");
    std::memcpy(&preference->workspace, value, size);
    return success;
  }
  uint32_t bytes = 0;
  if (attribute == lt_preference_reduction_schemes && size == sizeof bytes) return success;  // sums are never split here
  if (attribute < lt_preference_alignment_a || attribute > lt_preference_alignment_d || size != sizeof bytes)
    return refuse(invalid_value, "preference " + std::to_string(attribute) + " of " + std::to_string(size) + " bytes");
  std::memcpy(&bytes, value, sizeof bytes);
  if (!bytes || bytes & (bytes - 1)) return refuse(invalid_value, "alignment " + std::to_string(bytes));
  preference->alignment[attribute - lt_preference_alignment_a] = std::min(bytes, 256u);
  return success;
}

int heuristic(lt_handle handle, lt_matmul_desc desc, lt_layout a, lt_layout b, lt_layout c, lt_layout d, lt_preference preference,
              int wanted, lt_heuristic* results, int* found) {
  if (!handle || !preference || wanted < 1 || !results || !found) return refuse(invalid_value, "arguments of the heuristic");
  *found = 0;
  algorithm chosen;
  if (int status = describe(desc, {a, b, c, d}, &chosen)) return status;
  for (int i = 0; i < 4; ++i) chosen.alignment[i] = uint16_t(preference->alignment[i]);
  // Any size, so that callers that do not heed it are found out.
  chosen.workspace = std::min<uint64_t>(preference->workspace, 256 * (1 + (chosen.m + chosen.n) % 64));
  results[0] = {};
  std::memcpy(&results[0].algo, &chosen, sizeof chosen);
  results[0].workspace_size = chosen.workspace;
  results[0].waves = 1;
  *found = 1;
  return success;
}

int matmul(lt_handle handle, lt_matmul_desc desc, const void* alpha, const void* a, lt_layout la, const void* b, lt_layout lb,
           const void* beta, const void* c, lt_layout lc, void* d, lt_layout ld, const lt_algo* algo, void* workspace,
           size_t workspace_size, cudaStream_t stream) {
  if (!handle || !alpha || !beta || !a || !b || !c || !d) return refuse(invalid_value, "a null argument of matmul");
  algorithm now, chosen;
  if (int status = describe(desc, {la, lb, lc, ld}, &now)) return status;
  const void* pointers[4] = {a, b, c, d};
  const lt_layout layouts[4] = {la, lb, lc, ld};
  for (int i = 0; i < 4; ++i) {
    now.alignment[i] = uint16_t(alignment_of(reinterpret_cast<uintptr_t>(pointers[i])));
    if (now.alignment[i] < size_of(now.types[i])) return refuse(invalid_value, "a pointer that is not aligned to its elements");
    if (!is_device_pointer(pointers[i])) return refuse(invalid_value, "host memory: " + describe_address(pointers[i]));
  }
  if (c == d && lc->ld != ld->ld) return refuse(invalid_value, "c is d, with another leading dimension");
  if (algo) {
    std::memcpy(&chosen, algo, sizeof chosen);
    bool fits = chosen.mark == algorithm_mark && chosen.m == now.m && chosen.n == now.n && chosen.k == now.k &&
                !std::memcmp(chosen.types, now.types, sizeof now.types) && !std::memcmp(chosen.ops, now.ops, sizeof now.ops);
    for (int i = 0; i < 4; ++i) fits = fits && now.alignment[i] >= chosen.alignment[i] && now.ld_alignment[i] >= chosen.ld_alignment[i];
    if (!fits) return refuse(not_supported, "the algorithm was chosen for another product (shape, types or alignment)");
    if (workspace_size < chosen.workspace || (chosen.workspace && reinterpret_cast<uintptr_t>(workspace) % 16))
      return refuse(invalid_value, "the workspace is smaller than the algorithm's, or not aligned to 16 bytes");
  } else {
    chosen.workspace = 0;
  }
  double scales[2];
  for (int i = 0; i < 2; ++i) {
    const void* from = i ? beta : alpha;
    scales[i] = desc->scale == lt_real_64f ? *static_cast<const double*>(from) : *static_cast<const float*>(from);
  }
  matrix parts[4];
  for (int i = 0; i < 4; ++i) parts[i] = {const_cast<void*>(pointers[i]), layouts[i]->type, layouts[i]->ld, i < 2 && now.ops[i]};
  const auto status = enqueue(stream, [=, m = int64_t(now.m), n = int64_t(now.n), k = int64_t(now.k), bytes = chosen.workspace,
                                       f64 = desc->compute == lt_compute_64f, alpha = scales[0], beta = scales[1]] {
    if (bytes) std::memset(workspace, 0xEE, bytes);
    if (f64) product<double>(m, n, k, alpha, parts[0], parts[1], beta, parts[2], parts[3]);
    else product<float>(m, n, k, float(alpha), parts[0], parts[1], float(beta), parts[2], parts[3]);
  });
  return status == cudaSuccess ? success : execution_failed;
}

}  // namespace

lt_table lt_functions() {
  return {create,         destroy,       version,        desc_create,       desc_destroy,
          desc_set,       layout_create, layout_destroy, preference_create, preference_destroy,
          preference_set, heuristic,     matmul};
}

}  // namespace host
}  // namespace t2::cuda
