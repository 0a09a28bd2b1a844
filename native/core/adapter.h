// An adapter as the engine uses it: per matrix the vector s = sigma ⊙ (z − 1) of the residual form W' = W + U diag(s) Vh. Immutable.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "model.h"

namespace t2 {

class adapter {
 public:
  /// Checks names, lengths, finiteness and that factors are attached. Throws ERR_T2_INVALID_OPTION.
  adapter(const device_ptr& d, const model& m, const std::map<std::string, std::vector<float>>& z);

  /// Device vector [rank] for the matrix, or null where z is 1 throughout.
  const float* scale(int matrix) const { return scales_[size_t(matrix)]; }
  bool is_base() const { return base_; }

 private:
  std::vector<const float*> scales_;
  std::vector<buffer> memory_;
  bool base_ = true;
};

}  // namespace t2
