// The engine: a loaded model with its thread, queue, KV cache and adapters. Everything here may be called from any thread; work runs on the
// engine thread in order, generation steps interleave with it. Callbacks come from the engine thread. No N-API types.
#pragma once
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "t2/cancel.h"
#include "t2/checkpoint.h"
#include "t2/device.h"
#include "t2/svd.h"

namespace t2 {

struct model_spec {
  std::vector<std::string> files;
  std::string prefix;
  int hidden = 0, intermediate = 0, layers = 0, heads = 0, kv_heads = 0, head_dim = 0, vocabulary = 0;
  float rms_eps = 1e-5f;
  bool tied_head = false, attention_bias = false;
  std::vector<float> rope_inverse_frequencies;
  float rope_factor = 1;
  std::vector<int> window;  // per layer, 0: none
  int context = 0;
};

struct open_options {
  int threads = 0;
  int64_t max_memory = 0;
  bool deterministic = false;
  bool check_weights = true;
};

struct matrix_info {
  std::string name, role;
  int layer, rows, cols;
  dtype type;
  bool has_factors;
};

enum class adapter_mode { automatic, merged, factored };

class adapter;  // z vectors as used, and s = sigma (z − 1) per matrix
typedef std::shared_ptr<adapter> adapter_ptr;
typedef std::shared_ptr<cancel_flag> cancel_ptr;
typedef std::function<void(int64_t done, int64_t total, const std::string& detail)> progress_fn;
/// Called exactly once from the engine thread; a null pointer means success.
typedef std::function<void(std::exception_ptr)> done_fn;

struct generate_row {
  std::vector<int32_t> tokens;
  int n = 1;
  adapter_ptr use;
  int max_tokens = 256;
  float temperature = 0, top_p = 1, min_p = 0, repetition_penalty = 1;
  int top_k = 0;
  uint64_t seed = 0, sequence = 0;
  std::vector<int32_t> stop_ids;
  bool logprobs = false, stream = false;
};

enum class finish { none, stop, length, aborted };

struct generate_event {
  int row, sample;
  std::vector<int32_t> tokens;
  std::vector<float> logprobs;
  finish reason;
};

struct generate_stats {
  int64_t prompt_tokens = 0, completion_tokens = 0;
  double prefill_ms = 0, decode_ms = 0;
  std::string mode;
};

struct score_item {
  std::vector<int32_t> tokens;
  std::vector<std::vector<int32_t>> continuations;
  adapter_ptr use;
};

struct gradient_group {
  std::vector<int32_t> tokens;
  std::vector<std::vector<int32_t>> completions;
  std::vector<float> weights;
};

struct gradient_request {
  std::vector<gradient_group> groups;
  adapter_ptr use;
  std::vector<std::string> names;
  float kl_weight = 0;
  int kl_direction = 0;
  adapter_mode mode = adapter_mode::automatic;
  int64_t activation_bytes = 0;
};

struct gradient_result {
  double loss = 0, kl = 0;
  std::vector<std::vector<std::vector<float>>> logprobs;  // [group][completion][token]
  std::map<std::string, std::vector<float>> vectors;
  int micro_batches = 0;
  bool checkpointed = false;
  std::string mode;
  int64_t peak_bytes = 0;
};

struct memory_use {
  int64_t mapped = 0, merged = 0, factors = 0, kv = 0;
  int64_t device_weights = 0, device_factors = 0;  // copies in a device's own memory
  int64_t device_available = 0, device_total = 0;  // as the device last said
};

class engine {
 public:
  /// Maps and checks the checkpoint on the calling thread (use a thread of your own: it may take a while) and starts the engine thread.
  /// Throws ERR_T2_MODEL_NOT_FOUND, ERR_T2_INVALID_CHECKPOINT, ERR_T2_UNSUPPORTED_MODEL, ERR_T2_OUT_OF_MEMORY, ERR_T2_ABORTED.
  static std::shared_ptr<engine> open(device_ptr on, model_spec spec, open_options options, cancel_ptr cancel, progress_fn progress);
  virtual ~engine() = default;

  /// Stops running work (it ends with ERR_T2_DISPOSED) and joins the thread. Idempotent. Must not be called from the engine thread.
  virtual void close() = 0;

  virtual std::vector<matrix_info> matrices() = 0;
  virtual memory_use memory() = 0;
  /// A JSON object: name, and what else the device tells.
  virtual std::string describe_device() = 0;

  /// Results are valid when done is called without an error; `out` must live until then (keep it in the closure).
  virtual void hash(std::vector<std::string> names, std::shared_ptr<std::vector<std::string>> out, cancel_ptr, progress_fn, done_fn) = 0;
  virtual void read_matrix(std::string name, adapter_ptr use, std::shared_ptr<std::vector<float>> out, done_fn) = 0;
  virtual void decompose(std::vector<std::string> names, dtype type, svd_driver driver, cancel_ptr,
                         std::function<void(const std::string& name, const std::string& sha256, svd_result&&)> on_matrix, done_fn) = 0;
  virtual void attach_factors(std::vector<std::pair<std::string, std::string>> name_and_path, done_fn) = 0;

  /// Checks names, lengths, finiteness; throws ERR_T2_INVALID_OPTION at once (called on the caller's thread).
  virtual adapter_ptr make_adapter(std::map<std::string, std::vector<float>> z) = 0;
  virtual void merge(adapter_ptr use, cancel_ptr, done_fn) = 0;

  virtual int64_t generate(std::vector<generate_row> rows, adapter_mode mode, std::function<void(std::vector<generate_event>&&)> on_events,
                           std::function<void(std::exception_ptr, const generate_stats&)> on_done) = 0;
  virtual void generate_cancel(int64_t id, int row, int sample) = 0;

  virtual void score(std::vector<score_item> items, adapter_mode mode, std::shared_ptr<std::vector<std::vector<std::vector<float>>>> out,
                     cancel_ptr, done_fn) = 0;
  virtual void logits(std::vector<std::vector<int32_t>> sequences, adapter_ptr use, adapter_mode mode,
                      std::shared_ptr<std::vector<std::vector<float>>> out, cancel_ptr, done_fn) = 0;
  virtual void gradients(gradient_request request, std::shared_ptr<gradient_result> out, cancel_ptr, progress_fn, done_fn) = 0;
};

/// CPU features, BLAS and build, as a list of key and value.
struct system_info {
  std::string isa, blas, compiler, build;
  int cores;
};
system_info describe_system();

}  // namespace t2
