// The engine thread: a queue of jobs, between them generation steps. Public calls only queue; nothing of the model is touched elsewhere.
#include "t2/engine.h"

#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>

#include "compute.h"
#include "decompose.h"

namespace t2 {
namespace {

class engine_thread final : public engine, private weight_keeper, public std::enable_shared_from_this<engine_thread> {
 public:
  engine_thread(device_ptr d, model_spec spec, const open_options& options, const cancel_check& cancel, const progress_fn& progress)
      : options_(options),
        device_(std::move(d)),
        model_(device_, std::move(spec), options.check_weights, cancel, progress),
        graph_(device_, model_),
        scheduler_(graph_, *this, options.deterministic, options.max_memory),
        compute_(graph_, *this, options.deterministic),
        description_(device_->table->describe(device_->context)) {
    look_at_memory();
  }

  ~engine_thread() override {
    if (thread_.joinable()) thread_.detach();  // it has ended, or is the one that runs this
  }

  /// The thread owns the engine too, so that whoever drops the last handle (a callback, perhaps) pulls nothing from under it.
  void start() {
    thread_ = std::thread([self = shared_from_this()] { self->run(); });
  }

  /// Asks the thread to end without waiting for it.
  void leave() {
    std::lock_guard lock(mutex_);
    closing_.fire();
    wake_.notify_all();
  }

  void close() override {
    leave();
    std::lock_guard lock(close_mutex_);
    if (thread_.joinable() && thread_.get_id() != std::this_thread::get_id()) thread_.join();
  }

  std::vector<matrix_info> matrices() override {
    std::vector<matrix_info> out;
    std::lock_guard lock(factors_mutex_);
    for (auto& m : model_.matrices) out.push_back({m.name, m.role, m.layer, m.w.rows, m.w.cols, dtype(m.w.dtype), m.factored});
    return out;
  }

  memory_use memory() override {
    std::lock_guard lock(factors_mutex_);
    memory_use use{model_.mapped_bytes(), merged_bytes_.load(), model_.factor_bytes(), kv_bytes_.load()};
    use.device_weights = model_.device_weight_bytes();
    use.device_factors = model_.device_factor_bytes();
    use.device_available = device_available_;
    use.device_total = device_total_;
    return use;
  }

  std::string describe_device() override { return description_; }

  void hash(std::vector<std::string> names, std::shared_ptr<std::vector<std::string>> out, cancel_ptr cancel, progress_fn progress,
            done_fn done) override {
    post(std::move(cancel), std::move(done), [this, names = std::move(names), out, progress](const cancel_check& check) {
      int64_t i = 0;
      for (auto& name : names) {
        check();
        const matrix& m = model_.matrices[size_t(model_.require(name))];
        out->push_back(sha256_hex(m.host.data, size_t(m.bytes)));
        if (progress) progress(++i, int64_t(names.size()), name);
      }
    });
  }

  void read_matrix(std::string name, adapter_ptr use, std::shared_ptr<std::vector<float>> out, done_fn done) override {
    post(nullptr, std::move(done), [this, name, use, out](const cancel_check& cancel) {
      int i = model_.require(name);
      t2_matrix w = model_.matrices[size_t(i)].host;
      std::vector<char> copy;
      if (use && use->touches(i)) {
        const merged_weights* m = merged(use, cancel);
        w = m->view[size_t(i)];
        copy.resize(size_t(model_.matrices[size_t(i)].bytes));
        check(*device_, device_->table->download(device_->context, copy.data(), w.data, copy.size()));
        w.data = copy.data();
      }
      out->resize(size_t(w.rows) * size_t(w.cols));
      for (size_t j = 0; j < out->size(); j++)
        (*out)[j] = dtype(w.dtype) == dtype::f32   ? static_cast<const float*>(w.data)[j]
                    : dtype(w.dtype) == dtype::f16 ? f16_to_f32(static_cast<const uint16_t*>(w.data)[j])
                                                   : bf16_to_f32(static_cast<const uint16_t*>(w.data)[j]);
    });
  }

