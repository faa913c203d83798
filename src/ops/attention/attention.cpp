#include "ops/attention/attention.h"

#include <cmath>
#include <vector>

#include "ops/attention/attention_cpu.h"

namespace stepstone::ops {
namespace {

constexpr std::string_view kInputs[] = {"qkv"};
enum : int { kQkv };

AttentionConfig checked(AttentionConfig c) {
  require<UsageError>(c.heads > 0 && c.kv_heads > 0 && c.head_dim > 0 && c.heads % c.kv_heads == 0,
                      "attention: heads {} must be a multiple of kv_heads {}, both and head_dim {} "
                      "positive",
                      c.heads, c.kv_heads, c.head_dim);
  require<UsageError>(c.window >= 0, "attention: window {} is negative", c.window);
  require<UsageError>(std::isfinite(c.scale) && c.scale >= 0, "attention: scale {} is not positive",
                      c.scale);
  require<UsageError>(std::isfinite(c.softcap) && c.softcap >= 0,
                      "attention: softcap {} is negative", c.softcap);
  if (c.scale == 0) c.scale = static_cast<float>(1 / std::sqrt(static_cast<double>(c.head_dim)));
  return c;
}

void check_input(const Tensor& qkv, std::span<const std::int32_t> segments,
                 const AttentionConfig& c) {
  const std::int64_t cols = (c.heads + 2 * c.kv_heads) * c.head_dim;
  require<UsageError>(qkv.rank() == 2 && qkv.dim(1) == cols,
                      "attention: expected qkv [T, {}], got {}", cols, to_string(qkv.shape()));
  require<UsageError>(qkv.dtype() == DType::f32 || qkv.dtype() == DType::bf16,
                      "attention: qkv is {}, not f32 or bf16", name_of(qkv.dtype()));
  require<UsageError>(!segments.empty() && segments.front() == 0 && segments.back() == qkv.dim(0) &&
                          std::ranges::is_sorted(segments),
                      "attention: segments must rise from 0 to the {} rows of qkv", qkv.dim(0));
}

// Multiplications and additions of the pairs that are visible.
double forward_flops(const AttentionConfig& c, std::span<const cpu::AttentionSequence> sequences) {
  double pairs = 0;
  for (const auto& s : sequences) {
    for (std::int64_t i = 0; i < s.rows; ++i) {
      const KeyRange seen = visible_keys(c, s.past + i, s.past + s.rows);
      pairs += static_cast<double>(seen.end - seen.begin);
    }
  }
  return 4 * pairs * static_cast<double>(c.heads * c.head_dim);
}

cpu::AttentionForward forward_args(const AttentionConfig& c, const Tensor& qkv, const Tensor& y,
                                   std::span<const cpu::AttentionSequence> sequences) {
  return {.config = c,
          .sequences = sequences,
          .dtype = qkv.dtype(),
          .q = qkv.raw(),
          .q_stride = qkv.dim(1),
          .blocked = false,
          .kv_stride = qkv.dim(1),
          .keys = {},
          .values = {},
          .y_dtype = y.dtype(),
          .y = y.raw(),
          .y_stride = y.dim(1),
          .lse = nullptr};
}

std::vector<cpu::AttentionSequence> documents(const AttentionConfig& c, const Tensor& qkv,
                                              std::span<const std::int32_t> segments) {
  const auto* base = static_cast<const std::byte*>(qkv.raw());
  const auto at = [&](std::int64_t row, std::int64_t head) {
    return base +
           static_cast<std::size_t>(row * qkv.dim(1) + head * c.head_dim) * size_of(qkv.dtype());
  };
  std::vector<cpu::AttentionSequence> result;
  for (std::size_t i = 0; i + 1 < segments.size(); ++i) {
    const std::int64_t row = segments[i];
    result.push_back({.row = row,
                      .rows = segments[i + 1] - row,
                      .past = 0,
                      .k = at(row, c.heads),
                      .v = at(row, c.heads + c.kv_heads)});
  }
  return result;
}

}  // namespace

extern const OpInfo attention_info;
const OpInfo attention_info{
    .name = "attention",
    .formula = "y_i = sum_j softmax_j(scale q_i . k_j) v_j over visible keys j, per head",
    .inputs = kInputs,
    // As one causal document with as many key heads as query heads.
    .cost = [](std::span<const Shape> in) -> Cost {
      const auto rows = static_cast<double>(in[kQkv].dim(0));
      const auto n = static_cast<double>(in[kQkv].numel());
      return {2 * (rows + 1) * n / 3, 4 * (n + n / 3)};
    },
};

Var attention(Graph& graph, const Var& qkv, std::span<const std::int32_t> segments,
              const AttentionConfig& config) {
  const AttentionConfig c = checked(config);
  check_input(qkv.value(), segments, c);
  const OpTimer timer(graph.profiler(), attention_info.name, Pass::forward);
  const Tensor x = qkv.value();
  Tensor y = Tensor::empty({x.dim(0), c.heads * c.head_dim}, graph.compute());
  auto sequences = documents(c, x, segments);
  if (graph.profiler()) {
    const double flops = forward_flops(c, sequences);
    graph.profiler()->add_flops(attention_info.name, Pass::forward, flops);
    graph.profiler()->add_flops(attention_info.name, Pass::backward, 2.5 * flops);
  }
  cpu::AttentionForward args = forward_args(c, x, y, sequences);
  Tensor lse;
  if (graph.saves_for(std::span(&qkv, 1))) {
    lse = Tensor::empty({x.dim(0), c.heads}, DType::f32);
    args.lse = lse.data<float>();
  }
  cpu::attention_forward(args);
  return graph.record(
      attention_info.name, {qkv}, y,
      [c, x, y, lse, sequences = std::move(sequences)](const Tensor& dy, Grads& grads) {
        const auto [dx, accumulate] = grads.into(kQkv);
        cpu::AttentionBackward args{.forward = forward_args(c, x, y, sequences),
                                    .dy = dy.raw(),
                                    .dqkv = dx.raw(),
                                    .accumulate = accumulate};
        args.forward.lse = lse.data<float>();
        cpu::attention_backward(args);
      });
}

Tensor attention_cached(Graph& graph, const Tensor& qkv_new, std::span<const std::int32_t> segments,
                        std::span<const CachedSequence> sequences, const AttentionConfig& config) {
  const AttentionConfig c = checked(config);
  check_input(qkv_new, segments, c);
  require<UsageError>(c.causal, "attention: a cache needs causal attention");
  require<UsageError>(segments.size() == sequences.size() + 1, "attention: {} caches for {} rows",
                      sequences.size(), segments.size() - 1);
  std::vector<cpu::AttentionSequence> queries;
  for (std::size_t i = 0; i < sequences.size(); ++i) {
    KvCacheLayer& cache = *sequences[i].cache;
    const std::int64_t past = sequences[i].past, rows = segments[i + 1] - segments[i];
    require<UsageError>(cache.kv_heads() == c.kv_heads && cache.head_dim() == c.head_dim &&
                            cache.types() == sequences[0].cache->types(),
                        "attention: a cache of {} heads of {} for {} heads of {}, or caches of "
                        "different types in one batch",
                        cache.kv_heads(), cache.head_dim(), c.kv_heads, c.head_dim);
    const auto pages = sequences[i].pages;
    const std::int64_t room = pages.empty() ? cache.capacity() : std::ssize(pages) * kKeyBlock;
    require<UsageError>(past >= 0 && past <= room - rows,
                        "attention: {} rows after {} do not fit a cache of {}", rows, past, room);
    queries.push_back({.row = segments[i],
                       .rows = rows,
                       .past = past,
                       .k = cache.k.raw(),
                       .v = cache.v.raw(),
                       .pages = pages.empty() ? nullptr : pages.data()});
  }
  const OpTimer timer(graph.profiler(), attention_info.name, Pass::forward);
  for (std::size_t i = 0; i < sequences.size(); ++i) {
    sequences[i].cache->store(qkv_new, segments[i], segments[i + 1], sequences[i].past,
                              sequences[i].pages);
  }
  Tensor y = Tensor::empty({qkv_new.dim(0), c.heads * c.head_dim}, qkv_new.dtype());
  cpu::AttentionForward args = forward_args(c, qkv_new, y, queries);
  args.blocked = true;
  if (!sequences.empty()) {
    const KvCacheLayer& cache = *sequences[0].cache;
    args.keys = {cache.types().k, cache.k.dim(2)};
    args.values = {cache.types().v, cache.v.dim(2)};
  }
  cpu::attention_forward(args);
  return y;
}

Tensor attention_cached(Graph& graph, const Tensor& qkv_new, KvCacheLayer& cache, std::int64_t past,
                        const AttentionConfig& config) {
  const std::int32_t segments[] = {0, static_cast<std::int32_t>(qkv_new.dim(0))};
  const CachedSequence sequence{&cache, past, {}};
  return attention_cached(graph, qkv_new, segments, std::span(&sequence, 1), config);
}

}  // namespace stepstone::ops
