// The module: its exports, and the one place where native exceptions become JavaScript ones.
#include "exports.h"
#include "handles.h"

#ifndef T2_VERSION
#error "T2_VERSION must be defined as the version of package.json"
#endif

namespace t2::binding {

static Napi::Value system_information(environment& js, const arguments&) {
  system_info info = describe_system();
  Napi::Object out = Napi::Object::New(js.env());
  out.Set("isa", info.isa);
  out.Set("cores", info.cores);
  out.Set("blas", info.blas);
  out.Set("compiler", info.compiler);
  out.Set("build", info.build);
  return out;
}

static Napi::Value cancel_create(environment& js, const arguments&) { return make_handle(js.env(), std::make_shared<cancel_flag>()); }

static Napi::Value cancel_fire(environment& js, const arguments& args) {
  handle_of<cancel_flag>(args.at(0, "token"))->fire();
  return js.env().Undefined();
}

template <exported function>
static Napi::Value entry(const Napi::CallbackInfo& info) {
  try {
    return function(*static_cast<environment*>(info.Data()), arguments(info));
  } catch (const Napi::Error&) {
    throw;
  } catch (...) {
    Napi::Value error = error_value(info.Env(), std::current_exception());
    throw Napi::Error(info.Env(), error);
  }
}

static Napi::Object initialise(Napi::Env env, Napi::Object exports) {
  auto js = environment::create(env);
  env.SetInstanceData(new std::shared_ptr<environment>(js));  // as long as the functions below can be called
  exports.Set("version", T2_VERSION);
  auto add = [&](const char* name, Napi::Function::Callback callback) {
    exports.Set(name, Napi::Function::New(env, callback, name, js.get()));
  };
  add("systemInfo", entry<system_information>);
  add("cancelCreate", entry<cancel_create>);
  add("cancelFire", entry<cancel_fire>);
  add("modelOpen", entry<model_open>);
  add("modelClose", entry<model_close>);
  add("modelMatrices", entry<model_matrices>);
  add("modelMemory", entry<model_memory>);
  add("modelDevice", entry<model_device>);
  add("deviceProbe", entry<device_probe>);
  add("modelHash", entry<model_hash>);
  add("matrixRead", entry<matrix_read>);
  add("decompose", entry<decompose_model>);
  add("factorsAttach", entry<factors_attach>);
  add("adapterCreate", entry<adapter_create>);
  add("adapterMerge", entry<adapter_merge>);
  add("generateStart", entry<generate_start>);
  add("generateCancel", entry<generate_cancel>);
  add("score", entry<score>);
  add("logits", entry<logits>);
  add("gradients", entry<gradients>);
  add("operator", entry<single_operator>);
  return exports;
}

}  // namespace t2::binding

static Napi::Object init(Napi::Env env, Napi::Object exports) { return t2::binding::initialise(env, exports); }
NODE_API_MODULE(transformer2, init)
