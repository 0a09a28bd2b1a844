// Opaque handles: externals with a type tag, each owning a shared pointer, so that neither garbage collection nor dispose pulls memory from
// under running work and a handle of another kind is told apart before anything is read through it.
#pragma once
#include <memory>

#include "arguments.h"
#include "jobs.h"

namespace t2::binding {

/// A loaded model. When JavaScript loses the last handle (and no call is in flight) the engine is closed on a thread of its own.
struct model {
  std::shared_ptr<environment> js;
  std::shared_ptr<t2::engine> engine;
  int vocabulary = 0;
  bool closed = false;                // from the moment modelClose is called
  bool closing = false;               // … until the engine has ended
  std::vector<uint64_t> when_closed;  // calls of modelClose that wait for it

  ~model();
  /// The engine, or ERR_T2_DISPOSED.
  t2::engine& open_engine() const {
    if (closed || js->stopped()) throw disposed_error();
    return *engine;
  }
};

/// z vectors of one model.
struct adapter_of_model {
  std::weak_ptr<t2::engine> owner;
  adapter_ptr value;
};

template <class T>
constexpr const char* handle_name = nullptr;
template <>
inline constexpr const char* handle_name<model> = "a model handle from modelOpen";
template <>
inline constexpr const char* handle_name<adapter_of_model> = "an adapter handle from adapterCreate";
template <>
inline constexpr const char* handle_name<cancel_flag> = "a cancel token from cancelCreate";

/// Its own address makes the tag unique per type and per loaded copy of the addon (another version may lay its objects out otherwise).
template <class T>
inline const napi_type_tag handle_tag = {0x8d5c0f6b9a3e4172, reinterpret_cast<uint64_t>(&handle_tag<T>)};

template <class T>
Napi::Value make_handle(Napi::Env env, std::shared_ptr<T> object) {
  typedef std::shared_ptr<T> owner;
  auto handle = Napi::External<owner>::New(env, new owner(std::move(object)), [](Napi::BasicEnv, owner* p) { delete p; });
  handle.TypeTag(&handle_tag<T>);
  return handle;
}

template <class T>
std::shared_ptr<T> handle_of(const argument& a) {
  typedef std::shared_ptr<T> owner;
  if (!a.value().IsExternal()) a.reject(handle_name<T>);
  auto handle = a.value().As<Napi::External<owner>>();
  if (!handle.CheckTypeTag(&handle_tag<T>)) a.reject(handle_name<T>);
  return *handle.Data();
}

inline cancel_ptr cancel_of(const argument& a) { return a.absent() ? nullptr : handle_of<cancel_flag>(a); }

/// Null for base. An adapter of another model would bring vectors of other lengths.
inline adapter_ptr adapter_for(const std::shared_ptr<model>& m, const argument& a) {
  if (a.absent()) return nullptr;
  auto adapter = handle_of<adapter_of_model>(a);
  if (adapter->owner.lock() != m->engine) a.reject("an adapter of this model");
  return adapter->value;
}

inline adapter_mode mode_of(const argument& a) {
  return a.choice<adapter_mode>(
      {{"auto", adapter_mode::automatic}, {"merged", adapter_mode::merged}, {"factored", adapter_mode::factored}});
}

/// Starts an asynchronous call on a model: `begin` hands the ticket to the engine. Whatever it throws rejects the promise.
template <class Begin>
Napi::Value start(const std::shared_ptr<model>& m, const argument& callback, const Begin& begin) {
  Napi::Env env = callback.env();
  pending call;
  call.promise = Napi::Promise::Deferred::New(env);
  if (!callback.absent()) call.callback = Napi::Persistent(callback.function());
  call.keep = m;
  Napi::Promise promise = call.promise->Promise();
  ticket t = m->js->open(std::move(call));
  try {
    begin(m->open_engine(), t);
  } catch (...) {
    if (auto back = m->js->take(t.id())) back->promise->Reject(error_value(env, std::current_exception()));
  }
  return promise;
}

/// `count` elements, copied into a typed array that JavaScript owns.
template <class Array, class T>
Array copy_out(Napi::Env env, const T* from, size_t count) {
  Array out = Array::New(env, count);
  if (count) std::copy(from, from + count, out.Data());
  return out;
}
inline Napi::Float32Array floats_out(Napi::Env env, const std::vector<float>& v) {
  return copy_out<Napi::Float32Array>(env, v.data(), v.size());
}

}  // namespace t2::binding
