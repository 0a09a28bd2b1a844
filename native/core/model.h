// A loaded checkpoint: matrices as they are stored (mapped, and copied to a device with memory of its own), norms in fp32, factors where
// they have been attached. Immutable but for
// attach_factors, which the engine thread calls between steps.
#pragma once
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "factor_store.h"
#include "t2/checkpoint.h"
#include "t2/engine.h"

namespace t2 {

struct matrix {
  std::string name, role;
  int layer = 0;
  t2_matrix host{};  // as it lies in the file
  t2_matrix w{};     // where operators read it
  int64_t bytes = 0;
  // factors, when attached
  bool factored = false;
  dtype factor_type = dtype::f32;
  std::vector<float> sigma;  // [r]
  std::shared_ptr<tensor_files> file;

  int rank() const { return w.rows < w.cols ? w.rows : w.cols; }
};

enum role { role_q, role_k, role_v, role_o, role_gate, role_up, role_down, roles };

struct layer {
  const float* norm1 = nullptr;  // before attention
  const float* norm2 = nullptr;  // before the MLP
  int at[roles] = {};            // indices into model::matrices
  const float* bias[3] = {};     // q, k, v; or null
};

class model {
 public:
  /// Throws as engine::open says.
  model(device_ptr d, model_spec spec, bool check_weights, const cancel_check& cancel, const progress_fn& progress);

  const model_spec spec;
  std::vector<matrix> matrices;
  std::vector<layer> layers;
  t2_matrix embedding{}, head{};
  const float* final_norm = nullptr;
  const float* rope = nullptr;  // inverse frequencies, device

  int find(const std::string& name) const;  // −1: none
  /// Throws ERR_T2_INVALID_OPTION with the name.
  int require(const std::string& name) const;
  void attach_factors(const std::string& name, const std::string& path, const cancel_check& cancel);
  /// A matrix' factors for operators. Engine thread only.
  factor_views factors(int matrix) const { return factors_->at(matrix); }
  bool factors_stay() const { return factors_->all_resident(); }
  int64_t mapped_bytes() const { return files_->bytes(); }
  int64_t factor_bytes() const;
  /// Bytes of weights and factors in a device's own memory; 0 where that is ordinary memory.
  int64_t device_weight_bytes() const { return device_weights_; }
  int64_t device_factor_bytes() const { return factors_->device_bytes(); }

  int q_size() const { return spec.heads * spec.head_dim; }
  int kv_size() const { return spec.kv_heads * spec.head_dim; }

 private:
  void need_room(int64_t head_bytes) const;
  t2_matrix stored(const std::string& name, int rows, int cols) const;
  const float* vector(const std::string& name, int size);

  device_ptr device_;
  std::unique_ptr<tensor_files> files_;
  std::vector<buffer> small_, large_;
  std::unique_ptr<factor_store> factors_;
  int64_t device_weights_ = 0;
  std::map<std::string, int> index_;
};

}  // namespace t2
