// Memory-mapped safetensors files. A header is believed only after every number in it has been checked against the size of the file.
#include "t2/checkpoint.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>
#include <set>
#include <string_view>

#include "json.h"
#include "t2/error.h"

namespace t2 {

namespace {

constexpr int64_t max_header = 100'000'000;  // the limit of the reference implementation

std::string file_detail(const std::string& path) { return "{\"file\":" + json_quote(path) + "}"; }

[[noreturn]] void fail_system(const std::string& path, const char* doing, int number) {
  bool missing = number == ENOENT || number == ENOTDIR;
  std::string message = missing ? "There is no file " + path + ". Check the path and that all shards were downloaded."
                                : std::string("Could not ") + doing + " " + path + ": " + std::strerror(number) + ".";
  throw error(missing ? "ERR_T2_MODEL_NOT_FOUND" : "ERR_T2_IO", message, file_detail(path));
}

/// Closes on every way out.
struct descriptor {
  int fd;
  ~descriptor() {
    if (fd >= 0) ::close(fd);
  }
};

struct entry {
  std::string name;
  std::string type;
  std::vector<int64_t> shape;
  int64_t begin = -1, end = -1;  // relative to the data
};

/// Bytes per element of the format's types; those with a value in `known` can be used as weights.
struct type_info {
  const char* name;
  int bytes;
  std::optional<dtype> known;
};
const type_info types[] = {
    {"F32", 4, dtype::f32}, {"F16", 2, dtype::f16}, {"BF16", 2, dtype::bf16}, {"F64", 8, {}},     {"I64", 8, {}},    {"I32", 4, {}},
    {"I16", 2, {}},         {"I8", 1, {}},          {"U64", 8, {}},           {"U32", 4, {}},     {"U16", 2, {}},    {"U8", 1, {}},
    {"BOOL", 1, {}},        {"C64", 8, {}},         {"F8_E4M3", 1, {}},       {"F8_E5M2", 1, {}}, {"F8_E8M0", 1, {}}};

const type_info* type_of(const std::string& name) {
  for (const type_info& t : types)
    if (name == t.name) return &t;
  return nullptr;
}

/// One file's header.
class header_reader {
 public:
  header_reader(const std::string& path, const mapped_file& file, const char* code) : path_(path), file_(file), code_(code) {}

  std::vector<entry> read() {
    int64_t size = file_.size();
    if (size < 8) fail("is " + std::to_string(size) + " bytes long, too short for a safetensors file", "", size);
    std::string_view start(reinterpret_cast<const char*>(file_.data()), size_t(std::min<int64_t>(size, 40)));
    if (start.starts_with("version https://git-lfs"))
      fail("is a Git LFS pointer, not the file itself; fetch it with `git lfs pull`", "", 0);
    uint64_t length = 0;
    for (int i = 7; i >= 0; i--) length = length << 8 | file_.data()[i];
    if (length > uint64_t(max_header))
      fail("claims a header of " + std::to_string(length) + " bytes (at most 100000000 are allowed)", "", 0);
    if (int64_t(length) > size - 8)
      fail(
          "claims a header of " + std::to_string(length) + " bytes but has " + std::to_string(size) + " in all; it is truncated or damaged",
          "", 0);
    data_ = 8 + int64_t(length);
    std::vector<entry> entries;
    try {
      entries = parse(std::string_view(reinterpret_cast<const char*>(file_.data()) + 8, size_t(length)));
    } catch (const json_error& e) {
      fail(std::string("has a malformed header: ") + e.what() + " at byte " + std::to_string(8 + e.offset), "", 8 + int64_t(e.offset));
    }
    check_layout(entries);
    return entries;
  }

  int64_t data_offset() const { return data_; }

 private:
  [[noreturn]] void fail(const std::string& what, const std::string& tensor, int64_t offset) const {
    std::string detail = "{\"file\":" + json_quote(path_);
    if (!tensor.empty()) detail += ",\"tensor\":" + json_quote(tensor);
    detail += ",\"offset\":" + std::to_string(offset) + "}";
    std::string subject = tensor.empty() ? path_ : "Tensor " + json_quote(tensor) + " of " + path_;
    throw error(code_, subject + " " + what + ".", detail);
  }

  static entry parse_entry(json_reader& json, std::string name) {
    entry e;
    e.name = std::move(name);
    std::set<std::string> seen;
    std::string key;
    json.begin_object();
    while (json.next_member(key)) {
      if (!seen.insert(key).second) json.fail("repeated key " + json_quote(key));
      if (key == "dtype") {
        e.type = json.string();
      } else if (key == "shape") {
        json.begin_array();
        while (json.next_element()) {
          e.shape.push_back(json.integer());
          if (e.shape.back() < 0) json.fail("negative dimension");
          if (e.shape.size() > 16) json.fail("more than 16 dimensions");
        }
      } else if (key == "data_offsets") {
        int64_t* to[] = {&e.begin, &e.end};
        int n = 0;
        json.begin_array();
        while (json.next_element()) {
          if (n == 2) json.fail("more than two data_offsets");
          *to[n] = json.integer();
          if (*to[n++] < 0) json.fail("negative offset");
        }
        if (n != 2) json.fail("fewer than two data_offsets");
      } else {
        json.fail("unknown key " + json_quote(key));
      }
    }
    if (seen.size() != 3) json.fail("tensor " + json_quote(e.name) + " lacks dtype, shape or data_offsets");
    return e;
  }

