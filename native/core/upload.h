// Matrices that lie in mapped files, brought to the device.
#pragma once
#include "memory.h"
#include "t2/cancel.h"

namespace t2 {

int64_t bytes_of(const t2_matrix& m);

/// Where operators find the contiguous host matrix: itself where device memory is ordinary memory, else a copy in `storage`. Throws
/// ERR_T2_OUT_OF_MEMORY.
t2_matrix to_device(const device_ptr& d, const t2_matrix& host, buffer& storage, const cancel_check& cancel);

/// Bytes that should stay free on a device for the work itself; 0 for ordinary memory.
int64_t device_reserve(const device& d, int64_t* available = nullptr, int64_t* total = nullptr);

}  // namespace t2
