// The graph: Llama's layers forward and backward over the operator table.
#pragma once
#include "batch.h"

namespace t2 {

/// Activations of one layer that the backward pass needs; all [tokens, …], device.
struct saved_layer {
  float* x0 = nullptr;                             // input of the layer, hidden
  float *q = nullptr, *k = nullptr, *v = nullptr;  // after RoPE
  float *attention = nullptr, *lse = nullptr;
  float* x1 = nullptr;  // after attention, hidden
  float *gate = nullptr, *up = nullptr;
};

/// Floats per token that saved_layer takes.
int64_t saved_floats(const model& m);

class graph {
 public:
  graph(device_ptr d, const model& m) : device_(std::move(d)), m_(m), work_(device_) {}

  /// Runs all layers over the batch and returns x [outputs, hidden] before the final norm, in the workspace (valid until the next call).
  /// With `saved` (one per layer, pointers set): keeps what backward needs. With `checkpoint`: only x0 of every layer is kept there.
  float* forward(const batch& in, const weights& w, const kv_source& kv, std::vector<saved_layer>* saved, bool checkpoint,
                 const cancel_check& cancel);

  /// dx [tokens, hidden]: gradient at the output of the last layer; overwritten. Adds q sums per matrix to device vectors (index → fp64
  /// [rank], or null: not wanted). `checkpoint`: layers are recomputed into `scratch` first.
  void backward(const batch& in, const weights& w, const kv_source& kv, std::vector<saved_layer>& saved, bool checkpoint,
                saved_layer& scratch, float* dx, const std::vector<double*>& wanted, const cancel_check& cancel);

  /// x and out [n, hidden].
  void final_norm(const float* x, int32_t n, float* out);

  workspace& work() { return work_; }
  const model& m() const { return m_; }
  const device_ptr& dev() const { return device_; }

 private:
  struct output {
    int matrix;
    float* y;
    int64_t stride;
    bool accumulate;
    const float* bias;
  };
  struct scratch_set {
    float *h, *q, *k, *v, *attention, *gate, *up, *act, *low[3];
  };
  scratch_set take_scratch(int32_t n, const weights& w, bool backward);
  void products(const weights& w, const float* x, int64_t x_stride, int32_t n, const std::vector<output>& outputs, scratch_set& s);
  void product_backward(const weights& w, int matrix, const float* g, int32_t n, float* dx, bool accumulate, scratch_set& s);
  void attention_forward(int l, const batch& in, const weights& w, const kv_source& kv, float* x, saved_layer* keep, scratch_set& s);
  void mlp_forward(int l, int32_t n, const weights& w, const float* attention, float* x, saved_layer* keep, scratch_set& s);
  void layer_forward(int l, const batch& in, const weights& w, const kv_source& kv, float* x, saved_layer* keep, scratch_set& s);
  void ok(int status, const cancel_check* cancel = nullptr);

  device_ptr device_;
  const model& m_;
  workspace work_;
  const cancel_check* cancel_ = nullptr;
};

}  // namespace t2
