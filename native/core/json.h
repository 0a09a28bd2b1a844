// A strict pull reader for JSON in memory, for file headers that nobody vouches for: no tree is built, nesting is limited, every deviation
// from RFC 8259 and every repeated key throws json_error. One reader per thread; the text outlives it.
#pragma once
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>

namespace t2 {

class json_error : public std::runtime_error {
 public:
  json_error(const std::string& what, size_t offset) : std::runtime_error(what), offset(offset) {}
  size_t offset;  // bytes from the beginning of the text
};

class json_reader {
 public:
  explicit json_reader(std::string_view text) : text_(text) {}

  /// Call once at an object or array, then `next_…` until it says false. Between two calls exactly one value must be read or skipped.
  void begin_object();
  bool next_member(std::string& key);
  void begin_array();
  bool next_element();

  std::string string();
  /// An integer that fits; fractions and exponents throw.
  int64_t integer();
  void skip();
  /// Only blanks may follow the outermost value.
  void end();

  char peek();  // first character of the next value, 0 at the end
  size_t offset() const { return at_; }
  [[noreturn]] void fail(const std::string& what) const { throw json_error(what, at_); }

 private:
  static constexpr int max_depth = 32;

  void blanks();
  void expect(char c);
  void enter(char open);
  bool next(char close);
  unsigned hex4();
  void number();
  void word(std::string_view w);

  std::string_view text_;
  size_t at_ = 0;
  int depth_ = 0;
  bool first_[max_depth + 1] = {};
};

/// `s` as a JSON string with its quotes.
std::string json_quote(std::string_view s);

}  // namespace t2
