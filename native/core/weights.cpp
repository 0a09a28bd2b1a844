#include "weights.h"

#include <algorithm>
#include <chrono>
#include <cstring>

namespace t2 {

int64_t merged_bytes(const model& m, const adapter& a) {
  int64_t sum = 0;
  for (size_t i = 0; i < m.matrices.size(); i++)
    if (a.touches(int(i))) sum += m.matrices[i].bytes;
  return sum;
}

std::unique_ptr<merged_weights> merge_all(const device_ptr& d, const model& m, const adapter_ptr& a, int64_t most,
                                          const cancel_check& cancel) {
  auto out = std::make_unique<merged_weights>();
  out->of = a;
  out->storage.resize(m.matrices.size());
  out->view.resize(m.matrices.size());
  out->bytes = merged_bytes(m, *a);
  if (most && out->bytes > most)
    throw error("ERR_T2_OUT_OF_MEMORY",
                "Merging needs " + std::to_string(out->bytes) + " bytes, maxMemory leaves " + std::to_string(most) + ".",
                "{\"needed\":" + std::to_string(out->bytes) + ",\"available\":" + std::to_string(most) + "}");
  for (size_t i = 0; i < m.matrices.size(); i++) {
    const matrix& w = m.matrices[i];
    if (!a->touches(int(i))) continue;
    cancel();
    out->storage[i] = buffer(d, size_t(w.bytes));
    out->view[i] = {out->storage[i].data(), w.w.dtype, w.w.rows, w.w.cols, w.w.cols};
    factor_views f = m.factors(int(i));
    int status = d->table->merge(d->context, &w.w, &f.u, &f.vh, a->scale(int(i)), out->storage[i].data(), w.w.dtype);
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

bool weights::factored(int matrix, std::vector<const float*>& full) const {
  full.assign(adapters.size(), nullptr);
  for (size_t i = 0; replace && i < adapters.size(); i++)
    if (!(full[i] = adapters[i]->full(matrix))) return false;
  return replace;
}

void weights::allow_replacement() {
  replace = adapters.size() > 1 && std::find(row_adapter.begin(), row_adapter.end(), -1) == row_adapter.end();
}

cost_model cost_model::measure(const device_ptr& d, dtype weights) {
  auto* t = d->table;
  auto* c = d->context;
  constexpr size_t sweep = 32u << 20;
  int type = int(weights);
  size_t size = size_of(weights);
  cost_model out;
  // A device that works on its own is waited for, and what waiting costs by itself taken off.
  auto seconds = [&](const buffer& y, auto call) {
    float any = 0;
    auto wait = [&] {
      if (!t->host_memory) check(*d, t->download(c, &any, y.data(), sizeof any));
    };
    auto now = [] { return std::chrono::steady_clock::now(); };
    wait();
    auto begin = now();
    wait();
    auto idle = now() - begin;
    begin = now();
    check(*d, call());
    wait();
    return std::max(1e-6, std::chrono::duration<double>(now() - begin - idle).count());
  };
  auto zeros = [&](size_t bytes) {
    buffer b(d, bytes);
    check(*d, t->zero(c, b.data(), bytes));
    return b;
  };
  auto best = [&](const buffer& y, auto call) {
    seconds(y, call);
    return std::min(seconds(y, call), seconds(y, call));
  };
  // n tokens with w [rows, k]
  auto product = [&](const buffer& x, const buffer& w, const buffer& y, int rows, int k, int n) {
    t2_linear item{{w.data(), type, rows, k, k}, y.floats(), rows, nullptr, 0};
    return best(y, [&] { return t->linear(c, x.floats(), k, n, &item, 1); });
  };
  auto merge = [&](const buffer& w, const buffer& merged, int side) {
    buffer s = zeros(size_t(side) * 4);
    t2_matrix square{w.data(), type, side, side, side}, factor{w.data(), int(dtype::f16), side, side, side};
    return best(merged, [&] { return t->merge(c, &square, &factor, &factor, s.floats(), merged.data(), type); });
  };
  try {
    constexpr int k = 512;
    buffer w = zeros(sweep), x = zeros(96 * k * 4);
    {
      int rows = int(sweep / size / k);  // one token against 32 MiB of weights: bandwidth
      buffer y(d, size_t(std::max(96 * k, rows)) * 4);
      out.flops_per_second = 2. * 96 * k * k / product(x, w, y, k, k, 96);
      out.bytes_per_second = double(sweep) / product(x, w, y, rows, k, 1);
      out.merge_flops_per_second = 2. * k * k * k / merge(w, buffer(d, size_t(k) * k * size), k);
    }
    // a large device shows its speed only in products that fill it
    for (int side = 1024; !t->host_memory && side <= 2048 && out.flops_per_second > 5e11; side *= 2) {
      size_t bytes = size_t(side) * size_t(side) * 4;
      buffer big = zeros(bytes), y(d, bytes);
      out.flops_per_second = std::max(out.flops_per_second, 2. * side * side * double(side) / product(big, w, y, side, side, side));
      out.merge_flops_per_second = std::max(out.merge_flops_per_second, 2. * side * side * double(side) / merge(big, y, side));
    }
  } catch (const error& why) {
    if (std::strcmp(why.code(), "ERR_T2_OUT_OF_MEMORY") != 0) throw;  // else the defaults, or what was found so far
  }
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
  // several adapters and no base: the factors stand for W, where every adapter has them
  bool replaces = groups.size() > 1 && std::all_of(groups.begin(), groups.end(), [](auto& g) { return g.of != nullptr; });
  double left_out_flops = 0, left_out_bytes = 0;
  for (size_t i = 0; replaces && i < m.matrices.size(); i++)
    if (std::all_of(groups.begin(), groups.end(), [&](auto& g) { return g.of->touches(int(i)); })) {
      left_out_flops += 2. * m.matrices[i].w.rows * m.matrices[i].w.cols;
      left_out_bytes += double(m.matrices[i].bytes);
    }
  double extra_flops = 0, extra_bytes = 0;
  for (auto& g : groups) {
    double merge_flops = 0, flops = 0, bytes = 0;
    if (g.of)
      for (size_t i = 0; i < m.matrices.size(); i++) {
        const matrix& w = m.matrices[i];
        if (!g.of->touches(int(i))) continue;
        merge_flops += 2. * w.w.rows * w.w.cols * w.rank();
        flops += 2. * (double(w.w.rows) + w.w.cols) * w.rank();
        bytes += (double(w.w.rows) + w.w.cols) * w.rank() * double(size_of(w.factor_type));
      }
    merged += merge_flops / cost.merge_flops_per_second + g.prefill_tokens * all_flops / cost.flops_per_second +
              g.decode_steps * decode(all_flops, all_bytes, g.decode_rows);
    extra_flops = std::max(extra_flops, flops);
    extra_bytes = std::max(extra_bytes, bytes);
    prefill += g.prefill_tokens;
    rows += g.decode_rows;
    steps = std::max(steps, g.decode_steps);
  }
  double flops = all_flops + extra_flops - left_out_flops, bytes = all_bytes + extra_bytes - left_out_bytes;
  double factored = prefill * flops / cost.flops_per_second + steps * decode(flops, bytes, rows);
  return {merged < factored, merged, factored};
}

}  // namespace t2
