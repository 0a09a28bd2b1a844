// A device: an operator table with its context. open_device is implemented beside the backends, so that core/ knows neither of them.
#pragma once
#include <memory>
#include <string>

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

/// `wish`: "cpu". threads 0: as many as cores.
std::shared_ptr<device> open_device(const std::string& wish, int threads);

}  // namespace t2
