#include "factor_store.h"

#include <algorithm>
#include <cstring>

namespace t2 {

void factor_store::bring(entry& e, const cancel_check& cancel) {
  e.there.u = to_device(device_, e.host.u, e.u, cancel);
  e.there.vh = to_device(device_, e.host.vh, e.vh, cancel);
  device_bytes_ += int64_t(e.u.bytes() + e.vh.bytes());
}

void factor_store::drop(entry& e) {
  if (e.there.vh.data) device_bytes_ -= int64_t(e.u.bytes() + e.vh.bytes());
  e.u = buffer();
  e.vh = buffer();
  e.there = {};
}

void factor_store::attach(int matrix, const factor_views& host, const cancel_check& cancel) {
  entry& e = entries_[matrix];
  if (e.host.u.data && !e.resident) streamed_--;
  recent_.remove(matrix);
  drop(e);
  e.host = host;
  e.resident = false;
  streamed_++;
  // twice the reserve stays: the KV cache, too, must leave it to the work
  int64_t available = 0, reserve = device_reserve(*device_, &available);
  if (!device_->table->host_memory && bytes_of(host.u) + bytes_of(host.vh) + 2 * reserve > available) return;
  try {
    bring(e, cancel);
  } catch (const error& why) {
    drop(e);
    if (std::strcmp(why.code(), "ERR_T2_OUT_OF_MEMORY") != 0) throw;
    return;
  }
  e.resident = true;
  streamed_--;
}

factor_views factor_store::at(int matrix) {
  entry& e = entries_.at(matrix);
  if (e.resident) return e.there;
  if (auto known = std::find(recent_.begin(), recent_.end(), matrix); known != recent_.end()) {
    recent_.splice(recent_.begin(), recent_, known);
    return e.there;
  }
  while (recent_.size() >= kept) {
    drop(entries_.at(recent_.back()));
    recent_.pop_back();
  }
  try {
    bring(e, {});
  } catch (...) {
    drop(e);
    throw;
  }
  recent_.push_front(matrix);
  return e.there;
}

}  // namespace t2
