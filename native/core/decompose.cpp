// Decomposition on a device: host matrices in, factors as files keep them out. Room for the factors of all is set aside without touching
// it, so that memory is in use only for those that are under way.
#include "decompose.h"

#include <algorithm>
#include <cstring>
#include <exception>
#include <memory>

#include "memory.h"

namespace t2 {

namespace {

const char* name_of(svd_driver driver) {
  switch (driver) {
    case svd_driver::automatic:
      return "auto";
    case svd_driver::gram:
      return "gram";
    case svd_driver::gesdd:
      break;
    case svd_driver::gesvd:
      return "gesvd";
    case svd_driver::gesvdj:
      return "gesvdj";
    case svd_driver::gesvdp:
      return "gesvdp";
  }
  throw error("ERR_T2_INVALID_OPTION", "Driver \"gesdd\" is the CPU's; a GPU has \"auto\", \"gram\", \"gesvd\", \"gesvdj\" and \"gesvdp\".",
              "{\"option\":\"driver\",\"actual\":\"gesdd\"}");
}

struct one {
  std::vector<uint8_t> packed;  // a matrix whose rows do not follow each other, without the gaps
  std::unique_ptr<float[]> u, sigma, vh;
};

struct whole_call {
  const std::vector<t2_matrix>& matrices;
  std::vector<t2_svd> items;
  std::vector<one> parts;
  dtype type;
  const std::function<void(size_t, svd_result&&)>& on_result;
  std::exception_ptr failed;

  void add(const t2_matrix& w, const char* driver) {
    const size_t rows = size_t(w.rows), cols = size_t(w.cols), rank = std::min(rows, cols), size = size_t(size_of(dtype(w.dtype)));
    one& part = parts.emplace_back();
    const uint8_t* from = static_cast<const uint8_t*>(w.data);
    if (w.stride != w.cols && w.rows > 1) {
      part.packed.resize(rows * cols * size);
      for (size_t i = 0; i < rows; i++) std::memcpy(&part.packed[i * cols * size], from + i * size_t(w.stride) * size, cols * size);
      from = part.packed.data();
    }
    part.u = std::make_unique_for_overwrite<float[]>(rows * rank);
    part.sigma = std::make_unique_for_overwrite<float[]>(rank);
    part.vh = std::make_unique_for_overwrite<float[]>(rank * cols);
    t2_svd item{};
    item.w = from;
    item.dtype = w.dtype;
    item.rows = w.rows;
    item.cols = w.cols;
    item.driver = driver;
    item.u = part.u.get();
    item.sigma = part.sigma.get();
    item.vh = part.vh.get();
    items.push_back(item);
  }

  void give(size_t i) {
    const t2_svd& item = items[i];
    const size_t rank = size_t(std::min(item.rows, item.cols));
    svd_result r;
    r.rows = item.rows;
    r.cols = item.cols;
    r.rank = int(rank);
    r.type = type;
    r.u = stored(item.u, size_t(item.rows) * rank, type);
    r.vh = stored(item.vh, rank * size_t(item.cols), type);
    r.sigma.assign(item.sigma, item.sigma + rank);
    r.residual = item.residual;
    r.orthogonality_u = item.orthogonality_u;
    r.orthogonality_v = item.orthogonality_v;
    r.driver = item.driver_used;
    r.milliseconds = item.milliseconds;
    parts[i] = {};
    on_result(i, std::move(r));
  }
};

void done(void* data, int32_t i) {
  auto* call = static_cast<whole_call*>(data);
  if (call->failed) return;
  try {
    call->give(size_t(i));
  } catch (...) {
    call->failed = std::current_exception();
  }
}

}  // namespace

void decompose_on(const t2_backend* table, t2_context* context, const std::vector<t2_matrix>& matrices, dtype type, svd_driver driver,
                  const cancel_check& cancel, const std::function<void(size_t, svd_result&&)>& on_result) {
  const char* name = name_of(driver);
  cancel();
  whole_call call{matrices, {}, {}, type, on_result, nullptr};
  for (auto& w : matrices) call.add(w, name);
  const int status = table->svd(context, call.items.data(), int32_t(call.items.size()), done, &call);
  if (call.failed) std::rethrow_exception(call.failed);
  if (status == T2_ERROR_CANCELLED) cancel();
  if (status == T2_ERROR_INVALID) {
    for (auto& w : matrices) require_finite(w);
    throw error("ERR_T2_INVALID_OPTION", std::string("The device refuses: ") + table->last_error(context) + ".",
                std::string("{\"option\":\"driver\",\"actual\":\"") + name + "\"}");
  }
  check(table, context, status);
}

}  // namespace t2
