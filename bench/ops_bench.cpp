// Speed of the ops: element-wise and row-wise kernels in GB/s beside a plain copy, and head_loss
// beside its three bare matrix products. Everything takes turns in each round, so that drift of the
// machine hits all alike; the fastest round counts. With one thread (OMP_NUM_THREADS=1) the clock
// is CPU time, which a busy machine disturbs least. Usage: ops_bench [rounds
// [memory|embedding|tiny|head|gpt2]]
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <functional>
#include <string>
#include <vector>

#include "backend/cpu/gemm.h"
#include "core/random.h"
#include "core/threads.h"
#include "ops/activation/activation_cpu.h"
#include "ops/add/add_cpu.h"
#include "ops/dropout/dropout_cpu.h"
#include "ops/embedding/embedding_cpu.h"
#include "ops/gated/gated_cpu.h"
#include "ops/head_loss/head_loss.h"
#include "ops/layer_norm/layer_norm_cpu.h"
#include "ops/rms_norm/rms_norm_cpu.h"
#include "ops/scale/scale_cpu.h"
#include "ops/softmax/softmax_cpu.h"

namespace stepstone {
namespace {

struct Entry {
  std::string name;
  double work;  // bytes or FLOPs
  std::function<void()> run;
  std::vector<double> seconds;

