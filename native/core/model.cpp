// Finds every tensor the graph needs, by Hugging Face's names, and checks shapes, types and (optionally) finiteness.
#include "model.h"

#include <algorithm>
#include <cmath>
#include <thread>

namespace t2 {
namespace {

std::string quote(const std::string& s) {
  std::string out = "\"";
  for (char c : s) {
    if (c == '"' || c == '\\') out += '\\';
    out += (unsigned char)c < 32 ? ' ' : c;
  }
  return out + "\"";
}

[[noreturn]] void bad(const std::string& tensor, const std::string& message) {
  throw error("ERR_T2_INVALID_CHECKPOINT", "Tensor " + tensor + " " + message, "{\"tensor\":" + quote(tensor) + "}");
}

/// Index of the first NaN or infinity, or −1.
int64_t first_not_finite(const t2_matrix& m) {
  int64_t count = int64_t(m.rows) * m.cols;
  if (dtype(m.dtype) == dtype::f32) {
    auto p = static_cast<const uint32_t*>(m.data);
    for (int64_t i = 0; i < count; i += 4096) {
      int64_t e = std::min(count, i + 4096);
      uint32_t any = 0;
      for (int64_t j = i; j < e; j++) any |= (p[j] & 0x7f800000) == 0x7f800000;
      if (any)
        for (int64_t j = i; j < e; j++)
          if ((p[j] & 0x7f800000) == 0x7f800000) return j;
    }
  } else {
    auto p = static_cast<const uint16_t*>(m.data);
    uint16_t mask = dtype(m.dtype) == dtype::f16 ? 0x7c00 : 0x7f80;
    for (int64_t i = 0; i < count; i += 4096) {
      int64_t e = std::min(count, i + 4096);
      uint16_t any = 0;
      for (int64_t j = i; j < e; j++) any |= (p[j] & mask) == mask;
      if (any)
        for (int64_t j = i; j < e; j++)
          if ((p[j] & mask) == mask) return j;
    }
  }
  return -1;
}

}  // namespace

t2_matrix model::stored(const std::string& name, int rows, int cols) const {
  const stored_tensor* t = files_->find(spec.prefix + name);
  if (!t) bad(spec.prefix + name, "is missing from the checkpoint.");
  if (t->shape.size() != 2 || t->shape[0] != rows || t->shape[1] != cols) {
    std::string have;
    for (auto s : t->shape) have += (have.empty() ? "" : ", ") + std::to_string(s);
    bad(spec.prefix + name,
        "has shape [" + have + "], but config.json asks for [" + std::to_string(rows) + ", " + std::to_string(cols) + "].");
  }
  return {t->data, int32_t(t->type), rows, cols, cols};
}

const float* model::vector(const std::string& name, int size) {
  const stored_tensor* t = files_->find(spec.prefix + name);
  if (!t) bad(spec.prefix + name, "is missing from the checkpoint.");
  if (t->shape.size() != 1 || t->shape[0] != size) bad(spec.prefix + name, "must have shape [" + std::to_string(size) + "].");
  std::vector<float> values;
  for (int i = 0; i < size; i++) {
    float f = t->type == dtype::f32   ? static_cast<const float*>(t->data)[i]
              : t->type == dtype::f16 ? f16_to_f32(static_cast<const uint16_t*>(t->data)[i])
                                      : bf16_to_f32(static_cast<const uint16_t*>(t->data)[i]);
    if (!std::isfinite(f)) bad(spec.prefix + name, "holds NaN or infinity at element " + std::to_string(i) + ".");
    values.push_back(f);
  }
  small_.emplace_back(device_, values.size() * 4);
  check(*device_, device_->table->upload(device_->context, small_.back().data(), values.data(), values.size() * 4));
  return small_.back().floats();
}

model::model(device_ptr d, model_spec s, bool check_weights, const cancel_check& cancel, const progress_fn& progress)
    : spec(std::move(s)),
      device_(std::move(d)),
      files_(std::make_unique<tensor_files>(spec.files, "ERR_T2_INVALID_CHECKPOINT")),
      factors_(std::make_unique<factor_store>(device_)) {
  static const char* const role_names[roles] = {"q", "k", "v", "o", "gate", "up", "down"};
  static const char* const parts[roles] = {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj",
                                           "mlp.gate_proj",    "mlp.up_proj",      "mlp.down_proj"};
  int h = spec.hidden, q = q_size(), kv = kv_size(), f = spec.intermediate;
  const int shapes[roles][2] = {{q, h}, {kv, h}, {kv, h}, {h, q}, {f, h}, {f, h}, {h, f}};
  embedding = stored("model.embed_tokens.weight", spec.vocabulary, h);
  head = spec.tied_head ? embedding : stored("lm_head.weight", spec.vocabulary, h);
  final_norm = vector("model.norm.weight", h);
  for (int l = 0; l < spec.layers; l++) {
    std::string base = "model.layers." + std::to_string(l) + ".";
    layer y;
    y.norm1 = vector(base + "input_layernorm.weight", h);
    y.norm2 = vector(base + "post_attention_layernorm.weight", h);
    for (int r = 0; r < roles; r++) {
      matrix m;
      m.name = spec.prefix + base + parts[r];
      m.role = role_names[r];
      m.layer = l;
      m.host = m.w = stored(base + parts[r] + ".weight", shapes[r][0], shapes[r][1]);
      m.bytes = bytes_of(m.host);
      y.at[r] = int(matrices.size());
      index_[m.name] = y.at[r];
      matrices.push_back(std::move(m));
    }
    if (spec.attention_bias)
      for (int r = 0; r < 3; r++) y.bias[r] = vector(base + parts[r] + ".bias", shapes[r][0]);
    layers.push_back(y);
  }
  small_.emplace_back(device_, spec.rope_inverse_frequencies.size() * 4);
  check(*device_, device_->table->upload(device_->context, small_.back().data(), spec.rope_inverse_frequencies.data(),
                                         spec.rope_inverse_frequencies.size() * 4));
  rope = small_.back().floats();

  int64_t total = int64_t(matrices.size()) + 1 + (spec.tied_head ? 0 : 1), done = 0;
  auto look = [&](const t2_matrix& m, const std::string& name) {
    cancel();
    if (check_weights) {
      int64_t i = first_not_finite(m);
      if (i >= 0) bad(name, "holds NaN or infinity at row " + std::to_string(i / m.cols) + ", column " + std::to_string(i % m.cols) + ".");
    }
    if (progress) progress(++done, total, name);
  };
  // a big embedding is looked at in slices, so that an abort is answered
  auto slices = [&](const t2_matrix& m, const std::string& name) {
    for (int r = 0; check_weights && r + 8192 < m.rows; r += 8192) {
      cancel();
      t2_matrix part = m;
      part.rows = 8192;
      part.data = static_cast<const char*>(m.data) + int64_t(r) * m.cols * size_of(dtype(m.dtype));
      int64_t i = first_not_finite(part);
      if (i >= 0)
        bad(name, "holds NaN or infinity at row " + std::to_string(r + i / m.cols) + ", column " + std::to_string(i % m.cols) + ".");
    }
    t2_matrix rest = m;
    int skip = (m.rows - 1) / 8192 * 8192;
    rest.rows -= skip;
    rest.data = static_cast<const char*>(m.data) + int64_t(skip) * m.cols * size_of(dtype(m.dtype));
    look(rest, name);
  };
  if (!device_->table->host_memory) need_room(spec.tied_head ? 0 : bytes_of(head));
  auto bring = [&](t2_matrix& m) {
    buffer storage;
    m = to_device(device_, m, storage, cancel);
    device_weights_ += int64_t(storage.bytes());
    large_.push_back(std::move(storage));
  };
  slices(embedding, spec.prefix + "model.embed_tokens.weight");
  bring(embedding);
  if (!spec.tied_head) {
    slices(head, spec.prefix + "lm_head.weight");
    bring(head);
  } else {
    head = embedding;
  }
  for (auto& m : matrices) {
    look(m.w, m.name + ".weight");
    bring(m.w);
  }
}

// Says at once what the uploads would find out after minutes.
void model::need_room(int64_t head_bytes) const {
  int64_t needed = bytes_of(embedding) + head_bytes, available = 0, total = 0;
  for (auto& m : matrices) needed += m.bytes;
  check(*device_, device_->table->memory(device_->context, &available, &total));
  if (needed > available) fail_allocation(*device_, size_t(needed));
}

int model::find(const std::string& name) const {
  auto i = index_.find(name);
  return i == index_.end() ? -1 : i->second;
}

int model::require(const std::string& name) const {
  int i = find(name);
  if (i < 0) throw error("ERR_T2_INVALID_OPTION", "The model has no matrix " + quote(name) + ".", "{\"name\":" + quote(name) + "}");
  return i;
}

void model::attach_factors(const std::string& name, const std::string& path, const cancel_check& cancel) {
  int index = require(name);
  matrix& m = matrices[size_t(index)];
  auto file = std::make_shared<tensor_files>(std::vector<std::string>{path}, "ERR_T2_INVALID_FACTORS");
  int r = m.rank();
  auto part = [&](const char* tensor, std::vector<int64_t> shape) {
    const stored_tensor* t = file->find(tensor);
    if (!t || t->shape != shape)
      throw error("ERR_T2_INVALID_FACTORS", "Factor file of " + name + " has no tensor " + tensor + " of the right shape: " + path,
                  "{\"path\":" + quote(path) + ",\"tensor\":" + quote(tensor) + "}");
    return t;
  };
  const stored_tensor *u = part("U", {m.w.rows, r}), *vh = part("Vh", {r, m.w.cols}), *sigma = part("S", {r});
  if (sigma->type != dtype::f32) throw error("ERR_T2_INVALID_FACTORS", "S must be F32 in " + path, "{\"path\":" + quote(path) + "}");
  auto s = static_cast<const float*>(sigma->data);
  for (int i = 0; i < r; i++)
    if (!std::isfinite(s[i]) || s[i] < 0 || (i && s[i] > s[i - 1]))
      throw error("ERR_T2_INVALID_FACTORS", "S is not a descending list of singular values in " + path, "{\"path\":" + quote(path) + "}");
  m.sigma.assign(s, s + r);
  m.factor_type = u->type;
  factors_->attach(index, {{u->data, int32_t(u->type), m.w.rows, r, r}, {vh->data, int32_t(vh->type), r, m.w.cols, m.w.cols}}, cancel);
  m.file = std::move(file);
  m.factored = true;
}

int64_t model::factor_bytes() const {
  int64_t sum = 0;
  for (auto& m : matrices)
    if (m.file) sum += m.file->bytes();
  return sum;
}

}  // namespace t2
