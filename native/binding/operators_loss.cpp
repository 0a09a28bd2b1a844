// Single operators over the vocabulary: the fused loss and the sampler.
#include <cmath>

#include "operators.h"

namespace t2::binding {

/// weight [n], kl_weight [n] and reference optional; dhidden is left out with log_probs_only 1.
static void loss(operator_call& op) {
  t2_loss a{};
  a.n = op.integer("n", 0, max_int32);
  a.head = op.matrix("head");
  int64_t count = elements({a.n, a.head.cols});
  a.hidden = op.upload("hidden", count);
  a.reference = op.upload_or_null("reference", count);
  std::vector<int32_t> target = op.indices("target", a.n, 0, a.head.rows);
  std::vector<float> weight = op.floats("weight", a.n), kl_weight, logprob(size_t(a.n), NAN);
  std::vector<double> kl(size_t(a.n), NAN);
  if (op.has("kl_weight")) {
    if (!a.reference) op.input("reference").reject("given together with kl_weight");
    kl_weight = op.floats("kl_weight", a.n);
    a.kl_weight = kl_weight.data();
    a.kl = kl.data();
  }
  a.kl_direction = op.integer_or("kl_direction", 0, 1, 0);
  a.target = target.data();
  a.weight = weight.data();
  a.logprob = logprob.data();
  if (!op.integer_or("log_probs_only", 0, 1, 0)) a.dhidden = op.room(count);
  op.run([&] { return op.backend->loss(op.context, &a); });
  if (a.dhidden) op.give("dhidden", a.dhidden, count);
  op.give("logprob", logprob);
  if (a.kl) op.give("kl", kl);
}

/// Per row: temperature, top_k, top_p, min_p, repetition_penalty, seed, sequence, position (arrays of n or one number for all); `seen` is
/// one list for all rows.
static void sample(operator_call& op) {
  int n = op.integer("n", 0, max_int32), vocabulary = op.integer("vocabulary", 1, max_int32);
  float* logits = op.upload("logits", elements({n, vocabulary}));
  std::vector<int32_t> seen;
  if (op.has("seen")) seen = op.indices("seen", -1, 0, vocabulary);
  auto column = [&](const char* key, double otherwise, double low, double high) {
    argument a = op.input(key);
    std::vector<double> values(size_t(n), otherwise);
    if (a.absent()) return values;
    if (a.value().IsNumber()) {
      values.assign(size_t(n), a.number(low, high));
    } else if (a.value().IsTypedArray() && a.value().As<Napi::TypedArray>().TypedArrayType() == napi_int32_array) {
      std::vector<int32_t> given = op.indices(key, n, -max_int32, max_int32);
      values.assign(given.begin(), given.end());
    } else {
      std::vector<float> given = op.floats(key, n);
      values.assign(given.begin(), given.end());
    }
    for (double x : values)
      if (!(x >= low && x <= high)) a.reject("within its range");
    return values;
  };
  auto temperature = column("temperature", 0, 0, 1e30), top_p = column("top_p", 1, 0, 1), min_p = column("min_p", 0, 0, 1);
  auto penalty = column("repetition_penalty", 1, 1e-3, 1e3), top_k = column("top_k", 0, 0, max_int32);
  auto seed = column("seed", 0, 0, double(max_safe_integer)), sequence = column("sequence", 0, 0, double(max_safe_integer));
  auto position = column("position", 0, 0, max_int32);
  std::vector<t2_sample_row> rows;
  for (size_t i = 0; i < size_t(n); i++)
    rows.push_back({float(temperature[i]), float(top_p[i]), float(min_p[i]), float(penalty[i]), int32_t(top_k[i]), uint64_t(seed[i]),
                    uint64_t(sequence[i]), int32_t(position[i]), seen.data(), int32_t(seen.size())});
  std::vector<int32_t> ids(size_t(n), -1);
  std::vector<float> logprobs(size_t(n), NAN);
  op.run([&] { return op.backend->sample(op.context, logits, n, vocabulary, rows.data(), ids.data(), logprobs.data()); });
  op.give("ids", std::vector<double>(ids.begin(), ids.end()));
  op.give("logprobs", logprobs);
}

const std::vector<named_operator> loss_operators = {{"loss", loss}, {"sample", sample}};

}  // namespace t2::binding
