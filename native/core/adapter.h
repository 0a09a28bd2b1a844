// An adapter as the engine uses it: per matrix the vectors s = sigma ⊙ (z − 1) of the residual form W' = W + U diag(s) Vh and sigma ⊙ z of
// the factored form W' = U diag(sigma z) Vh. Made on any thread; its vectors go to the device when the engine thread first asks for one.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "model.h"

namespace t2 {

class adapter {
 public:
  /// Checks names, lengths, finiteness and that factors are attached. Throws ERR_T2_INVALID_OPTION.
  adapter(device_ptr d, const model& m, const std::map<std::string, std::vector<float>>& z);

  /// Whether z of the matrix differs from 1 anywhere.
  bool touches(int matrix) const { return places_[size_t(matrix)] >= 0; }
  bool is_base() const { return values_.empty(); }
  /// Device vector [rank] for the matrix, or null where z is 1 throughout. Engine thread only.
  const float* scale(int matrix) const {
    bring();
    return touches(matrix) ? memory_.floats() + places_[size_t(matrix)] : nullptr;
  }
  /// sigma ⊙ z, or null as above. Engine thread only.
  const float* full(int matrix) const {
    bring();
    return touches(matrix) ? memory_.floats() + full_places_[size_t(matrix)] : nullptr;
  }
  /// Has the vectors on the device, which is no part of a recorded step. Engine thread only.
  void bring() const;

 private:
  static constexpr size_t alignment = 16;  // floats
  /// Adds a vector to values_ and returns where it begins.
  int64_t keep(const std::vector<float>& vector);

  device_ptr device_;
  std::vector<int64_t> places_, full_places_;  // per matrix where its vectors begin in values_, −1: it has none
  std::vector<float> values_;
  mutable buffer memory_;
};

}  // namespace t2
