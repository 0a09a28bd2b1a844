// Decomposition of matrices on a device that has one of its own.
#pragma once
#include <functional>
#include <vector>

#include "t2/backend.h"
#include "t2/cancel.h"
#include "t2/svd.h"

namespace t2 {

/// What decompose_all does, by the table's `svd`. The matrices are host memory; results come from the calling thread. The device's cancel
/// must look at `cancel` too.
void decompose_on(const t2_backend* table, t2_context* context, const std::vector<t2_matrix>& matrices, dtype type, svd_driver driver,
                  const cancel_check& cancel, const std::function<void(size_t, svd_result&&)>& on_result);

}  // namespace t2
