// Work that gives numbers back: scores, logits, gradients.
#include <cmath>

#include "exports.h"
#include "handles.h"

namespace t2::binding {

static Napi::Array nested_out(Napi::Env env, const std::vector<std::vector<std::vector<float>>>& lists) {
  Napi::Array out = Napi::Array::New(env, lists.size());
  for (size_t i = 0; i < lists.size(); i++) {
    Napi::HandleScope scope(env);
    Napi::Array inner = Napi::Array::New(env, lists[i].size());
    for (size_t j = 0; j < lists[i].size(); j++) inner.Set(uint32_t(j), floats_out(env, lists[i][j]));
    out.Set(uint32_t(i), inner);
  }
  return out;
}

Napi::Value score(environment& js, const arguments& args) {
  auto m = handle_of<model>(args.at(0, "model"));
  std::vector<score_item> items;
  args.at(1, "items").each([&](const argument& a) {
    score_item& item = items.emplace_back();
    item.tokens = a["tokens"].tokens(m->vocabulary);
    a["continuations"].each([&](const argument& c) { item.continuations.push_back(c.tokens(m->vocabulary, true)); });
    item.use = adapter_for(m, a["adapter"]);
  });
  adapter_mode mode = mode_of(args.at(2, "mode"));
  cancel_ptr cancel = cancel_of(args.at(3, "cancel"));
  return start(m, argument(js.env().Undefined(), ""), [&](t2::engine& engine, const ticket& t) {
    auto out = std::make_shared<std::vector<std::vector<std::vector<float>>>>();
    engine.score(std::move(items), mode, out, cancel, [t, out, cancel](std::exception_ptr failure) {
      t.settle(failure, [out](Napi::Env env) -> Napi::Value { return nested_out(env, *out); });
    });
  });
}

Napi::Value logits(environment& js, const arguments& args) {
  auto m = handle_of<model>(args.at(0, "model"));
  std::vector<std::vector<int32_t>> sequences;
  args.at(1, "sequences").each([&](const argument& a) { sequences.push_back(a.tokens(m->vocabulary)); });
  adapter_ptr use = adapter_for(m, args.at(2, "adapter"));
  adapter_mode mode = mode_of(args.at(3, "mode"));
  cancel_ptr cancel = cancel_of(args.at(4, "cancel"));
  return start(m, argument(js.env().Undefined(), ""), [&](t2::engine& engine, const ticket& t) {
    auto out = std::make_shared<std::vector<std::vector<float>>>();
    engine.logits(std::move(sequences), use, mode, out, cancel, [t, out, cancel](std::exception_ptr failure) {
      t.settle(failure, [out](Napi::Env env) -> Napi::Value {
        Napi::Array list = Napi::Array::New(env, out->size());
        for (size_t i = 0; i < out->size(); i++) list.Set(uint32_t(i), floats_out(env, (*out)[i]));
        return list;
      });
    });
  });
}

static gradient_group group_of(const std::shared_ptr<model>& m, const argument& a) {
  gradient_group group;
  group.tokens = a["tokens"].tokens(m->vocabulary);
  a["completions"].each([&](const argument& c) { group.completions.push_back(c.tokens(m->vocabulary, true)); });
  argument weights = a["weights"];
  group.weights = weights.floats();
  if (group.weights.size() != group.completions.size())
    weights.reject("a Float32Array of one weight per completion (" + std::to_string(group.completions.size()) + ")");
  for (float w : group.weights)
    if (!std::isfinite(w)) weights.reject("a Float32Array of finite weights");
  return group;
}

static Napi::Value gradients_out(Napi::Env env, const gradient_result& r) {
  Napi::Object out = Napi::Object::New(env);
  out.Set("loss", r.loss);
  out.Set("kl", r.kl);
  out.Set("logprobs", nested_out(env, r.logprobs));
  Napi::Object vectors = Napi::Object::New(env);
  for (auto& [name, vector] : r.vectors) {
    Napi::HandleScope scope(env);
    vectors.Set(name, floats_out(env, vector));
  }
  out.Set("vectors", vectors);
  out.Set("microBatches", r.micro_batches);
  out.Set("checkpointed", Napi::Boolean::New(env, r.checkpointed));
  out.Set("mode", r.mode);
  out.Set("peakBytes", double(r.peak_bytes));
  return out;
}

Napi::Value gradients(environment&, const arguments& args) {
  auto m = handle_of<model>(args.at(0, "model"));
  argument a = args.at(1, "request");
  gradient_request request;
  a["groups"].each([&](const argument& group) { request.groups.push_back(group_of(m, group)); });
  request.use = adapter_for(m, a["adapter"]);
  request.names = a["names"].strings();
  request.kl_weight = float(a["klWeight"].number(-1e6, 1e6));
  request.kl_direction = a["klDirection"].choice<int>({{"policy-reference", 0}, {"reference-policy", 1}});
  request.mode = mode_of(a["mode"]);
  request.activation_bytes = a["activationBytes"].integer(0, max_safe_integer);
  cancel_ptr cancel = cancel_of(args.at(2, "cancel"));
  argument on_progress = args.at(3, "onProgress");
  return start(m, on_progress, [&](t2::engine& engine, const ticket& t) {
    auto out = std::make_shared<gradient_result>();
    engine.gradients(std::move(request), out, cancel, progress_to(t, !on_progress.absent()), [t, out, cancel](std::exception_ptr failure) {
      t.settle(failure, [out](Napi::Env env) -> Napi::Value { return gradients_out(env, *out); });
    });
  });
}

}  // namespace t2::binding
