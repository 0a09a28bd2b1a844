// A device: an operator table with its context. Opened by whoever knows the backends (binding/device.h), so that core/ knows none of them.
#pragma once
#include <memory>

#include "t2/backend.h"

namespace t2 {

/// Owns the context; shared by the engine and by everything that holds device memory.
class device {
 public:
  device(const t2_backend* table, t2_context* context) : table(table), context(context) {}
  ~device() { table->destroy(context); }
  device(const device&) = delete;
  device& operator=(const device&) = delete;

  const t2_backend* const table;
  t2_context* const context;
};

typedef std::shared_ptr<device> device_ptr;

}  // namespace t2
