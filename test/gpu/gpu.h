// What the checks and the benchmark of t2_gpu_check share: the opened library, device memory, random inputs, rounding, the table of
// results.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <functional>
#include <stdexcept>
#include <string>
#include <vector>

#include "t2/backend.h"
#include "t2/dtype.h"

namespace t2::gpu {

/// The backend of one library file; throws std::runtime_error with the library's own report.
class device {
 public:
  device(const std::string& library, int index, bool deterministic, const char* vendor_libraries);
  device(const device&) = delete;
  ~device();

  void ok(int status, const char* what) const {
    if (status) throw std::runtime_error(std::string(what) + ": status " + std::to_string(status) + ", " + t->last_error(c));
  }
  /// Waits for everything that has been asked for.
  void wait() const;

  const t2_backend* t = nullptr;
  t2_context* c = nullptr;

 private:
  void* probe_ = nullptr;
};

/// Device memory with the values of a host array.
template <class T>
class array {
 public:
  array(const device& d, size_t count) : d_(&d), count_(count), p_(d.t->allocate(d.c, std::max<size_t>(count, 1) * sizeof(T))) {
    if (!p_) throw std::runtime_error("no device memory for " + std::to_string(count * sizeof(T)) + " bytes");
  }
  array(const device& d, const std::vector<T>& values) : array(d, values.size()) { set(values); }
  array(array&& other) noexcept : d_(other.d_), count_(other.count_), p_(other.p_) { other.p_ = nullptr; }
  array(const array&) = delete;
  ~array() {
    if (p_) d_->t->release(d_->c, p_);
  }
  operator T*() const { return static_cast<T*>(p_); }
  size_t size() const { return count_; }
  void set(const std::vector<T>& values) { d_->ok(d_->t->upload(d_->c, p_, values.data(), values.size() * sizeof(T)), "upload"); }
  std::vector<T> get() const {
    std::vector<T> out(count_);
    d_->ok(d_->t->download(d_->c, out.data(), p_, count_ * sizeof(T)), "download");
    return out;
  }

 private:
  const device* d_;
  size_t count_;
  void* p_;
};

/// splitmix64: the same numbers on every machine.
class random {
 public:
  explicit random(uint64_t seed) : state_(seed) {}
  uint64_t bits() {
    uint64_t z = state_ += 0x9e3779b97f4a7c15ull;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
  }
  int below(int n) { return int(bits() % uint64_t(n)); }
  float uniform() { return float(bits() >> 40) * 0x1p-23f - 1.f; }  // [−1, 1)
  std::vector<float> floats(size_t n, float scale = 1) {
    std::vector<float> out(n);
    for (auto& x : out) x = scale * uniform();
    return out;
  }

 private:
  uint64_t state_;
};

/// A matrix on the device and the values it holds.
struct stored {
  stored(const device& d, random& r, int rows, int cols, dtype type, float scale = 1);
  double operator()(int i, int j) const { return values[size_t(i) * size_t(m.cols) + size_t(j)]; }

  std::vector<float> values;  // [rows, cols], as rounded
  array<uint8_t> data;
  t2_matrix m;
};

/// x as a product with a matrix of this type sees it.
float rounded(float x, dtype type);
std::vector<float> rounded(std::vector<float> x, dtype type);
/// Codes of 16-bit types, or the floats, as bytes.
std::vector<uint8_t> encoded(const std::vector<float>& values, dtype type);

constexpr dtype all_types[] = {dtype::f32, dtype::f16, dtype::bf16};

/// One line per case; counts what is worse than it may be.
class results {
 public:
  /// Largest |actual − expected| over the largest |expected|.
  void check(const std::string& name, const std::vector<float>& actual, const std::vector<double>& expected, double tolerance);
  void check(const std::string& name, double error, double tolerance);
  int failed() const { return failed_; }
  int passed() const { return passed_; }
  /// Runs a group; an exception is one failure.
  void group(const char* name, const std::function<void()>& run);

 private:
  int failed_ = 0, passed_ = 0;
};

void check_rows(const device& d, results& r);
void check_products(const device& d, results& r);
void check_attention(const device& d, results& r);
void check_outputs(const device& d, results& r);
void check_svd(const device& d, results& r);
void check_graph(const device& d, results& r);
/// Sizes divided by `scale` (1 on a GPU); starts nothing new after `seconds`.
void bench(const device& d, int scale, double seconds);

}  // namespace t2::gpu
