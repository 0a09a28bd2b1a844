#include "upload.h"

#include <algorithm>

#include "t2/dtype.h"

namespace t2 {

int64_t bytes_of(const t2_matrix& m) { return int64_t(m.rows) * m.cols * size_of(dtype(m.dtype)); }

t2_matrix to_device(const device_ptr& d, const t2_matrix& host, buffer& storage, const cancel_check& cancel) {
  if (d->table->host_memory) return host;
  size_t all = size_t(bytes_of(host));
  storage = buffer(d, all);
  constexpr size_t slice = size_t(32) << 20;  // between two looks at the cancel flag
  for (size_t at = 0; at < all; at += slice) {
    cancel();
    check(*d, d->table->upload(d->context, static_cast<char*>(storage.data()) + at, static_cast<const char*>(host.data) + at,
                               std::min(slice, all - at)));
  }
  t2_matrix there = host;
  there.data = storage.data();
  return there;
}

int64_t device_reserve(const device& d, int64_t* available, int64_t* total) {
  int64_t a = 0, t = 0;
  check(d, d.table->memory(d.context, &a, &t));
  if (available) *available = a;
  if (total) *total = t;
  return d.table->host_memory ? 0 : std::min(t / 8, int64_t(2) << 30);
}

}  // namespace t2
