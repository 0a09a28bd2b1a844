#include "adapter.h"

#include <cmath>

namespace t2 {

adapter::adapter(const device_ptr& d, const model& m, const std::map<std::string, std::vector<float>>& z) : scales_(m.matrices.size()) {
  for (auto& [name, values] : z) {
    int i = m.require(name);
    const matrix& w = m.matrices[size_t(i)];
    if (!w.factored)
      throw error("ERR_T2_INVALID_OPTION", "Matrix " + name + " has no factors attached: decompose the model first.",
                  "{\"name\":\"" + name + "\"}");
    if (int(values.size()) != w.rank())
      throw error("ERR_T2_INVALID_OPTION",
                  "z of " + name + " must have " + std::to_string(w.rank()) + " elements, but has " + std::to_string(values.size()) + ".");
    std::vector<float> s(values.size());
    bool any = false;
    for (size_t j = 0; j < s.size(); j++) {
      if (!std::isfinite(values[j]))
        throw error("ERR_T2_INVALID_OPTION", "z of " + name + " holds NaN or infinity at " + std::to_string(j) + ".");
      s[j] = float(double(w.sigma[j]) * (double(values[j]) - 1.0));
      any = any || s[j] != 0;
    }
    if (!any) continue;
    base_ = false;
    memory_.emplace_back(d, s.size() * 4);
    check(*d, d->table->upload(d->context, memory_.back().data(), s.data(), s.size() * 4));
    scales_[size_t(i)] = memory_.back().floats();
  }
}

}  // namespace t2
