// Messages from engine threads to JavaScript, and what happens to them when the environment ends.
#include "jobs.h"

#include <cstdlib>

#include "device.h"
#include "errors.h"

namespace t2::binding {

bool mailbox::post(message m) {
  std::lock_guard lock(mutex_);
  if (!wake_) return false;
  queue_.push_back(std::move(m));
  // Under the lock, so that close() cannot release the function between the look and the call. The call itself never blocks: its queue
  // has no limit and holds at most one entry of ours.
  if (!waking_) waking_ = napi_call_threadsafe_function(wake_, nullptr, napi_tsfn_nonblocking) == napi_ok;
  return true;
}

bool ticket::post(std::function<void(environment&, pending&)> use) const {
  return mail_->post([id = id_, use = std::move(use)](environment& js) {
    if (pending* call = js.find(id)) use(js, *call);
  });
}

bool ticket::finish(std::function<void(environment&, pending&)> use) const {
  return mail_->post([id = id_, use = std::move(use)](environment& js) {
    if (std::optional<pending> call = js.take(id)) use(js, *call);
  });
}

bool ticket::settle(std::exception_ptr failure, std::function<Napi::Value(Napi::Env)> make) const {
  return finish([failure, make = std::move(make)](environment& js, pending& call) mutable {
    Napi::Env env = js.env();
    Napi::Value value = env.Undefined();
    try {
      if (!failure && make) value = make(env);
    } catch (...) {
      failure = std::current_exception();
    }
    if (failure) call.promise->Reject(error_value(env, failure));
    else call.promise->Resolve(value);
  });
}

// All environments of the process, for atexit. Never destroyed: it must outlast every static object.
static std::mutex& registry_mutex() {
  static auto* mutex = new std::mutex;
  return *mutex;
}
static std::set<environment*>& registry() {
  static auto* all = new std::set<environment*>;
  return *all;
}

void environment::stop_all() {
  // Workers have ended by now (Node joins them before it calls exit), so no environment can leave the registry meanwhile.
  std::lock_guard lock(registry_mutex());
  for (environment* js : registry()) js->stop();
}

std::shared_ptr<environment> environment::create(Napi::Env env) {
  auto js = std::make_shared<environment>(env);
  auto* context = new std::shared_ptr<environment>(js);  // the thread-safe function's, freed with it
  napi_status status = napi_create_threadsafe_function(
      env, nullptr, nullptr, Napi::String::New(env, "transformer2"), 0, 1, nullptr,
      [](napi_env, void*, void* owned) { delete static_cast<std::shared_ptr<environment>*>(owned); }, context, wake, &js->wake_);
  if (status != napi_ok) {
    delete context;
    throw Napi::Error::New(env);
  }
  js->mail_->wake_ = js->wake_;
  napi_unref_threadsafe_function(env, js->wake_);
  // Registered after the function's own hook and so run before it: while close() runs, the function is still whole.
  napi_add_env_cleanup_hook(
      env,
      [](void* owned) {
        auto* js = static_cast<std::shared_ptr<environment>*>(owned);
        (*js)->close();
        delete js;
      },
      new std::shared_ptr<environment>(js));
  std::lock_guard lock(registry_mutex());
  static const int registered = std::atexit(stop_all);
  (void)registered;
  registry().insert(js.get());
  return js;
}

void environment::wake(napi_env env, napi_value, void* context, void*) {
  if (env) (*static_cast<std::shared_ptr<environment>*>(context))->drain();  // null: the environment is going, close() was here
}

void environment::drain() {
  std::vector<message> messages;
  {
    std::lock_guard lock(mail_->mutex_);
    mail_->waking_ = false;
    messages.swap(mail_->queue_);
  }
  for (message& m : messages) {
    if (stopped_) return;
    napi_handle_scope scope;
    if (napi_open_handle_scope(env_, &scope) != napi_ok) return;
    try {
      m(*this);
    } catch (...) {
      // Only a worker that is being terminated gets here: nothing can be told to its JavaScript any more.
    }
    m = nullptr;
    napi_close_handle_scope(env_, scope);
  }
}

ticket environment::open(pending call) {
  if (calls_.empty()) napi_ref_threadsafe_function(env_, wake_);
  uint64_t id = next_id_++;
  calls_.emplace(id, std::move(call));
  return ticket(mail_, id);
}

std::optional<pending> environment::take(uint64_t id) {
  auto found = calls_.find(id);
  if (found == calls_.end()) return std::nullopt;
  std::optional<pending> call = std::move(found->second);
  calls_.erase(found);
  if (calls_.empty()) napi_unref_threadsafe_function(env_, wake_);
  return call;
}

pending* environment::find(uint64_t id) {
  auto found = calls_.find(id);
  return found == calls_.end() ? nullptr : &found->second;
}

void environment::run_aside(cancel_ptr cancel, std::function<void()> work, message after) {
  uint64_t id = next_id_++;
  helper& h = helpers_[id];
  h.cancel = std::move(cancel);
  try {
    h.thread = std::thread([mail = mail_, id, work = std::move(work), after = std::move(after)]() mutable {
      work();
      work = nullptr;
      mail->post([id, after = std::move(after)](environment& js) {
        auto found = js.helpers_.find(id);
        found->second.thread.join();
        js.helpers_.erase(found);
        if (after) after(js);
      });
    });
  } catch (...) {
    helpers_.erase(id);
    throw;
  }
}

void environment::stop() {
  if (stopped_) return;
  stopped_ = true;
  std::vector<message> dropped;  // destroyed outside the lock
  {
    std::lock_guard lock(mail_->mutex_);
    mail_->wake_ = nullptr;
    dropped.swap(mail_->queue_);
  }
  // Stop, then join: afterwards no thread knows this environment.
  for (auto& [id, h] : helpers_)
    if (h.cancel) h.cancel->fire();
  for (auto& [id, h] : helpers_) h.thread.join();
  helpers_.clear();
  for (auto& e : engines_) e->close();
  engines_.clear();
  operator_devices_.clear();
}

void environment::close() {
  {
    std::lock_guard lock(registry_mutex());
    registry().erase(this);
  }
  stop();
  calls_.clear();
  napi_release_threadsafe_function(wake_, napi_tsfn_abort);
}

device_ptr environment::operator_device(int threads, bool deterministic) {
  device_spec spec = test_device(threads, deterministic);
  if (!spec.library.path.empty()) threads = 0;  // its threads are the device's own
  device_ptr& opened = operator_devices_[{threads, deterministic}];
  if (!opened) opened = open_device(spec);
  return opened;
}

void call_back(Napi::Env env, const Napi::FunctionReference& function, std::initializer_list<napi_value> values) {
  if (function.IsEmpty()) return;
  napi_value result;
  if (napi_call_function(env, env.Undefined(), function.Value(), values.size(), values.begin(), &result) == napi_ok) return;
  bool thrown = false;
  napi_value exception;
  if (napi_is_exception_pending(env, &thrown) == napi_ok && thrown && napi_get_and_clear_last_exception(env, &exception) == napi_ok)
    napi_fatal_exception(env, exception);
}

progress_fn progress_to(const ticket& call, bool wanted) {
  if (!wanted) return {};
  struct state {
    std::mutex mutex;
    bool posted = false;
    int64_t done = 0, total = 0;
    std::string detail;
  };
  auto newest = std::make_shared<state>();
  return [call, newest](int64_t done, int64_t total, const std::string& detail) {
    {
      std::lock_guard lock(newest->mutex);
      newest->done = done;
      newest->total = total;
      newest->detail = detail;
      if (newest->posted) return;
      newest->posted = true;
    }
    call.post([newest](environment& js, pending& p) {
      Napi::Env env = js.env();
      double done, total;
      std::string detail;
      {
        std::lock_guard lock(newest->mutex);
        newest->posted = false;
        done = double(newest->done);
        total = double(newest->total);
        detail = newest->detail;
      }
      call_back(env, p.callback, {Napi::Number::New(env, done), Napi::Number::New(env, total), Napi::String::New(env, detail)});
    });
  };
}

}  // namespace t2::binding
