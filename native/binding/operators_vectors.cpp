// Single operators on vectors: mix, axpy, cast, adamw.
#include "operators.h"
#include "t2/dtype.h"

namespace t2::binding {

/// v, v1, v2, …, with `weights` one each, around `base`.
static void mix(operator_call& op) {
  int n = op.integer("n", 0, max_int32);
  std::vector<const float*> vectors;
  for (std::string key = "v"; op.has(key.c_str()); key = "v" + std::to_string(vectors.size())) vectors.push_back(op.upload(key.c_str(), n));
  std::vector<float> weights = op.floats("weights", int64_t(vectors.size()));
  float base = op.number("base");
  float* out = op.room(n);
  op.run([&] { return op.backend->mix(op.context, vectors.data(), weights.data(), int32_t(vectors.size()), base, n, out); });
  op.give("out", out, n);
}

static void axpy(operator_call& op) {
  int n = op.integer("n", 0, max_int32);
  float *x = op.upload("x", n), *y = op.upload("y", n), a = op.number("a");
  op.run([&] { return op.backend->axpy(op.context, a, x, n, y); });
  op.give("y", y, n);
}

/// The matrix `x` without its rows, to dtype `to` and from there to F32, so that the result can be given.
static void cast(operator_call& op) {
  t2_matrix x = op.matrix("x");
  int to = op.integer("to", 0, 2);
  int64_t n = elements({x.rows, x.stride});
  float *between = op.room(n), *out = op.room(n);
  op.run([&] {
    int status = op.backend->cast(op.context, x.data, x.dtype, n, between, to);
    return status ? status : op.backend->cast(op.context, between, to, n, out, int32_t(dtype::f32));
  });
  op.give("out", out, n);
}

static void adamw(operator_call& op) {
  int n = op.integer("n", 0, max_int32);
  t2_adamw a{};
  a.n = n;
  a.p = op.upload("p", n);
  a.gradient = op.upload("gradient", n);
  a.m = op.upload("m", n);
  a.v = op.upload("v", n);
  a.learning_rate = op.number("learning_rate");
  a.beta1 = op.number("beta1");
  a.beta2 = op.number("beta2");
  a.eps = op.number("eps");
  a.weight_decay = op.number("weight_decay");
  a.step = op.integer("step", 1, max_int32);
  op.run([&] { return op.backend->adamw(op.context, &a); });
  op.give("p", a.p, n);
  op.give("m", a.m, n);
  op.give("v", a.v, n);
}

const std::vector<named_operator> vector_operators = {{"mix", mix}, {"axpy", axpy}, {"cast", cast}, {"adamw", adamw}};

}  // namespace t2::binding
