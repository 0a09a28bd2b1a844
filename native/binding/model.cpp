// modelOpen, modelClose and what can be asked of a loaded model.
#include "device.h"
#include "exports.h"
#include "handles.h"

namespace t2::binding {

model::~model() {
  if (closed || js->stopped()) return;  // modelClose's thread, or the end of the environment, has taken care of the engine
  js->run_aside(
      nullptr, [e = engine] { e->close(); }, [e = engine](environment& js) { js.remove(e); });
}

static library_wish library_of(const argument& path, const argument& index, const argument& library_path) {
  library_wish wish;
  wish.path = path.string();
  if (wish.path.empty()) path.reject("a path");
  wish.index = int(index.integer(0, 1023));
  if (!library_path.absent()) wish.library_path = library_path.string();
  return wish;
}

static model_spec spec_of(const argument& a) {
  const int64_t limit = 1 << 24;  // far above any model, far below overflow of a product of two
  model_spec s;
  s.files = a["files"].strings();
  if (s.files.empty()) a["files"].reject("an array with at least one path");
  s.prefix = a["prefix"].string();
  s.hidden = int(a["hiddenSize"].integer(1, limit));
  s.intermediate = int(a["intermediateSize"].integer(1, limit));
  s.layers = int(a["layers"].integer(1, 1 << 16));
  s.heads = int(a["heads"].integer(1, 1 << 16));
  s.kv_heads = int(a["kvHeads"].integer(1, s.heads));
  if (s.heads % s.kv_heads) a["kvHeads"].reject("a divisor of heads (" + std::to_string(s.heads) + ")");
  s.head_dim = int(a["headDim"].integer(2, 1 << 16));
  if (s.head_dim % 2) a["headDim"].reject("even");
  s.vocabulary = int(a["vocabularySize"].integer(1, limit));
  s.rms_eps = float(a["rmsNormEps"].number(0, 1));
  s.tied_head = a["tiedHead"].boolean();
  s.attention_bias = a["attentionBias"].boolean();
  s.rope_inverse_frequencies = a["ropeInverseFrequencies"].floats();
  if (s.rope_inverse_frequencies.size() != size_t(s.head_dim / 2))
    a["ropeInverseFrequencies"].reject("a Float32Array of headDim / 2 = " + std::to_string(s.head_dim / 2) + " elements");
  s.rope_factor = float(a["ropeAttentionFactor"].number(0, 1e6));
  s.window = a["slidingWindow"].int32s();
  if (s.window.size() != size_t(s.layers))
    a["slidingWindow"].reject("an Int32Array of one element per layer (" + std::to_string(s.layers) + ")");
  for (int w : s.window)
    if (w < 0) a["slidingWindow"].reject("an Int32Array without negative elements");
  s.context = int(a["contextLength"].integer(1, max_int32));
  return s;
}

static open_options options_of(const argument& a) {
  open_options o;
  o.threads = int(a["threads"].integer(0, 1024));
  o.max_memory = a["maxMemory"].integer(0, max_safe_integer);
  o.deterministic = a["deterministic"].boolean();
  o.check_weights = a["checkWeights"].boolean();
  return o;
}

/// options.device: { kind: "cpu" } (also when left out) or { kind: "library", path, index, libraryPath }.
static device_spec device_of(const argument& options, const open_options& o) {
  device_spec out{o.threads, {}};
  argument a = options["device"];
  if (a.absent() || !a["kind"].choice<bool>({{"cpu", false}, {"library", true}})) return out;
  out.library = library_of(a["path"], a["index"], a["libraryPath"]);
  out.library.deterministic = o.deterministic;
  return out;
}

/// What the opening thread hands over. An engine that nobody took (the environment ended meanwhile) is closed with it.
struct opening {
  std::shared_ptr<t2::engine> engine;
  std::exception_ptr failure;
  ~opening() {
    if (engine) engine->close();
  }
};

Napi::Value model_open(environment& js, const arguments& args) {
  model_spec spec = spec_of(args.at(0, "spec"));
  open_options options = options_of(args.at(1, "options"));
  device_spec where = device_of(args.at(1, "options"), options);
  cancel_ptr cancel = cancel_of(args.at(2, "cancel"));
  if (!cancel) cancel = std::make_shared<cancel_flag>();
  argument on_progress = args.at(3, "onProgress");

  pending call;
  call.promise = Napi::Promise::Deferred::New(js.env());
  if (!on_progress.absent()) call.callback = Napi::Persistent(on_progress.function());
  Napi::Promise promise = call.promise->Promise();
  ticket t = js.open(std::move(call));
  auto result = std::make_shared<opening>();
  int vocabulary = spec.vocabulary;
  try {
    js.run_aside(
        cancel,
        [result, where, spec, options, cancel, progress = progress_to(t, !on_progress.absent())] {
          try {
            result->engine = t2::engine::open(open_device(where), spec, options, cancel, progress);
          } catch (...) {
            result->failure = std::current_exception();
          }
        },
        [result, t, vocabulary](environment& js) {
          std::shared_ptr<model> m;
          if (result->engine) {
            m = std::make_shared<model>();
            m->js = js.shared_from_this();
            m->engine = std::move(result->engine);
            m->vocabulary = vocabulary;
            js.add(m->engine);
          }
          auto back = js.take(t.id());
          if (m) back->promise->Resolve(make_handle(js.env(), m));
          else back->promise->Reject(error_value(js.env(), result->failure));
        });
  } catch (...) {
    if (auto back = js.take(t.id())) back->promise->Reject(error_value(js.env(), std::current_exception()));
  }
  return promise;
}

Napi::Value model_close(environment& js, const arguments& args) {
  auto m = handle_of<model>(args.at(0, "model"));
  pending call;
  call.promise = Napi::Promise::Deferred::New(js.env());
  Napi::Promise promise = call.promise->Promise();
  if (m->closed && !m->closing) {
    call.promise->Resolve(js.env().Undefined());
    return promise;
  }
  m->when_closed.push_back(js.open(std::move(call)).id());
  if (m->closing) return promise;
  m->closed = m->closing = true;
  js.run_aside(
      nullptr, [e = m->engine] { e->close(); },
      [m](environment& js) {
        js.remove(m->engine);
        m->engine = nullptr;  // its memory, now; handles to adapters do not keep it
        m->closing = false;
        for (uint64_t id : m->when_closed)
          if (auto back = js.take(id)) back->promise->Resolve(js.env().Undefined());
        m->when_closed.clear();
      });
  return promise;
}

Napi::Value model_matrices(environment& js, const arguments& args) {
  auto m = handle_of<model>(args.at(0, "model"));
  std::vector<matrix_info> matrices = m->open_engine().matrices();
  Napi::Array out = Napi::Array::New(js.env(), matrices.size());
  for (size_t i = 0; i < matrices.size(); i++) {
    Napi::HandleScope scope(js.env());
    Napi::Object item = Napi::Object::New(js.env());
    item.Set("name", matrices[i].name);
    item.Set("layer", matrices[i].layer);
    item.Set("role", matrices[i].role);
    item.Set("rows", matrices[i].rows);
    item.Set("columns", matrices[i].cols);
    item.Set("dtype", name_of(matrices[i].type));
    item.Set("hasFactors", Napi::Boolean::New(js.env(), matrices[i].has_factors));
    out.Set(uint32_t(i), item);
  }
  return out;
}

Napi::Value model_memory(environment& js, const arguments& args) {
  auto m = handle_of<model>(args.at(0, "model"));
  memory_use use = m->open_engine().memory();
  Napi::Object out = Napi::Object::New(js.env());
  out.Set("mapped", double(use.mapped));
  out.Set("merged", double(use.merged));
  out.Set("factors", double(use.factors));
  out.Set("kv", double(use.kv));
  Napi::Object device = Napi::Object::New(js.env());
  device.Set("weights", double(use.device_weights));
  device.Set("factors", double(use.device_factors));
  device.Set("available", double(use.device_available));
  device.Set("total", double(use.device_total));
  out.Set("device", device);
  return out;
}

Napi::Value model_device(environment& js, const arguments& args) {
  return Napi::String::New(js.env(), handle_of<model>(args.at(0, "model"))->open_engine().describe_device());
}

/// Opens a device and lets it go.
Napi::Value device_probe(environment& js, const arguments& args) {
  std::string attempts, description;
  int64_t available = 0, total = 0;
  library_wish wish = library_of(args.at(0, "path"), args.at(1, "index"), args.at(2, "libraryPath"));
  if (device_ptr opened = try_backend_library(wish, attempts)) {
    description = opened->table->describe(opened->context);
    opened->table->memory(opened->context, &available, &total);
  }
  Napi::Object out = Napi::Object::New(js.env());
  out.Set("ok", Napi::Boolean::New(js.env(), !description.empty()));
  out.Set("attempts", attempts);
  out.Set("description", description);
  out.Set("available", double(available));
  out.Set("total", double(total));
  return out;
}

Napi::Value model_hash(environment&, const arguments& args) {
  auto m = handle_of<model>(args.at(0, "model"));
  std::vector<std::string> names = args.at(1, "names").strings();
  cancel_ptr cancel = cancel_of(args.at(2, "cancel"));
  argument on_progress = args.at(3, "onProgress");
  return start(m, on_progress, [&](t2::engine& engine, const ticket& t) {
    auto out = std::make_shared<std::vector<std::string>>();
    engine.hash(names, out, cancel, progress_to(t, !on_progress.absent()), [t, out, cancel](std::exception_ptr failure) {
      t.settle(failure, [out](Napi::Env env) -> Napi::Value {
        Napi::Array list = Napi::Array::New(env, out->size());
        for (size_t i = 0; i < out->size(); i++) list.Set(uint32_t(i), (*out)[i]);
        return list;
      });
    });
  });
}

Napi::Value matrix_read(environment& js, const arguments& args) {
  auto m = handle_of<model>(args.at(0, "model"));
  std::string name = args.at(1, "name").string();
  adapter_ptr use = adapter_for(m, args.at(2, "adapter"));
  return start(m, argument(js.env().Undefined(), ""), [&](t2::engine& engine, const ticket& t) {
    auto out = std::make_shared<std::vector<float>>();
    engine.read_matrix(name, use, out, [t, out](std::exception_ptr failure) {
      t.settle(failure, [out](Napi::Env env) -> Napi::Value { return floats_out(env, *out); });
    });
  });
}

}  // namespace t2::binding
