// Adapters: z vectors in, a handle out; merging on request.
#include "exports.h"
#include "handles.h"

namespace t2::binding {

Napi::Value adapter_create(environment& js, const arguments& args) {
  auto m = handle_of<model>(args.at(0, "model"));
  std::map<std::string, std::vector<float>> z;
  args.at(1, "vectors").each_property([&](const std::string& name, const argument& vector) { z[name] = vector.floats(); });
  auto adapter = std::make_shared<adapter_of_model>();
  adapter->value = m->open_engine().make_adapter(std::move(z));
  adapter->owner = m->engine;
  return make_handle(js.env(), adapter);
}

Napi::Value adapter_merge(environment& js, const arguments& args) {
  auto m = handle_of<model>(args.at(0, "model"));
  adapter_ptr use = adapter_for(m, args.at(1, "adapter"));
  cancel_ptr cancel = cancel_of(args.at(2, "cancel"));
  return start(m, argument(js.env().Undefined(), ""), [&](t2::engine& engine, const ticket& t) {
    engine.merge(use, cancel, [t, cancel](std::exception_ptr failure) { t.settle(failure, {}); });
  });
}

}  // namespace t2::binding
