// How a step applies its weights: pristine, merged for one adapter, or factored with an adapter per row. Also keeps the merged weights.
#pragma once
#include <memory>
#include <vector>

#include "adapter.h"

namespace t2 {

/// W' of one adapter for every matrix it touches, in the model's dtype. Pristine W stays mapped beside it.
struct merged_weights {
  adapter_ptr of;
  std::vector<buffer> storage;  // per matrix; empty where W is used as it is
  std::vector<t2_matrix> view;
  int64_t bytes = 0;
};

/// Bytes of W' of the matrices that the adapter touches.
int64_t merged_bytes(const model& m, const adapter& a);
/// Throws ERR_T2_OUT_OF_MEMORY before anything is allocated when `most` bytes (0: no cap) would be exceeded.
std::unique_ptr<merged_weights> merge_all(const device_ptr& d, const model& m, const adapter_ptr& a, int64_t most,
                                          const cancel_check& cancel);

/// The weights of one step. Rows (tokens) carry an index into `adapters`, −1 for base; merged and factored exclude each other.
struct weights {
  const model* m = nullptr;
  const merged_weights* merged = nullptr;
  std::vector<const adapter*> adapters;
  std::vector<int32_t> row_adapter;  // per token; empty when there are no adapters
  bool replace = false;              // W may be left out where all rows have its factors: see factored()

  const t2_matrix& at(int matrix) const {
    return merged && merged->view[size_t(matrix)].data ? merged->view[size_t(matrix)] : m->matrices[size_t(matrix)].w;
  }
  /// Fills `scales` and says whether any row has a factored delta on this matrix.
  bool scales(int matrix, std::vector<const float*>& scales) const;
  /// Fills `full` and says whether U diag(sigma z) Vh is to stand for this matrix, W not being read at all. A batch of different mixtures
  /// (a search) costs 1.4 instead of 2.4 times the base so. The factors' own rounding comes in (F16: 3e-4, below that of a merged BF16 W').
  bool factored(int matrix, std::vector<const float*>& full) const;
  /// Sets `replace` where the rows allow it: every row has an adapter, and there are several.
  void allow_replacement();
};

/// What a call would cost either way, from FLOPs and bytes and the machine's measured speeds.
struct cost_model {
  double flops_per_second = 1e11, bytes_per_second = 2e10, merge_flops_per_second = 1e11;
  /// Times a small product and a sweep over memory with weights of this dtype, and a small merge: a few milliseconds in all.
  static cost_model measure(const device_ptr& d, dtype weights);
};

struct planned_group {
  const adapter* of;  // null: base
  double prefill_tokens = 0, decode_rows = 0, decode_steps = 0;
};

struct plan_choice {
  bool merge;
  double merged_seconds, factored_seconds;
};

plan_choice plan(const model& m, const cost_model& cost, const std::vector<planned_group>& groups);

}  // namespace t2
