#include "ops/head_loss/head_loss.h"

#include <algorithm>
#include <numeric>

#include "backend/cpu/gemm.h"
#include "ops/cross_entropy/cross_entropy_cpu.h"
#include "ops/scale/scale_cpu.h"

namespace stepstone::ops {
namespace {

constexpr std::string_view kInputs[] = {"x", "weight"};
enum : int { kX, kWeight };

// Tokens at a time: about 64 MiB of logits, but no fewer than 512 tokens, as each chunk's products
// read the whole weight and update its whole gradient. The chunks are of one size, but for the
// last.
std::int64_t automatic_chunk(std::int64_t rows, std::int64_t vocabulary) {
  constexpr std::int64_t kLogits = (std::int64_t{64} << 20) / std::int64_t{sizeof(float)};
  const std::int64_t most = std::max<std::int64_t>(512, kLogits / vocabulary);
  const std::int64_t pieces = (rows + most - 1) / most;
  return (rows + pieces - 1) / pieces;
}

cpu::MatrixRef matrix(const Tensor& t, bool transposed = false) {
  return {t.raw(), t.dtype(), t.cols(), transposed};
}

// c (+)= a b
void product(const cpu::MatrixRef& a, const cpu::MatrixRef& b, std::int64_t k, const Tensor& c,
             DType compute, bool accumulate = false) {
  cpu::gemm({.m = c.rows(),
             .n = c.cols(),
             .k = k,
             .a = a,
             .b = b,
             .c = c.raw(),
             .c_dtype = c.dtype(),
             .ldc = c.cols(),
             .accumulate = accumulate,
             .compute = compute == DType::bf16 ? cpu::Compute::bf16 : cpu::Compute::f32});
}

void check(const Tensor& x, const Tensor& weight) {
  require<UsageError>(x.rank() == 2 && weight.rank() == 2 && x.dim(1) == weight.dim(1) &&
                          weight.dim(0) > 0 && weight.dtype() == DType::f32,
                      "head_loss: expected x [T, d] and a weight of [V, d] f32, got {} and {} {}",
                      to_string(x.shape()), to_string(weight.shape()), name_of(weight.dtype()));
}

// The tokens that have a target.
std::vector<std::int64_t> counted(std::span<const std::int32_t> targets, std::int64_t vocabulary) {
  std::vector<std::int64_t> tokens;
  for (std::size_t i = 0; i < targets.size(); ++i) {
    require<UsageError>(-1 <= targets[i] && targets[i] < vocabulary,
                        "head_loss: targets[{}] is {}, the vocabulary has {} entries", i,
                        targets[i], vocabulary);
    if (targets[i] >= 0) tokens.push_back(static_cast<std::int64_t>(i));
  }
  return tokens;
}

Tensor scatter(const Tensor& y, std::span<const std::int64_t> rows, const Shape& shape) {
  Tensor x = Tensor::zeros(shape, y.dtype());
  for (std::size_t i = 0; i < rows.size(); ++i) {
    x.slice(rows[i], rows[i] + 1)
        .copy_from(y.slice(static_cast<std::int64_t>(i), static_cast<std::int64_t>(i) + 1));
  }
  return x;
}

struct Work {
  Tensor x, weight;                   // x: the counted rows
  std::vector<std::int32_t> targets;  // of those rows
  Tensor dx, dweight;                 // undefined: not wanted
  std::vector<double> nll, loss;
};

void run_chunks(Work& work, DType compute, const HeadLossConfig& config) {
  const std::int64_t rows = work.x.rows(), d = work.x.cols(), vocabulary = work.weight.rows();
  const std::int64_t chunk =
      std::min(rows, config.chunk > 0 ? config.chunk : automatic_chunk(rows, vocabulary));
  const bool gradient = work.dx.defined() || work.dweight.defined();
  const Tensor buffer = Tensor::empty({chunk, vocabulary}, DType::f32);
  const bool bf16_gradient = compute == DType::bf16;  // what the products would round anyway
  for (std::int64_t begin = 0; begin < rows; begin += chunk) {
    const std::int64_t count = std::min(chunk, rows - begin);
    const auto at = static_cast<std::size_t>(begin), size = static_cast<std::size_t>(count);
    const Tensor x = work.x.slice(begin, begin + count);
    const Tensor z = buffer.slice(0, count);
    product(matrix(x), matrix(work.weight, true), d, z, compute);
    cpu::cross_entropy_rows(z, std::span(work.targets).subspan(at, size),
                            {.softcap = config.softcap,
                             .z_loss = config.z_loss,
                             .scale = config.scale,
                             .bf16_gradient = bf16_gradient},
                            gradient, std::span(work.nll).subspan(at, size),
                            std::span(work.loss).subspan(at, size));
    cpu::MatrixRef dz = matrix(z);
    if (bf16_gradient) {
      dz.dtype = DType::bf16;
      dz.ld = 2 * vocabulary;
    }
    if (work.dx.defined()) {
      product(dz, matrix(work.weight), vocabulary, work.dx.slice(begin, begin + count), compute);
    }
    if (work.dweight.defined()) {
      dz.transposed = true;
      product(dz, matrix(x), count, work.dweight, compute, begin > 0);
    }
  }
}

}  // namespace

extern const OpInfo head_loss_info;
const OpInfo head_loss_info{
    .name = "head_loss",
    .formula =
        "z = softcap(x W^T); y = scale * sum_i (logsumexp(z_i) - z[i, target_i] + z_loss * "
        "logsumexp(z_i)^2)",
    .inputs = kInputs,
    .cost = [](std::span<const Shape> in) -> Cost {
      const auto tokens = static_cast<double>(in[kX].dim(0));
      const auto weights = static_cast<double>(in[kWeight].numel());
      return {2 * tokens * weights, 4 * (static_cast<double>(in[kX].numel()) + weights)};
    },
    .composite = "cross_entropy(scale(activation(scale(linear(x, W), 1 / cap), tanh), cap))",
};

Var head_loss(Graph& graph, const Var& x, const Var& weight, std::span<const std::int32_t> targets,
              const HeadLossConfig& config) {
  const Tensor& xs = x.value();
  check(xs, weight.value());
  require<UsageError>(xs.dim(0) == static_cast<std::int64_t>(targets.size()),
                      "head_loss: {} targets for {} tokens", targets.size(), xs.dim(0));
  const auto tokens = counted(targets, weight.value().dim(0));
  const OpTimer timer(graph.profiler(), head_loss_info.name, Pass::forward);
  const auto rows = static_cast<std::int64_t>(tokens.size());
  const bool all = tokens.size() == targets.size();

  Work work;
  work.x = all ? xs : gather_rows(xs, tokens);
  work.weight = weight.value();
  for (const std::int64_t i : tokens) work.targets.push_back(targets[static_cast<std::size_t>(i)]);
  if (graph.recording() && x.requires_grad()) {
    work.dx = Tensor::empty({rows, xs.dim(1)}, xs.dtype());
  }
  if (graph.recording() && weight.requires_grad()) {
    work.dweight = rows > 0 ? Tensor::empty(weight.shape(), DType::f32)
                            : Tensor::zeros(weight.shape(), DType::f32);
  }
  work.nll.resize(tokens.size());
  work.loss.resize(tokens.size());
  if (rows > 0) run_chunks(work, graph.compute(), config);
  if (graph.profiler()) {
    const double products = 1 + work.dx.defined() + work.dweight.defined();
    graph.profiler()->add_flops(
        head_loss_info.name, Pass::forward,
        products * 2 * static_cast<double>(rows) * static_cast<double>(weight.value().numel()));
  }

  if (config.token_nll != nullptr) {
    *config.token_nll = Tensor::zeros({xs.dim(0)}, DType::f32);
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      config.token_nll->data<float>()[tokens[i]] = static_cast<float>(work.nll[i]);
    }
  }
  const float total =
      static_cast<float>(config.scale * std::accumulate(work.loss.begin(), work.loss.end(), 0.0));
  const Tensor dx = !all && work.dx.defined() ? scatter(work.dx, tokens, xs.shape()) : work.dx;
  return graph.record(
      head_loss_info.name, {x, weight}, Tensor::from<float>(std::span(&total, 1), {1}),
      [dx, dweight = work.dweight](const Tensor& dy, Grads& grads) {
        const float factor = dy.data<float>()[0];
        for (const auto& [input, gradient] : {std::pair{kX, &dx}, std::pair{kWeight, &dweight}}) {
          if (!grads.needed(input)) continue;
          if (factor != 1) cpu::scale(*gradient, factor, *gradient);
          grads.pass(input, *gradient);
        }
      });
}

