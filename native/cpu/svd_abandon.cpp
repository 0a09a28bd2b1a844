// Jobs inside LAPACK that a cancelled caller leaves behind. Any thread; threads left behind are joined at the latest when the library is
// unloaded, because OpenBLAS must not be torn down under them.
#include <chrono>
#include <condition_variable>
#include <exception>
#include <memory>
#include <mutex>
#include <thread>

#include "svd_parts.h"

namespace t2::svd {

namespace {

struct job_state {
  std::mutex mutex;
  std::condition_variable changed;
  bool done = false;
  std::exception_ptr error;
};

class orphans {
 public:
  void add(std::thread thread, std::shared_ptr<job_state> state) {
    std::lock_guard lock(mutex_);
    std::erase_if(left_, [](auto& o) {
      bool done = (std::lock_guard(o.state->mutex), o.state->done);
      if (done) o.thread.join();
      return done;
    });
    left_.push_back({std::move(thread), std::move(state)});
  }
  ~orphans() {
    for (auto& o : left_) o.thread.join();
  }

 private:
  struct orphan {
    std::thread thread;
    std::shared_ptr<job_state> state;
  };
  std::mutex mutex_;
  std::vector<orphan> left_;
};

}  // namespace

void run_abandonable(bool small, const cancel_check& cancel, std::function<void()> job) {
  cancel();
  if (small) return job();
  static orphans left;
  auto state = std::make_shared<job_state>();
  std::thread thread([state, job = std::move(job)]() mutable {
    std::exception_ptr error;
    try {
      job();
    } catch (...) {
      error = std::current_exception();
    }
    job = nullptr;  // its buffers go before anybody who waits is told
    std::lock_guard lock(state->mutex);
    state->error = error;
    state->done = true;
    state->changed.notify_all();
  });
  std::unique_lock lock(state->mutex);
  while (!state->done && !cancel.fired()) state->changed.wait_for(lock, std::chrono::milliseconds(5));
  bool done = state->done;
  lock.unlock();
  if (!done) {
    left.add(std::move(thread), state);
    cancel();
  }
  thread.join();
  if (state->error) std::rethrow_exception(state->error);
}

}  // namespace t2::svd
