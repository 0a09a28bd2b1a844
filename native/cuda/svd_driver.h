// One singular value decomposition on one stream, stage by stage: svd.cu runs several of them at once.
#pragma once
#include <atomic>

#include "svd_solvers.h"

namespace t2::cuda::decomposition {

/// Device memory that a decomposition takes, about.
int64_t bytes_for(const t2_svd& item);

/// Fills the item's results; T2_ERROR_CANCELLED as soon as `stop` is seen, between two stages.
int decompose(lane& on, t2_svd& item, const std::atomic<bool>& stop);

}  // namespace t2::cuda::decomposition