Tensor head_logits(Graph& graph, const Tensor& x, const Tensor& weight, float softcap) {
  check(x, weight);
  const OpTimer timer(graph.profiler(), head_loss_info.name, Pass::forward);
  Tensor z = Tensor::empty({x.dim(0), weight.dim(0)}, DType::f32);
  product(matrix(x), matrix(weight, true), x.dim(1), z, graph.compute());
  if (softcap > 0) cpu::softcap(z, softcap);
  return z;
}

Tensor head_logits(Graph& graph, const Tensor& x, const cpu::PackedMatrix& weight, float softcap) {
  require<UsageError>(x.rank() == 2 && x.cols() == weight.k(),
                      "head_logits: expected x [T, {}], got {}", weight.k(), to_string(x.shape()));
  const OpTimer timer(graph.profiler(), head_loss_info.name, Pass::forward);
  Tensor z = Tensor::empty({x.dim(0), weight.n()}, DType::f32);
  cpu::gemm({.m = z.rows(),
             .n = weight.n(),
             .k = weight.k(),
             .a = matrix(x),
             .b = {},
             .c = z.raw(),
             .ldc = weight.n(),
             .compute = weight.compute()},
            weight);
  if (softcap > 0) cpu::softcap(z, softcap);
  return z;
}

}  // namespace stepstone::ops
