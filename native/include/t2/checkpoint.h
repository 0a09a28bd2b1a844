// Memory-mapped safetensors files, their headers parsed as untrusted input. Files are immutable and shared; mappings end with the last
// owner.
#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "t2/dtype.h"

namespace t2 {

struct stored_tensor {
  dtype type;
  std::vector<int64_t> shape;
  const void* data;  // inside the mapping, aligned to its element
  int64_t bytes;
};

/// A read-only mapped file. Throws ERR_T2_MODEL_NOT_FOUND / ERR_T2_IO.
class mapped_file {
 public:
  explicit mapped_file(const std::string& path);
  ~mapped_file();
  mapped_file(const mapped_file&) = delete;
  mapped_file& operator=(const mapped_file&) = delete;
  const uint8_t* data() const { return data_; }
  int64_t size() const { return size_; }

 private:
  const uint8_t* data_ = nullptr;
  int64_t size_ = 0;
};

/// All tensors of one or more shards. Throws `code` (ERR_T2_INVALID_CHECKPOINT or ERR_T2_INVALID_FACTORS) with file, tensor and offset in
/// the detail when a header lies: length, offsets, overlap, dtype × shape ≠ bytes, duplicate names, malformed JSON, file shorter than
/// promised. Tensors of other dtypes (I64 …) are listed as unknown and ignored.
class tensor_files {
 public:
  tensor_files(const std::vector<std::string>& paths, const char* code);
  /// Null when there is none of that name.
  const stored_tensor* find(const std::string& name) const;
  int64_t bytes() const { return bytes_; }

 private:
  std::vector<std::unique_ptr<mapped_file>> files_;
  std::vector<std::unique_ptr<uint8_t[]>> copies_;  // tensors that were not aligned in their file
  std::map<std::string, stored_tensor> tensors_;
  int64_t bytes_ = 0;
};

/// Lower-case hexadecimal SHA-256 (SHA-NI where the processor has it).
std::string sha256_hex(const void* data, size_t bytes);

}  // namespace t2
