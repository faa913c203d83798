#include "train/bench.h"

#include <algorithm>
#include <chrono>

#include "core/random.h"
#include "models/transformer/transformer.h"
#include "train/peak_rate.h"

namespace stepstone {

TransformerConfig gpt2_124m() {
  TransformerConfig c;
  c.model_type = "gpt2";
  c.vocab_size = 50257;
  c.hidden_size = 768;
  c.layers = 12;
  c.heads = c.kv_heads = 12;
  c.head_dim = 64;
  c.intermediate_size = 3072;
  c.max_positions = 1024;
  c.norm = nn::NormKind::layer;
  c.norm_eps = 1e-5f;
  c.position = PositionKind::learned;
  c.activation = ops::Activation::gelu_tanh;
  c.gated = false;
  c.qkv_bias = c.attention_output_bias = c.mlp_bias = true;
  c.tied_head = true;
  return c;
}

TrainBenchResult bench_train(const TransformerConfig& config, const TrainBenchOptions& options) {
  Transformer model(config);
  model.initialize({});
  Optimizer optimizer(model.parameters(), options.optim);
  const auto n = static_cast<std::size_t>(options.rows * options.context);
  std::vector<std::int32_t> tokens(n), targets(n), positions(n), segments = {0};
  Random random(1);
  for (std::size_t i = 0; i < n; ++i) {
    tokens[i] =
        static_cast<std::int32_t>(random.below(static_cast<std::uint64_t>(config.vocab_size)));
    positions[i] = static_cast<std::int32_t>(static_cast<std::int64_t>(i) % options.context);
  }
  for (std::size_t i = 0; i < n; ++i) targets[i] = tokens[(i + 1) % n];
  for (std::int64_t r = 1; r <= options.rows; ++r) {
    segments.push_back(static_cast<std::int32_t>(r * options.context));
  }

  TrainBenchResult result;
  std::vector<double> seconds;
  for (int step = 0; step <= options.steps; ++step) {
    const auto start = std::chrono::steady_clock::now();
    Graph graph({.record = true,
                 .training = true,
                 .compute = options.compute,
                 .profiler = step > 0 ? options.profiler : nullptr});
    const Var hidden = model.hidden(graph, {tokens, positions, segments});
    ops::HeadLossConfig head;
    head.scale = 1.0f / static_cast<float>(n);
    const Var loss = model.loss(graph, hidden, targets, head);
    graph.backward(loss);
    {
      const OpTimer timer(step > 0 ? options.profiler : nullptr, "optimizer", Pass::forward);
      optimizer.step(1.0);
    }
    const std::chrono::duration<double> d = std::chrono::steady_clock::now() - start;
    result.last_loss = static_cast<double>(loss.value().data<float>()[0]);
    if (step == 0) {
      result.first_loss = result.last_loss;
    } else {
      seconds.push_back(d.count());
    }
  }
  require(result.last_loss < result.first_loss, "bench: the loss rose from {} to {}",
          result.first_loss, result.last_loss);
  std::sort(seconds.begin(), seconds.end());
  result.seconds_per_step = seconds[seconds.size() / 2];
  result.tokens_per_second = static_cast<double>(n) / result.seconds_per_step;
  result.parameters = config.parameters();
  result.peak_bytes = allocator_stats().peak_bytes;
  result.share_of_peak = result.tokens_per_second * config.flops_per_token(options.context) /
                         peak_rate(options.compute);
  return result;
}

}  // namespace stepstone
