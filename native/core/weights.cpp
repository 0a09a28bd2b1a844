#include "weights.h"

#include <algorithm>
#include <chrono>

namespace t2 {

std::unique_ptr<merged_weights> merge_all(const device_ptr& d, const model& m, const adapter_ptr& a, int64_t most,
                                          const cancel_check& cancel) {
  auto out = std::make_unique<merged_weights>();
  out->of = a;
  out->storage.resize(m.matrices.size());
  out->view.resize(m.matrices.size());
  for (size_t i = 0; i < m.matrices.size(); i++)
    if (a->scale(int(i))) out->bytes += m.matrices[i].bytes;
  if (most && out->bytes > most)
    throw error("ERR_T2_OUT_OF_MEMORY",
                "Merging needs " + std::to_string(out->bytes) + " bytes, maxMemory leaves " + std::to_string(most) + ".",
                "{\"needed\":" + std::to_string(out->bytes) + ",\"available\":" + std::to_string(most) + "}");
  for (size_t i = 0; i < m.matrices.size(); i++) {
    const matrix& w = m.matrices[i];
    if (!a->scale(int(i))) continue;
    cancel();
    out->storage[i] = buffer(d, size_t(w.bytes));
    out->view[i] = {out->storage[i].data(), w.w.dtype, w.w.rows, w.w.cols, w.w.cols};
    int status = d->table->merge(d->context, &w.w, &w.u, &w.vh, a->scale(int(i)), out->storage[i].data(), w.w.dtype);
    if (status == T2_ERROR_CANCELLED) cancel();
    check(*d, status);
  }
  return out;
}

bool weights::scales(int matrix, std::vector<const float*>& scales) const {
  bool any = false;
  scales.assign(adapters.size(), nullptr);
  for (size_t i = 0; i < adapters.size(); i++) {
    scales[i] = adapters[i]->scale(matrix);
    any = any || scales[i];
  }
  return any;
}

cost_model cost_model::measure(const device& d) {
  constexpr int n = 96, m = 512, k = 512;
  constexpr size_t sweep = 32u << 20;
  auto* t = d.table;
  auto* c = d.context;
  float* x = static_cast<float*>(t->allocate(c, n * k * 4));
  float* w = static_cast<float*>(t->allocate(c, sweep));
  float* y = static_cast<float*>(t->allocate(c, n * 8192 * 4));
  cost_model out;
  if (x && w && y) {
    t->zero(c, x, n * k * 4);
    t->zero(c, w, sweep);
    auto seconds = [&](int rows, int tokens) {
      t2_linear item{{w, 0, rows, k, k}, y, rows, nullptr, 0};
      auto begin = std::chrono::steady_clock::now();
      t->linear(c, x, k, tokens, &item, 1);
      return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    };
    seconds(m, n);
    double a = std::min(seconds(m, n), seconds(m, n));
    out.flops_per_second = 2. * n * m * k / std::max(a, 1e-6);
    int rows = int(sweep / 4 / k);  // one token against 32 MiB of weights: bandwidth
    rows = std::min(rows, 8192 * n);
    double b = std::min(seconds(rows, 1), seconds(rows, 1));
    out.bytes_per_second = double(sweep) / std::max(b, 1e-6);
  }
  t->release(c, x);
  t->release(c, w);
  t->release(c, y);
  return out;
}

plan_choice plan(const model& m, const cost_model& cost, const std::vector<planned_group>& groups) {
  double all_flops = 0, all_bytes = 0;
  for (auto& w : m.matrices) {
    all_flops += 2. * w.w.rows * w.w.cols;
    all_bytes += double(w.bytes);
  }
  auto decode = [&](double flops, double bytes, double rows) {
    return std::max(rows * flops / cost.flops_per_second, bytes / cost.bytes_per_second);
  };
  double merged = 0, prefill = 0, rows = 0, steps = 0;
  double extra_flops = 0, extra_bytes = 0;
  for (auto& g : groups) {
    double merge_flops = 0, flops = 0, bytes = 0;
    if (g.of)
      for (size_t i = 0; i < m.matrices.size(); i++) {
        const matrix& w = m.matrices[i];
        if (!g.of->scale(int(i))) continue;
        merge_flops += 2. * w.w.rows * w.w.cols * w.rank();
        flops += 2. * (double(w.w.rows) + w.w.cols) * w.rank();
        bytes += (double(w.w.rows) + w.w.cols) * w.rank() * double(size_of(dtype(w.u.dtype)));
      }
    merged += merge_flops / cost.flops_per_second + g.prefill_tokens * all_flops / cost.flops_per_second +
              g.decode_steps * decode(all_flops, all_bytes, g.decode_rows);
    extra_flops = std::max(extra_flops, flops);
    extra_bytes = std::max(extra_bytes, bytes);
    prefill += g.prefill_tokens;
    rows += g.decode_rows;
    steps = std::max(steps, g.decode_steps);
  }
  double factored =
      prefill * (all_flops + extra_flops) / cost.flops_per_second + steps * decode(all_flops + extra_flops, all_bytes + extra_bytes, rows);
  return {merged < factored, merged, factored};
}

}  // namespace t2