  void decompose(std::vector<std::string> names, dtype type, svd_driver driver, cancel_ptr cancel,
                 std::function<void(const std::string&, const std::string&, svd_result&&)> on_matrix, done_fn done) override {
    post(std::move(cancel), std::move(done), [this, names = std::move(names), type, driver, on_matrix](const cancel_check& check) {
      std::vector<t2_matrix> list;
      std::vector<const matrix*> of;
      for (auto& name : names) {
        of.push_back(&model_.matrices[size_t(model_.require(name))]);
        list.push_back(of.back()->host);
      }
      const auto on_result = [&](size_t i, svd_result&& r) {
        on_matrix(names[i], sha256_hex(of[i]->host.data, size_t(of[i]->bytes)), std::move(r));
      };
      int threads = options_.threads > 0 ? options_.threads : int(std::thread::hardware_concurrency());
      if (device_->table->svd) decompose_on(device_->table, device_->context, list, type, driver, check, on_result);
      else decompose_all(list, type, driver, threads, check, on_result);
    });
  }

  void attach_factors(std::vector<std::pair<std::string, std::string>> files, done_fn done) override {
    post(nullptr, std::move(done), [this, files = std::move(files)](const cancel_check& check) {
      std::lock_guard lock(factors_mutex_);
      for (auto& [name, path] : files) model_.attach_factors(name, path, check);
    });
  }

  adapter_ptr make_adapter(std::map<std::string, std::vector<float>> z) override {
    std::lock_guard lock(factors_mutex_);
    return std::make_shared<adapter>(device_, model_, z);
  }

  void merge(adapter_ptr use, cancel_ptr cancel, done_fn done) override {
    post(std::move(cancel), std::move(done), [this, use](const cancel_check& check) {
      if (!use || use->is_base()) {
        merged_.reset();
        merged_bytes_ = 0;
      } else {
        merged(use, check);
      }
    });
  }

  int64_t generate(std::vector<generate_row> rows, adapter_mode mode, std::function<void(std::vector<generate_event>&&)> on_events,
                   std::function<void(std::exception_ptr, const generate_stats&)> on_done) override {
    int64_t id = next_id_++;
    auto shared = std::make_shared<std::vector<generate_row>>(std::move(rows));
    auto stop = std::make_shared<cancel_flag>();
    {
      std::lock_guard lock(stops_mutex_);
      stops_[id] = stop;
    }
    auto finished = [this, id, on_done](std::exception_ptr e, const generate_stats& stats) {
      {
        std::lock_guard lock(stops_mutex_);
        stops_.erase(id);
      }
      on_done(e, stats);
    };
    post(
        nullptr,
        [finished](std::exception_ptr e) {
          if (e) finished(e, {});
        },
        [this, id, shared, mode, on_events, finished, stop](const cancel_check&) {
          scheduler_.add(id, std::move(*shared), mode, on_events, finished, stop);
        });
    return id;
  }

  void generate_cancel(int64_t id, int row, int sample) override {
    if (row < 0) {
      std::lock_guard lock(stops_mutex_);
      auto stop = stops_.find(id);
      if (stop != stops_.end()) stop->second->fire();
    }
    post(
        nullptr, [](std::exception_ptr) {}, [this, id, row, sample](const cancel_check&) { scheduler_.cancel(id, row, sample); }, true);
  }

  void score(std::vector<score_item> items, adapter_mode mode, std::shared_ptr<std::vector<std::vector<std::vector<float>>>> out,
             cancel_ptr cancel, done_fn done) override {
    post(std::move(cancel), std::move(done),
         [this, items = std::move(items), mode, out](const cancel_check& check) { compute_.score(items, mode, *out, check); });
  }

  void logits(std::vector<std::vector<int32_t>> sequences, adapter_ptr use, adapter_mode mode,
              std::shared_ptr<std::vector<std::vector<float>>> out, cancel_ptr cancel, done_fn done) override {
    post(std::move(cancel), std::move(done), [this, sequences = std::move(sequences), use, mode, out](const cancel_check& check) {
      compute_.logits(sequences, use, mode, *out, check);
    });
  }

  void gradients(gradient_request request, std::shared_ptr<gradient_result> out, cancel_ptr cancel, progress_fn progress,
                 done_fn done) override {
    post(std::move(cancel), std::move(done), [this, request = std::move(request), out, progress](const cancel_check& check) {
      compute_.gradients(request, *out, check, progress);
    });
  }

 private:
  struct job {
    cancel_ptr cancel;
    done_fn done;
    std::function<void(const cancel_check&)> work;
  };

  void post(cancel_ptr cancel, done_fn done, std::function<void(const cancel_check&)> work, bool urgent = false) {
    {
      std::lock_guard lock(mutex_);
      if (!closing_.fired()) {
        job j{std::move(cancel), std::move(done), std::move(work)};
        if (urgent) jobs_.push_front(std::move(j));
        else jobs_.push_back(std::move(j));
        wake_.notify_all();
        return;
      }
    }
    done(std::make_exception_ptr(error("ERR_T2_DISPOSED", "The model was disposed of.")));
  }