  double fastest() const { return *std::min_element(seconds.begin(), seconds.end()); }
};

double now() {
  timespec t{};
  clock_gettime(num_threads() == 1 ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

void run_rounds(std::vector<Entry>& entries, int rounds) {
  for (int round = -1; round < rounds; ++round) {  // the first warms up
    for (Entry& entry : entries) {
      const double start = now();
      entry.run();
      if (round >= 0) entry.seconds.push_back(now() - start);
    }
  }
}

Tensor random_tensor(Shape shape, DType dtype, float size = 1) {
  Tensor t = Tensor::empty(shape, DType::f32);
  Random random(7);
  for (float& x : t.span<float>()) x = size * (2 * random.uniform() - 1);
  return dtype == DType::f32 ? t : t.to(dtype);
}

void bench_memory(std::int64_t rows, std::int64_t n, DType dtype, int rounds) {
  using ops::Activation;
  const Tensor x = random_tensor({rows, n}, dtype), dy = random_tensor({rows, n}, dtype);
  const Tensor y = Tensor::zeros({rows, n}, dtype), half = random_tensor({rows, n / 2}, dtype);
  const Tensor half_out = Tensor::zeros({rows, n / 2}, dtype);
  const Tensor w = random_tensor({n}, DType::f32), dw = Tensor::zeros({n}, DType::f32);
  const Tensor mean = Tensor::zeros({rows}, DType::f32), scale = Tensor::zeros({rows}, DType::f32);
  const double size = static_cast<double>(x.bytes());
  std::vector<Entry> entries;
  const auto entry = [&](std::string name, double tensors, std::function<void()> run) {
    entries.push_back({std::move(name), tensors * size, std::move(run), {}});
  };
  entry("memcpy", 2, [&] {
    parallel_for(static_cast<std::int64_t>(x.bytes()), 1 << 18, [&](auto begin, auto end) {
      std::memcpy(static_cast<char*>(y.raw()) + begin, static_cast<char*>(x.raw()) + begin,
                  static_cast<std::size_t>(end - begin));
    });
  });
  entry("scale", 2, [&] { cpu::scale(x, 0.5f, y); });
  entry("add", 3, [&] { cpu::add(x, dy, y); });
  const std::pair<const char*, Activation> kinds[] = {{"silu", Activation::silu},
                                                      {"gelu_erf", Activation::gelu_erf},
                                                      {"gelu_tanh", Activation::gelu_tanh},
                                                      {"relu2", Activation::relu2},
                                                      {"tanh", Activation::tanh}};
  for (const auto& [name, kind] : kinds) {
    entry(name, 2, [&, kind = kind] { cpu::activation_forward(x, kind, y); });
    entry(std::string(name) + " backward", 3,
          [&, kind = kind] { cpu::activation_backward(x, kind, dy, y, false); });
  }
  entry("gated silu", 1.5, [&] { cpu::gated_forward(x, Activation::silu, half_out); });
  entry("gated silu backward", 2.5,
        [&] { cpu::gated_backward(x, Activation::silu, half, y, false); });
  entry("dropout", 2, [&] { cpu::dropout(x, {0.1f, 1, 2}, y); });
  entry("softmax", 2, [&] { cpu::softmax_forward(x, y); });
  entry("softmax backward", 3, [&] { cpu::softmax_backward(x, dy, y, false); });
  entry("rms_norm", 2, [&] { cpu::rms_norm_forward(x, w, 1e-5f, y, scale); });
  entry("rms_norm backward x", 3, [&] { cpu::rms_norm_backward_x(x, w, scale, dy, y, false); });
  entry("layer_norm", 2, [&] { cpu::layer_norm_forward(x, w, w, 1e-5f, y, mean, scale); });
  entry("layer_norm backward x", 3,
        [&] { cpu::layer_norm_backward_x(x, w, mean, scale, dy, y, false); });
  entry("layer_norm backward w", 2,
        [&] { cpu::layer_norm_backward_weight(x, mean, scale, dy, dw, false); });
  run_rounds(entries, rounds);
  const double copy = entries.front().work / entries.front().fastest();
  std::printf("\n[%ld, %ld] %s, %.0f MB a tensor\n", static_cast<long>(rows), static_cast<long>(n),
              std::string(name_of(dtype)).c_str(), size * 1e-6);
  for (Entry& e : entries) {
    const double rate = e.work / e.fastest();
    std::printf("  %-24s %7.1f GB/s  %5.2f of memcpy\n", e.name.c_str(), rate * 1e-9, rate / copy);
  }
}

void bench_embedding(std::int64_t tokens, std::int64_t vocabulary, std::int64_t d, int rounds) {
  std::vector<std::int32_t> ids;
  Random random(3);
  for (std::int64_t i = 0; i < tokens; ++i) {
    ids.push_back(static_cast<std::int32_t>(random.below(static_cast<std::uint64_t>(vocabulary))));
  }
  const Tensor table = random_tensor({vocabulary, d}, DType::f32);
  const Tensor y = random_tensor({tokens, d}, DType::f32);
  std::vector<Entry> entries;
  const double size = static_cast<double>(y.bytes());
  entries.push_back({"forward", 2 * size, [&] { cpu::embedding_forward(table, ids, y); }, {}});
  entries.push_back(
      {"backward, added", 3 * size, [&] { cpu::embedding_backward(ids, y, table, true); }, {}});
  run_rounds(entries, rounds);
  std::printf("\nembedding T=%ld V=%ld d=%ld\n", static_cast<long>(tokens),
              static_cast<long>(vocabulary), static_cast<long>(d));
  for (Entry& e : entries) {
    std::printf("  %-24s %7.1f GB/s  %8.1f us\n", e.name.c_str(), e.work / e.fastest() * 1e-9,
                e.fastest() * 1e6);
  }
}

cpu::MatrixRef matrix(const Tensor& t, bool transposed = false) {
  return {t.raw(), t.dtype(), t.cols(), transposed};
}

void bench_head(std::int64_t tokens, std::int64_t vocabulary, std::int64_t d, DType compute,
                std::vector<std::int64_t> chunks, int rounds) {
  const Tensor x = random_tensor({tokens, d}, compute);
  const Tensor w = random_tensor({vocabulary, d}, DType::f32, 0.05f);
  const Tensor z = Tensor::zeros({tokens, vocabulary}, DType::f32);
  const Tensor dx = Tensor::zeros({tokens, d}, compute);
  const Tensor dw = Tensor::zeros({vocabulary, d}, DType::f32);
  std::vector<std::int32_t> targets;
  Random random(9);
  for (std::int64_t i = 0; i < tokens; ++i) {
    targets.push_back(
        static_cast<std::int32_t>(random.below(static_cast<std::uint64_t>(vocabulary))));
  }
  const auto product = [=](const cpu::MatrixRef& a, const cpu::MatrixRef& b, std::int64_t k,
                           const Tensor& c) {
    cpu::gemm({.m = c.rows(),
               .n = c.cols(),
               .k = k,
               .a = a,
               .b = b,
               .c = c.raw(),
               .c_dtype = c.dtype(),
               .ldc = c.cols(),
               .compute = compute == DType::bf16 ? cpu::Compute::bf16 : cpu::Compute::f32});
  };
  const double one = 2.0 * static_cast<double>(tokens) * static_cast<double>(vocabulary * d);
  std::vector<Entry> entries;
  entries.push_back({"bare: logits", one, [&] { product(matrix(x), matrix(w, true), d, z); }, {}});
  entries.push_back({"bare: dx", one, [&] { product(matrix(z), matrix(w), vocabulary, dx); }, {}});
  entries.push_back(
      {"bare: dweight", one, [&] { product(matrix(z, true), matrix(x), tokens, dw); }, {}});
  const auto fused = [&](bool gradients, std::int64_t chunk) {
    return [&, gradients, chunk] {
      Graph graph({.record = gradients, .compute = compute});
      ops::head_loss(graph, Var(x, gradients), Var(w, gradients), targets, {.chunk = chunk});
    };
  };
  entries.push_back({"head_loss, no gradients", one, fused(false, 0), {}});
  for (const std::int64_t chunk : chunks) {
    entries.push_back(
        {"head_loss, chunk " + std::to_string(chunk), 3 * one, fused(true, chunk), {}});
  }
  run_rounds(entries, rounds);
  std::printf("\nhead_loss T=%ld V=%ld d=%ld %s\n", static_cast<long>(tokens),
              static_cast<long>(vocabulary), static_cast<long>(d),
              std::string(name_of(compute)).c_str());
  const double first = entries[0].fastest();
  const double bare = first + entries[1].fastest() + entries[2].fastest();
  for (std::size_t i = 0; i < entries.size(); ++i) {
    Entry& e = entries[i];
    std::printf("  %-24s %9.3f ms  %7.1f GFLOP/s", e.name.c_str(), e.fastest() * 1e3,
                e.work / e.fastest() * 1e-9);
    if (i >= 3) std::printf("  %5.2f of the bare products", e.fastest() / (i == 3 ? first : bare));
    std::printf("\n");
  }
}

}  // namespace
}  // namespace stepstone

int main(int argc, char** argv) {
  using namespace stepstone;
  const int rounds = argc > 1 ? std::atoi(argv[1]) : 7;
  const std::string only = argc > 2 ? argv[2] : "";
  const auto wanted = [&](const char* part) { return only.empty() || only == part; };
  for (const DType dtype : {DType::f32, DType::bf16}) {
    if (!wanted("memory")) break;
    bench_memory(16384, 2048, dtype, rounds);
    bench_memory(1024, 3072, dtype, rounds * 4);
  }
  if (wanted("embedding")) {
    bench_embedding(1024, 50257, 768, rounds * 4);
    bench_embedding(768, 65, 128, rounds * 4);
  }
  for (const DType dtype : {DType::f32, DType::bf16}) {
    if (wanted("head") || only == "tiny") bench_head(768, 65, 128, dtype, {0}, rounds * 20);
    if (wanted("head")) bench_head(1024, 16384, 768, dtype, {128, 256, 512, 1024}, rounds);
    if (only == "gpt2") bench_head(1024, 50257, 768, dtype, {0}, rounds);
  }
  return 0;
}
