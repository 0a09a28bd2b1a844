// Native failures as JavaScript errors.
#include "errors.h"

#include <cstdio>
#include <new>

namespace t2::binding {

static Napi::Value make_error(Napi::Env env, const char* code, const std::string& message, const std::string& detail) {
  Napi::Object error = Napi::Error::New(env, message).Value();
  error.Set("code", Napi::String::New(env, code));
  if (!detail.empty()) error.Set("detail", Napi::String::New(env, detail));
  return error;
}

Napi::Value error_value(Napi::Env env, std::exception_ptr failure) {
  try {
    std::rethrow_exception(failure);
  } catch (const t2::error& e) {
    return make_error(env, e.code(), e.what(), e.detail());
  } catch (const Napi::Error& e) {
    return e.Value();
  } catch (const std::bad_alloc&) {
    return make_error(env, "ERR_T2_OUT_OF_MEMORY", "The system has no memory left for this work.", {});
  } catch (const std::exception& e) {
    return make_error(env, "ERR_T2_NATIVE", e.what(), {});
  } catch (...) {
    return make_error(env, "ERR_T2_NATIVE", "An unknown native exception was thrown.", {});
  }
}

std::string json_string(std::string_view text) {
  std::string out = "\"";
  for (char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if ((unsigned char)c < 0x20) {
      char escape[8];
      std::snprintf(escape, sizeof escape, "\\u%04x", c);
      out += escape;
    } else {
      out += c;
    }
  }
  return out + '"';
}

t2::error disposed_error() { return t2::error("ERR_T2_DISPOSED", "The model was disposed of before this call."); }

}  // namespace t2::binding