  static int is_cancelled(void* data) { return static_cast<const cancel_check*>(data)->fired(); }

  void run() {
    while (true) {
      job j;
      {
        std::unique_lock lock(mutex_);
        wake_.wait(lock, [&] { return closing_.fired() || !jobs_.empty() || scheduler_.busy(); });
        if (closing_.fired()) break;
        if (!jobs_.empty()) {
          j = std::move(jobs_.front());
          jobs_.pop_front();
        }
      }
      if (j.work) perform(j);
      if (scheduler_.busy()) {
        cancel_check check{nullptr, &closing_};
        device_->table->set_cancel(device_->context, is_cancelled, &check);
        scheduler_.step(check);
        device_->table->set_cancel(device_->context, nullptr, nullptr);
        kv_bytes_ = scheduler_.kv_bytes();
        if (!scheduler_.busy()) {
          if (!device_->table->graph_begin) graph_.work().clear();  // recorded steps count on its addresses
          look_at_memory();
        }
      }
    }
    auto why = std::make_exception_ptr(error("ERR_T2_DISPOSED", "The model was disposed of while this work was running."));
    scheduler_.fail_all(why);
    std::deque<job> rest;
    {
      std::lock_guard lock(mutex_);
      rest.swap(jobs_);
    }
    for (auto& r : rest) r.done(why);
  }

  void perform(job& j) {
    cancel_check check{j.cancel.get(), &closing_};
    std::exception_ptr failed;
    device_->table->set_cancel(device_->context, is_cancelled, &check);
    try {
      check();
      j.work(check);
    } catch (const std::bad_alloc&) {
      failed = std::make_exception_ptr(error("ERR_T2_OUT_OF_MEMORY", "The system has no memory left for this work."));
    } catch (...) {
      failed = std::current_exception();
    }
    device_->table->set_cancel(device_->context, nullptr, nullptr);
    look_at_memory();
    j.work = nullptr;
    j.done(failed);
  }

  /// The device is asked on its own thread only; others read what it said last.
  void look_at_memory() {
    int64_t available = 0, total = 0;
    if (device_->table->memory(device_->context, &available, &total) != T2_OK) return;
    device_available_ = available;
    device_total_ = total;
  }

  // weight_keeper
  const merged_weights* merged(const adapter_ptr& a, const cancel_check& cancel) override {
    if (merged_ && merged_->of == a) return merged_.get();
    merged_.reset();
    merged_bytes_ = 0;
    int64_t most = options_.max_memory ? std::max<int64_t>(1, options_.max_memory - scheduler_.kv_bytes()) : 0;
    merged_ = merge_all(device_, model_, a, most, cancel);
    merged_bytes_ = merged_->bytes;
    return merged_.get();
  }
  bool can_merge(const adapter& a) override {
    if (device_->table->host_memory) return true;
    int64_t available = 0, reserve = device_reserve(*device_, &available);
    return merged_bytes(model_, a) + reserve <= available + merged_bytes_;
  }
  const adapter* merged_now() const override { return merged_ ? merged_->of.get() : nullptr; }
  const cost_model& cost() override {
    if (!measured_) {
      cost_ = cost_model::measure(device_, model_.matrices.empty() ? dtype::f32 : dtype(model_.matrices[0].w.dtype));
      measured_ = true;
    }
    return cost_;
  }

  open_options options_;
  device_ptr device_;
  model model_;
  graph graph_;
  scheduler scheduler_;
  compute compute_;
  std::unique_ptr<merged_weights> merged_;
  cost_model cost_;
  bool measured_ = false;

  std::mutex mutex_, close_mutex_, factors_mutex_, stops_mutex_;
  std::map<int64_t, cancel_ptr> stops_;  // of the generate calls that have not ended
  std::condition_variable wake_;
  std::deque<job> jobs_;
  cancel_flag closing_;
  std::atomic<int64_t> next_id_{1}, merged_bytes_{0}, kv_bytes_{0}, device_available_{0}, device_total_{0};
  const std::string description_;
  std::thread thread_;
};

}  // namespace

std::shared_ptr<engine> engine::open(device_ptr d, model_spec spec, open_options options, cancel_ptr cancel, progress_fn progress) {
  cancel_check check{cancel.get(), nullptr};
  check();
  auto e = std::make_shared<engine_thread>(std::move(d), std::move(spec), options, check, progress);
  e->start();
  return {e.get(), [e](engine*) { e->leave(); }};
}

}  // namespace t2
