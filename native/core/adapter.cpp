#include "adapter.h"

#include <cmath>

namespace t2 {

adapter::adapter(device_ptr d, const model& m, const std::map<std::string, std::vector<float>>& z)
    : device_(std::move(d)), places_(m.matrices.size(), -1), full_places_(m.matrices.size(), -1) {
  for (auto& [name, values] : z) {
    int i = m.require(name);
    const matrix& w = m.matrices[size_t(i)];
    if (!w.factored)
      throw error("ERR_T2_INVALID_OPTION", "Matrix " + name + " has no factors attached: decompose the model first.",
                  "{\"name\":\"" + name + "\"}");
    if (int(values.size()) != w.rank())
      throw error("ERR_T2_INVALID_OPTION",
                  "z of " + name + " must have " + std::to_string(w.rank()) + " elements, but has " + std::to_string(values.size()) + ".");
    std::vector<float> s(values.size()), full(values.size());
    bool any = false;
    for (size_t j = 0; j < s.size(); j++) {
      if (!std::isfinite(values[j]))
        throw error("ERR_T2_INVALID_OPTION", "z of " + name + " holds NaN or infinity at " + std::to_string(j) + ".");
      s[j] = float(double(w.sigma[j]) * (double(values[j]) - 1.0));
      full[j] = float(double(w.sigma[j]) * double(values[j]));
      any = any || s[j] != 0;
    }
    if (!any) continue;
    places_[size_t(i)] = keep(s);
    full_places_[size_t(i)] = keep(full);
  }
}

int64_t adapter::keep(const std::vector<float>& vector) {
  size_t begin = values_.size();
  values_.insert(values_.end(), vector.begin(), vector.end());
  values_.resize((values_.size() + alignment - 1) / alignment * alignment);
  return int64_t(begin);
}

void adapter::bring() const {
  if (memory_.data() || is_base()) return;
  buffer there(device_, values_.size() * 4);
  check(*device_, device_->table->upload(device_->context, there.data(), values_.data(), values_.size() * 4));
  memory_ = std::move(there);
}

}  // namespace t2
