// The one exception of the native core. binding/ turns it into a JavaScript error with `code` and `detail`; nothing else catches it.
#pragma once
#include <stdexcept>
#include <string>
#include <utility>

namespace t2 {

class error : public std::runtime_error {
 public:
  /// `code` is one of lib/errors.ts; `detail` is a JSON object as text, or empty.
  error(const char* code, const std::string& message, std::string detail = {})
      : std::runtime_error(message), code_(code), detail_(std::move(detail)) {}
  const char* code() const { return code_; }
  const std::string& detail() const { return detail_; }

 private:
  const char* code_;
  std::string detail_;
};

}  // namespace t2
