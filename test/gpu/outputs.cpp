// What ends a step: the loss with its gradient, the sampler; decode steps as graphs; decompositions.
#include "gpu.h"

namespace t2::gpu {
namespace {

using doubles = std::vector<double>;

void losses(const device& d, results& r) {
  random g(31);
  for (dtype type : all_types)
    for (auto [n, vocabulary, hidden] : {std::tuple{1, 5, 8}, {7, 333, 65}, {67, 1001, 128}})
      for (int direction : {-1, 0, 1}) {
        stored head(d, g, vocabulary, hidden, type, 0.3f);
        auto h = g.floats(size_t(n * hidden)), other = g.floats(h.size()), weight = g.floats(size_t(n)),
             kl_weight = g.floats(size_t(n), 0.2f);
        std::vector<int32_t> target;
        for (int i = 0; i < n; i++) target.push_back(g.below(vocabulary));
        array<float> dev_h(d, h), dev_other(d, other), dh(d, h.size());
        std::vector<float> logprob(static_cast<size_t>(n));
        doubles kl(static_cast<size_t>(n));
        bool with_kl = direction >= 0;
        t2_loss l{dev_h,
                  with_kl ? static_cast<float*>(dev_other) : nullptr,
                  head.m,
                  target.data(),
                  weight.data(),
                  with_kl ? kl_weight.data() : nullptr,
                  std::max(direction, 0),
                  n,
                  dh,
                  logprob.data(),
                  kl.data()};
        d.ok(d.t->loss(d.c, &l), "loss");
        doubles want_logprob, want_kl, want_dh(h.size());
        auto logs = [&](const std::vector<float>& x, int i) {
          doubles out;
          double total = 0;
          for (int j = 0; j < vocabulary; j++) {
            double dot = 0;
            for (int e = 0; e < hidden; e++) dot += rounded(x[size_t(i * hidden + e)], type) * head(j, e);
            out.push_back(dot);
            total += std::exp(dot);
          }
          for (auto& v : out) v -= std::log(total);
          return out;
        };
        for (int i = 0; i < n; i++) {
          doubles p = logs(h, i), q = logs(other, i);
          const size_t at = size_t(i);
          want_logprob.push_back(p[size_t(target[at])]);
          double divergence = 0;
          for (size_t j = 0; j < p.size(); j++)
            divergence += direction == 1 ? std::exp(q[j]) * (q[j] - p[j]) : std::exp(p[j]) * (p[j] - q[j]);
          want_kl.push_back(divergence);
          for (int j = 0; j < vocabulary; j++) {
            const size_t b = size_t(j);
            double slope = weight[at] * (std::exp(p[b]) - (j == target[at]));
            if (direction == 0) slope += kl_weight[at] * std::exp(p[b]) * (p[b] - q[b] - divergence);
            if (direction == 1) slope += kl_weight[at] * (std::exp(p[b]) - std::exp(q[b]));
            for (int e = 0; e < hidden; e++) want_dh[at * size_t(hidden) + size_t(e)] += slope * head(j, e);
          }
        }
        std::string name = std::string(name_of(type)) + " " + std::to_string(n) + " of " + std::to_string(vocabulary) +
                           (direction < 0 ? ""
                            : direction   ? ", KL(reference ‖ policy)"
                                          : ", KL(policy ‖ reference)");
        r.check("loss, log-probs: " + name, logprob, want_logprob, 1e-5);
        if (with_kl) r.check("loss, KL: " + name, std::vector<float>(kl.begin(), kl.end()), want_kl, 1e-4);
        // with 16-bit heads dlogits are rounded before their product with the head
        r.check("loss, dhidden: " + name, dh.get(), want_dh, type == dtype::f32 ? 2e-5 : type == dtype::f16 ? 2e-3 : 1e-2);
      }
}

void samples(const device& d, results& r) {
  random g(32);
  for (int vocabulary : {1, 33, 1000, 128256}) {
    const int n = 5;
    auto x = g.floats(size_t(n) * size_t(vocabulary), 8);
    array<float> logits(d, x);
    // greedy; the best one of one; a draw; with everything on; the same draw as row 2 at another place of the batch
    t2_sample_row rows[n] = {{0, 1, 0, 1, 0, 1, 0, 0, nullptr, 0},
                             {1, 1, 0, 1, 1, 2, 0, 3, nullptr, 0},
                             {1.3f, 1, 0, 1, 0, 3, 9, 17, nullptr, 0},
                             {0.8f, 0.9f, 0.01f, 1, 40, 4, 0, 5, nullptr, 0},
                             {0, 1, 0, 1, 0, 5, 0, 0, nullptr, 0}};
    int32_t ids[n], again[n];
    float logprobs[n];
    d.ok(d.t->sample(d.c, logits, n, vocabulary, rows, ids, logprobs), "sample");
    logits.set(x);
    d.ok(d.t->sample(d.c, logits, n, vocabulary, rows, again, nullptr), "sample");
    int wrong = 0;
    doubles want;
    for (int i = 0; i < n; i++) {
      const float* row = x.data() + size_t(i) * size_t(vocabulary);
      int best = int(std::max_element(row, row + vocabulary) - row);
      wrong += ids[i] != again[i] || ids[i] < 0 || ids[i] >= vocabulary || ((i < 2 || i == 4) && ids[i] != best);
      double total = 0;
      for (int j = 0; j < vocabulary; j++) total += std::exp(double(row[j]) - row[best]);
      want.push_back(row[std::clamp(ids[i], 0, vocabulary - 1)] - row[best] - std::log(total));
    }
    r.check("sample: greedy, seeded, of " + std::to_string(vocabulary), wrong, 0);
    r.check("sample: log-probs of " + std::to_string(vocabulary), std::vector<float>(logprobs, logprobs + n), want, 1e-5);
  }
}

void decompose(const device& d, results& r, int rows, int cols, const char* driver, int rank) {
  random g(uint64_t(rows * 7 + cols));
  auto w = g.floats(size_t(rows) * size_t(cols));
  if (rank) {  // of rank `rank` but for rounding
    auto a = g.floats(size_t(rows * rank)), b = g.floats(size_t(rank * cols));
    for (int i = 0; i < rows; i++)
      for (int j = 0; j < cols; j++) {
        double sum = 0;
        for (int l = 0; l < rank; l++) sum += a[size_t(i * rank + l)] * b[size_t(l * cols + j)];
        w[size_t(i) * size_t(cols) + size_t(j)] = float(sum);
      }
  }
  const int k = std::min(rows, cols);
  std::vector<float> u(size_t(rows) * size_t(k)), sigma(static_cast<size_t>(k)), vh(size_t(k) * size_t(cols));
  t2_svd item{w.data(), 0, rows, cols, driver, u.data(), sigma.data(), vh.data(), 0, 0, 0, 0, ""};
  int calls = 0;
  d.ok(d.t->svd(
           d.c, &item, 1, [](void* data, int32_t) { ++*static_cast<int*>(data); }, &calls),
       "svd");
  double difference = 0, square = 0, off_u = 0, off_v = 0, order = calls != 1;
  for (int i = 0; i < rows; i++)
    for (int j = 0; j < cols; j++) {
      double sum = 0;
      for (int l = 0; l < k; l++) sum += double(u[size_t(i * k + l)]) * sigma[size_t(l)] * vh[size_t(l) * size_t(cols) + size_t(j)];
      double x = w[size_t(i) * size_t(cols) + size_t(j)];
      difference += (sum - x) * (sum - x), square += x * x;
    }
  for (int a = 0; a < k; a++)
    for (int b = 0; b <= a; b++) {
      double in_u = a == b ? -1 : 0, in_v = in_u;
      for (int i = 0; i < rows; i++) in_u += double(u[size_t(i * k + a)]) * u[size_t(i * k + b)];
      for (int j = 0; j < cols; j++) in_v += double(vh[size_t(a) * size_t(cols) + size_t(j)]) * vh[size_t(b) * size_t(cols) + size_t(j)];
      off_u = std::max(off_u, std::fabs(in_u)), off_v = std::max(off_v, std::fabs(in_v));
    }
  for (int a = 1; a < k; a++) order += sigma[size_t(a)] > sigma[size_t(a - 1)];
  std::string name = "svd " + std::to_string(rows) + " × " + std::to_string(cols) + (rank ? ", rank " + std::to_string(rank) : "") + ", " +
                     driver + " → " + item.driver_used + " in " + std::to_string(int(item.milliseconds)) + " ms";
  r.check(name + ": residual", std::sqrt(difference / square), 1e-6);
  r.check(name + ": U", off_u, 1e-5);
  r.check(name + ": Vh", off_v, 1e-5);
  r.check(name + ": order", order, 0);
}

}  // namespace

void check_outputs(const device& d, results& r) {
  r.group("loss", [&] { losses(d, r); });
  r.group("sample", [&] { samples(d, r); });
}

void check_svd(const device& d, results& r) {
  for (auto [rows, cols] : {std::pair{1, 1}, {1, 9}, {7, 5}, {33, 65}, {96, 64}, {160, 160}, {200, 512}})
    for (const char* driver : {"auto", "gram", "gesvd", "gesvdj", "gesvdp"})
      r.group("svd", [&] { decompose(d, r, rows, cols, driver, 0); });
  for (auto [rows, cols] : {std::pair{40, 60}, {60, 40}}) r.group("svd", [&] { decompose(d, r, rows, cols, "auto", 17); });
}

/// Three steps of one graph with other inputs each time, against the same calls without a graph.
void check_graph(const device& d, results& r) {
  if (!d.t->graph_begin) return r.check("graphs: none", 0, 0);
  random g(41);
  const int n = 4, size = 256, vocabulary = 1000;
  stored table(d, g, vocabulary, size, dtype::bf16), w(d, g, size, size, dtype::bf16, 0.1f);
  auto norm = g.floats(size);
  array<float> dev_norm(d, norm), x(d, n * size), h(d, n * size), logits(d, n * vocabulary);
  auto step = [&](const std::vector<int32_t>& tokens, int32_t* ids) {
    d.ok(d.t->embed(d.c, &table.m, tokens.data(), n, x), "embed");
    d.ok(d.t->rms_norm(d.c, x, dev_norm, n, size, 1e-5f, h), "rms_norm");
    t2_linear item{w.m, x, size, nullptr, 1};
    d.ok(d.t->linear(d.c, h, size, n, &item, 1), "linear");
    t2_linear head{table.m, logits, vocabulary, nullptr, 0};
    d.ok(d.t->linear(d.c, x, size, n, &head, 1), "linear");
    t2_sample_row rows[n];
    for (int i = 0; i < n; i++) rows[i] = {i % 2 ? 1.f : 0.f, 1, 0, 1, 0, 7, uint64_t(i), tokens[0], nullptr, 0};
    d.ok(d.t->sample(d.c, logits, n, vocabulary, rows, ids, nullptr), "sample");
  };
  for (int turn = 0; turn < 3; turn++) {
    std::vector<int32_t> tokens;
    for (int i = 0; i < n; i++) tokens.push_back(g.below(vocabulary));
    int32_t plain[n], graph[n];
    step(tokens, plain);
    auto want = logits.get();
    int status = T2_RETRY;
    for (int attempt = 0; attempt < 2 && status == T2_RETRY; attempt++) {
      d.ok(d.t->graph_begin(d.c, 5), "graph_begin");
      step(tokens, graph);
      status = d.t->graph_end(d.c);
    }
    d.ok(status, "graph_end");
    double different = logits.get() != want;
    for (int i = 0; i < n; i++) different += plain[i] != graph[i];
    r.check(std::string("graph: ") + (turn ? "replayed" : "recorded") + ", the same bits as without", different, 0);
  }
}

}  // namespace t2::gpu
