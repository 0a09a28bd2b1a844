// Generation: rows into the running batch, events out, gathered so that JavaScript is called once per wake-up.
#include "exports.h"
#include "handles.h"

namespace t2::binding {

/// Events between the engine thread and JavaScript.
struct event_stream {
  std::mutex mutex;
  std::vector<generate_event> waiting;

  /// True when they are the first ones since the last take: somebody must be woken.
  bool put(std::vector<generate_event>&& events) {
    std::lock_guard lock(mutex);
    bool first = waiting.empty();
    for (generate_event& e : events) waiting.push_back(std::move(e));
    return first && !waiting.empty();
  }
  std::vector<generate_event> take() {
    std::lock_guard lock(mutex);
    return std::exchange(waiting, {});
  }
};

static const char* name_of(finish reason) {
  switch (reason) {
    case finish::stop:
      return "stop";
    case finish::length:
      return "length";
    case finish::aborted:
      return "aborted";
    default:
      return "";
  }
}

static void deliver(environment& js, pending& call, event_stream& stream, const std::vector<bool>& with_logprobs) {
  std::vector<generate_event> events = stream.take();
  if (events.empty()) return;
  Napi::Env env = js.env();
  Napi::Array list = Napi::Array::New(env, events.size());
  for (size_t i = 0; i < events.size(); i++) {
    Napi::HandleScope scope(env);
    const generate_event& e = events[i];
    Napi::Object item = Napi::Object::New(env);
    item.Set("row", e.row);
    item.Set("sample", e.sample);
    item.Set("tokens", copy_out<Napi::Int32Array>(env, e.tokens.data(), e.tokens.size()));
    item.Set("logprobs", with_logprobs[size_t(e.row)] ? Napi::Value(floats_out(env, e.logprobs)) : env.Null());
    item.Set("finish", name_of(e.reason));
    list.Set(uint32_t(i), item);
  }
  call_back(env, call.callback, {list});
}

static generate_row row_of(const std::shared_ptr<model>& m, const argument& a) {
  generate_row row;
  row.tokens = a["tokens"].tokens(m->vocabulary);
  row.n = int(a["n"].integer(1, 1 << 20));
  row.use = adapter_for(m, a["adapter"]);
  row.max_tokens = int(a["maxTokens"].integer(0, max_int32));
  row.temperature = float(a["temperature"].number(0, 1e6));
  row.top_k = int(a["topK"].integer(0, max_int32));
  row.top_p = float(a["topP"].number(0, 1));
  row.min_p = float(a["minP"].number(0, 1));
  row.repetition_penalty = float(a["repetitionPenalty"].number(1e-3, 1e3));
  row.seed = uint64_t(a["seed"].integer(0, max_safe_integer));
  row.sequence = uint64_t(a["sequence"].integer(0, max_safe_integer));
  row.stop_ids = a["stopIds"].int32s();
  row.logprobs = a["logprobs"].boolean();
  row.stream = a["stream"].boolean();
  return row;
}

Napi::Value generate_start(environment& js, const arguments& args) {
  auto m = handle_of<model>(args.at(0, "model"));
  std::vector<generate_row> rows;
  std::vector<bool> with_logprobs;
  args.at(1, "rows").each([&](const argument& row) {
    rows.push_back(row_of(m, row));
    with_logprobs.push_back(rows.back().logprobs);
  });
  if (rows.empty()) args.at(1, "rows").reject("an array with at least one row");
  adapter_mode mode = mode_of(args.at(2, "mode"));
  pending call;
  call.callback = Napi::Persistent(args.at(3, "onEvent").function());
  call.done = Napi::Persistent(args.at(4, "onDone").function());
  call.keep = m;
  t2::engine& engine = m->open_engine();

  ticket t = js.open(std::move(call));
  auto stream = std::make_shared<event_stream>();
  auto on_events = [t, stream, with_logprobs](std::vector<generate_event>&& events) {
    if (stream->put(std::move(events)))
      t.post([stream, with_logprobs](environment& js, pending& call) { deliver(js, call, *stream, with_logprobs); });
  };
  auto on_done = [t, stream, with_logprobs](std::exception_ptr failure, const generate_stats& stats) {
    t.finish([stream, with_logprobs, failure, stats](environment& js, pending& call) {
      Napi::Env env = js.env();
      deliver(js, call, *stream, with_logprobs);
      if (failure) {
        call_back(env, call.done, {error_value(env, failure), env.Null()});
        return;
      }
      Napi::Object out = Napi::Object::New(env);
      out.Set("promptTokens", double(stats.prompt_tokens));
      out.Set("completionTokens", double(stats.completion_tokens));
      out.Set("prefillMilliseconds", stats.prefill_ms);
      out.Set("decodeMilliseconds", stats.decode_ms);
      out.Set("mode", stats.mode);
      call_back(env, call.done, {env.Null(), out});
    });
  };
  try {
    return Napi::Number::New(js.env(), double(engine.generate(std::move(rows), mode, on_events, on_done)));
  } catch (...) {
    js.take(t.id());
    throw;
  }
}

Napi::Value generate_cancel(environment& js, const arguments& args) {
  auto m = handle_of<model>(args.at(0, "model"));
  int64_t id = args.at(1, "id").integer(0, max_safe_integer);
  int row = int(args.at(2, "row").integer(-1, max_int32));
  int sample = int(args.at(3, "sample").integer(-1, max_int32));
  if (!m->closed && !js.stopped()) m->engine->generate_cancel(id, row, sample);  // closing has cancelled it already
  return js.env().Undefined();
}

}  // namespace t2::binding
