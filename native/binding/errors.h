// Native failures as JavaScript errors: `code` always, `detail` (a JSON text) where the core gives one. JavaScript thread only.
#pragma once
#include <exception>
#include <string>
#include <string_view>

#include "napi_setup.h"
#include "t2/error.h"

namespace t2::binding {

/// The Error object for any exception: t2::error keeps its code, std::bad_alloc is ERR_T2_OUT_OF_MEMORY, a JavaScript exception stays what
/// it was, anything else is ERR_T2_NATIVE.
Napi::Value error_value(Napi::Env env, std::exception_ptr failure);

/// A JSON string literal, quotes included.
std::string json_string(std::string_view text);

/// What every call on a closed model fails with.
t2::error disposed_error();

}  // namespace t2::binding
