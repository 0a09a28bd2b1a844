// Paged keys and values: blocks of 32 tokens over all layers, counted references, allocated when first needed. Engine thread only.
#pragma once
#include <algorithm>
#include <cstring>
#include <vector>

#include "model.h"

namespace t2 {

class kv_cache {
 public:
  static constexpr int block_tokens = 32;

  /// `most`: bytes the blocks may take, 0: no cap.
  kv_cache(device_ptr d, const model& m, int64_t most)
      : device_(std::move(d)), kv_size_(m.kv_size()), layers_(m.spec.layers), wish_(most ? most : INT64_MAX), most_(wish_) {}

  int64_t block_bytes() const { return int64_t(layers_) * 2 * block_tokens * kv_size_ * 4; }
  int64_t bytes() const { return int64_t(blocks_.size()) * block_bytes(); }
  /// Floats from one layer of a block to the next.
  int64_t layer_floats() const { return int64_t(2) * block_tokens * kv_size_; }
  /// Blocks that can still be had.
  int64_t available() const { return int64_t(free_.size()) + std::max<int64_t>(0, most_ / block_bytes() - int64_t(blocks_.size())); }
  /// Takes the cap anew from what a device has left now. For when no work runs.
  void settle_cap() {
    most_ = wish_;
    if (device_->table->host_memory) return;
    int64_t left = 0, reserve = device_reserve(*device_, &left);
    most_ = std::min(most_, bytes() + std::max<int64_t>(left / 2, left - reserve));
  }

  /// −1: there is no room.
  int acquire() {
    int id;
    if (!free_.empty()) {
      id = free_.back();
      free_.pop_back();
    } else {
      if (available() <= 0) return -1;
      try {
        blocks_.emplace_back(device_, size_t(block_bytes()));
      } catch (const error& why) {
        if (std::strcmp(why.code(), "ERR_T2_OUT_OF_MEMORY") != 0) throw;
        most_ = bytes();  // others have taken what the cap counted on
        return -1;
      }
      references_.push_back(0);
      id = int(blocks_.size()) - 1;
    }
    references_[size_t(id)] = 1;
    return id;
  }
  void retain(int id) { references_[size_t(id)]++; }
  void release(int id) {
    if (--references_[size_t(id)] == 0) free_.push_back(id);
  }
  bool shared(int id) const { return references_[size_t(id)] > 1; }

  float* k(int id, int layer) const { return blocks_[size_t(id)].floats() + layer * layer_floats(); }
  float* v(int id, int layer) const { return k(id, layer) + int64_t(block_tokens) * kv_size_; }
  void copy(int to, int from) {
    check(*device_,
          device_->table->copy(device_->context, blocks_[size_t(to)].data(), blocks_[size_t(from)].data(), size_t(block_bytes())));
  }
  /// Gives unused blocks' memory back.
  void trim() {
    if (free_.size() != blocks_.size()) return;
    free_.clear();
    blocks_.clear();
    references_.clear();
  }

 private:
  device_ptr device_;
  int kv_size_, layers_;
  int64_t wish_, most_;
  std::vector<buffer> blocks_;
  std::vector<int> references_, free_;
};

}  // namespace t2
