// The functions that JavaScript sees, one per member of typings/addon.d.ts.
#pragma once
#include "arguments.h"
#include "jobs.h"

namespace t2::binding {

typedef Napi::Value (*exported)(environment& js, const arguments& args);

// model.cpp
Napi::Value model_open(environment&, const arguments&);
Napi::Value model_close(environment&, const arguments&);
Napi::Value model_matrices(environment&, const arguments&);
Napi::Value model_memory(environment&, const arguments&);
Napi::Value model_device(environment&, const arguments&);
Napi::Value device_probe(environment&, const arguments&);
Napi::Value model_hash(environment&, const arguments&);
Napi::Value matrix_read(environment&, const arguments&);
// decompose.cpp
Napi::Value decompose_model(environment&, const arguments&);
Napi::Value factors_attach(environment&, const arguments&);
// adapters.cpp
Napi::Value adapter_create(environment&, const arguments&);
Napi::Value adapter_merge(environment&, const arguments&);
// generate.cpp
Napi::Value generate_start(environment&, const arguments&);
Napi::Value generate_cancel(environment&, const arguments&);
// compute.cpp
Napi::Value score(environment&, const arguments&);
Napi::Value logits(environment&, const arguments&);
Napi::Value gradients(environment&, const arguments&);
// operators.cpp
Napi::Value single_operator(environment&, const arguments&);

}  // namespace t2::binding
