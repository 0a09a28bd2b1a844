// The single place that includes napi.h, so that every file of binding/ is compiled with the same rules.
#pragma once

#ifndef NAPI_VERSION
#define NAPI_VERSION 9
#endif
#ifndef NAPI_CPP_EXCEPTIONS
#define NAPI_CPP_EXCEPTIONS
#endif
// Buffers handed out are copies owned by JavaScript: Electron forbids external ones, and a closed model must not leave views into itself.
#define NODE_API_NO_EXTERNAL_BUFFERS_ALLOWED
// Finalizers run during garbage collection and touch no JavaScript; the compiler holds us to it.
#define NODE_ADDON_API_REQUIRE_BASIC_FINALIZERS
// An exception thrown while a worker is being terminated has nowhere to go; without this node-addon-api ends the whole process.
#define NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS

#include <napi.h>
