// The way from other threads back to one JavaScript environment: a queue of messages, one pending wake-up, and a table of calls in flight.
//
// Two halves. `mailbox` may be used from any thread and outlives the environment (then it drops what it is given). `environment` belongs to
// the JavaScript thread and holds everything of JavaScript: promises, callbacks. Engine threads hold only a `ticket`, a number in that
// table, so no JavaScript value is ever copied or destroyed elsewhere.
#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <thread>
#include <unordered_map>
#include <vector>

#include "napi_setup.h"
#include "t2/engine.h"

namespace t2::binding {

class environment;
typedef std::function<void(environment&)> message;

class mailbox {
 public:
  /// Runs `m` on the JavaScript thread soon. False, and `m` destroyed at once, when the environment is gone. Any thread.
  bool post(message m);

 private:
  friend class environment;
  std::mutex mutex_;
  std::vector<message> queue_;
  bool waking_ = false;
  napi_threadsafe_function wake_ = nullptr;  // null: the environment is gone
};

/// What JavaScript waits for in one call. JavaScript thread only.
struct pending {
  std::optional<Napi::Promise::Deferred> promise;
  Napi::FunctionReference callback;  // progress, events, matrices; may be empty
  Napi::FunctionReference done;      // generateStart's end
  std::shared_ptr<void> keep;        // the model, so that it is not collected under its own work
};

/// A call in flight as other threads see it. Copyable; after the call is finished everything it does is ignored.
class ticket {
 public:
  ticket(std::shared_ptr<mailbox> mail, uint64_t id) : mail_(std::move(mail)), id_(id) {}
  /// Runs `use` on the JavaScript thread while the call is in flight.
  bool post(std::function<void(environment&, pending&)> use) const;
  /// The same, once and last: the call is over.
  bool finish(std::function<void(environment&, pending&)> use) const;
  /// Ends the call by settling its promise: with `failure`, or with what `make` returns (undefined when empty).
  bool settle(std::exception_ptr failure, std::function<Napi::Value(Napi::Env)> make) const;
  uint64_t id() const { return id_; }

 private:
  std::shared_ptr<mailbox> mail_;
  uint64_t id_;
};

/// Per JavaScript environment (main thread or worker). Created at load. close() runs as the environment's clean-up hook; process.exit() on
/// the main thread runs no such hooks, there stop() runs from atexit so that no engine thread computes while libraries are taken down.
class environment : public std::enable_shared_from_this<environment> {
 public:
  explicit environment(napi_env env) : env_(env), mail_(std::make_shared<mailbox>()) {}
  static std::shared_ptr<environment> create(Napi::Env env);

  Napi::Env env() const { return env_; }
  bool stopped() const { return stopped_; }

  /// Enters a call; from here until it is finished the event loop stays alive.
  ticket open(pending call);
  /// The call, taken out of the table; nothing when it is already finished.
  std::optional<pending> take(uint64_t id);
  pending* find(uint64_t id);

  /// Runs `work` on a thread of its own, then `after` (may be empty) here. The thread is joined when it ends or when the environment does;
  /// in the latter case `cancel` is fired and `after` is left out.
  void run_aside(cancel_ptr cancel, std::function<void()> work, message after = {});

  void add(std::shared_ptr<engine> e) { engines_.insert(std::move(e)); }
  void remove(const std::shared_ptr<engine>& e) { engines_.erase(e); }

  /// The device for single operators (see device.h), with that many threads on the CPU; opened at first use.
  device_ptr operator_device(int threads, bool deterministic);

 private:
  struct helper {
    std::thread thread;
    cancel_ptr cancel;
  };
  static void wake(napi_env env, napi_value, void* context, void*);
  void drain();
  /// Ends all native work of this environment; touches no JavaScript. Idempotent.
  void stop();
  void close();
  static void stop_all();

  napi_env env_;
  napi_threadsafe_function wake_ = nullptr;
  std::shared_ptr<mailbox> mail_;
  std::unordered_map<uint64_t, pending> calls_;
  std::unordered_map<uint64_t, helper> helpers_;
  std::set<std::shared_ptr<engine>> engines_;
  std::map<std::pair<int, bool>, device_ptr> operator_devices_;
  uint64_t next_id_ = 1;
  bool stopped_ = false;
};

/// Calls a JavaScript function from a message; an exception it throws becomes the environment's uncaught exception.
void call_back(Napi::Env env, const Napi::FunctionReference& function, std::initializer_list<napi_value> values);

/// Progress, coalesced: JavaScript hears the newest state once per wake-up. Empty when there is no callback.
progress_fn progress_to(const ticket& call, bool wanted);

}  // namespace t2::binding