  static std::vector<entry> parse(std::string_view text) {
    json_reader json(text);
    std::vector<entry> entries;
    std::set<std::string> names;
    std::string name;
    json.begin_object();
    while (json.next_member(name)) {
      if (!names.insert(name).second) json.fail("the name " + json_quote(name) + " occurs twice");
      if (name == "__metadata__") {
        json.skip();
      } else {
        entries.push_back(parse_entry(json, name));
      }
    }
    json.end();
    return entries;
  }

  static std::string range(const entry& e) { return "data_offsets " + std::to_string(e.begin) + " to " + std::to_string(e.end); }

  /// Every tensor lies within the file and has the bytes that its shape needs; together they tile the data without holes or overlaps, as
  /// the reference implementation demands.
  void check_layout(std::vector<entry>& entries) const {
    const int64_t available = file_.size() - data_;
    for (const entry& e : entries) {
      const int64_t at = data_ + std::min(e.begin, available);
      if (e.end < e.begin) fail("ends before it begins: " + range(e), e.name, at);
      if (e.end > available)
        fail("has " + range(e) + ", but the file has only " + std::to_string(available) + " bytes of data; it is truncated or damaged",
             e.name, at);
      const type_info* type = type_of(e.type);
      if (!type) continue;  // a type of a later version of the format: its size is not known here, and nobody may use it
      int64_t bytes = type->bytes;
      for (int64_t n : e.shape)
        if (__builtin_mul_overflow(bytes, n, &bytes)) fail("has a shape too large for any file", e.name, at);
      if (bytes != e.end - e.begin)
        fail("needs " + std::to_string(bytes) + " bytes for its shape and dtype, but has " + range(e), e.name, at);
    }
    std::sort(entries.begin(), entries.end(),
              [](const entry& a, const entry& b) { return std::pair(a.begin, a.end) < std::pair(b.begin, b.end); });
    int64_t expected = 0;
    for (const entry& e : entries) {
      if (e.begin < expected) fail("overlaps the tensor before it: " + range(e), e.name, data_ + e.begin);
      if (e.begin > expected)
        fail("leaves a hole before it: " + range(e) + ", expected from " + std::to_string(expected), e.name, data_ + e.begin);
      expected = e.end;
    }
    if (expected != available)
      fail("has " + std::to_string(available) + " bytes of data, but its header describes " + std::to_string(expected), "",
           data_ + expected);
  }

  const std::string& path_;
  const mapped_file& file_;
  const char* code_;
  int64_t data_ = 0;
};

}  // namespace

mapped_file::mapped_file(const std::string& path) {
  descriptor d{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
  if (d.fd < 0) fail_system(path, "open", errno);
  struct stat st;
  if (::fstat(d.fd, &st) != 0) fail_system(path, "examine", errno);
  if (S_ISDIR(st.st_mode)) fail_system(path, "read", EISDIR);
  size_ = st.st_size;
  if (size_ == 0) return;  // an empty mapping is an error of mmap; the header check says it better
  void* p = ::mmap(nullptr, size_t(size_), PROT_READ, MAP_SHARED, d.fd, 0);
  if (p == MAP_FAILED) fail_system(path, "map", errno);
  data_ = static_cast<const uint8_t*>(p);
}

mapped_file::~mapped_file() {
  if (data_) ::munmap(const_cast<uint8_t*>(data_), size_t(size_));
}

tensor_files::tensor_files(const std::vector<std::string>& paths, const char* code) {
  for (const std::string& path : paths) {
    auto file = std::make_unique<mapped_file>(path);
    header_reader header(path, *file, code);
    for (entry& e : header.read()) {
      const type_info* type = type_of(e.type);
      if (!type || !type->known) continue;
      const uint8_t* data = file->data() + header.data_offset() + e.begin;
      int64_t bytes = e.end - e.begin;
      if (reinterpret_cast<uintptr_t>(data) % size_t(type->bytes) != 0) {
        // Old writers did not pad the header; readers of the tensor may rely on natural alignment, so such a tensor is copied.
        copies_.push_back(std::make_unique<uint8_t[]>(size_t(bytes)));
        std::memcpy(copies_.back().get(), data, size_t(bytes));
        data = copies_.back().get();
      }
      if (!tensors_.emplace(e.name, stored_tensor{*type->known, e.shape, data, bytes}).second)
        throw error(code, "Tensor " + json_quote(e.name) + " of " + path + " is also in another shard.",
                    "{\"file\":" + json_quote(path) + ",\"tensor\":" + json_quote(e.name) +
                        ",\"offset\":" + std::to_string(header.data_offset() + e.begin) + "}");
    }
    bytes_ += file->size();
    files_.push_back(std::move(file));
  }
}

const stored_tensor* tensor_files::find(const std::string& name) const {
  auto it = tensors_.find(name);
  return it == tensors_.end() ? nullptr : &it->second;
}

}  // namespace t2
