// Singular value decomposition of a model's matrices, and factor files put to use.
#include "exports.h"
#include "handles.h"

namespace t2::binding {

static Napi::ArrayBuffer bytes_out(Napi::Env env, const std::vector<uint8_t>& bytes) {
  Napi::ArrayBuffer out = Napi::ArrayBuffer::New(env, bytes.size());
  if (!bytes.empty()) std::copy(bytes.begin(), bytes.end(), static_cast<uint8_t*>(out.Data()));
  return out;
}

static Napi::Object matrix_out(Napi::Env env, const std::string& name, const std::string& sha256, const svd_result& r) {
  Napi::Object out = Napi::Object::New(env);
  out.Set("name", name);
  out.Set("rows", r.rows);
  out.Set("columns", r.cols);
  out.Set("rank", r.rank);
  out.Set("dtype", name_of(r.type));
  out.Set("u", bytes_out(env, r.u));
  out.Set("vh", bytes_out(env, r.vh));
  out.Set("sigma", floats_out(env, r.sigma));
  out.Set("sha256", sha256);
  out.Set("residual", r.residual);
  out.Set("orthogonalityU", r.orthogonality_u);
  out.Set("orthogonalityV", r.orthogonality_v);
  out.Set("driver", r.driver);
  out.Set("milliseconds", r.milliseconds);
  return out;
}

Napi::Value decompose_model(environment&, const arguments& args) {
  auto m = handle_of<model>(args.at(0, "model"));
  std::vector<std::string> names = args.at(1, "names").strings();
  argument options = args.at(2, "options");
  dtype type = options["dtype"].choice<dtype>({{"F16", dtype::f16}, {"F32", dtype::f32}});
  svd_driver driver = options["driver"].choice<svd_driver>({{"auto", svd_driver::automatic},
                                                            {"gram", svd_driver::gram},
                                                            {"gesdd", svd_driver::gesdd},
                                                            {"gesvd", svd_driver::gesvd},
                                                            {"gesvdj", svd_driver::gesvdj},
                                                            {"gesvdp", svd_driver::gesvdp}});
  cancel_ptr cancel = cancel_of(args.at(3, "cancel"));
  argument on_matrix = args.at(4, "onMatrix");
  on_matrix.function();
  return start(m, on_matrix, [&](t2::engine& engine, const ticket& t) {
    engine.decompose(
        names, type, driver, cancel,
        [t](const std::string& name, const std::string& sha256, svd_result&& result) {
          auto shared = std::make_shared<svd_result>(std::move(result));
          t.post([name, sha256, shared](environment& js, pending& call) {
            call_back(js.env(), call.callback, {matrix_out(js.env(), name, sha256, *shared)});
          });
        },
        [t, cancel](std::exception_ptr failure) { t.settle(failure, {}); });
  });
}

Napi::Value factors_attach(environment& js, const arguments& args) {
  auto m = handle_of<model>(args.at(0, "model"));
  std::vector<std::pair<std::string, std::string>> files;
  args.at(1, "files").each([&](const argument& file) { files.emplace_back(file["name"].string(), file["path"].string()); });
  return start(m, argument(js.env().Undefined(), ""), [&](t2::engine& engine, const ticket& t) {
    engine.attach_factors(files, [t](std::exception_ptr failure) { t.settle(failure, {}); });
  });
}

}  // namespace t2::binding
