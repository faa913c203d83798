// Our GEMM beside oneDNN (f32, bf16) and OpenBLAS (f32) on the products of a GPT-2 124M training
// step, in one run. Every library computes every shape in turn, so that drift of the machine hits
// all alike. Usage: gemm_anchor [--rounds N] [--tokens N] [--threads N] [--clock wall|cpu]
// [--json FILE]. On a busy machine, `--threads 1 --clock cpu` counts only time on the processor.
#include <cblas.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dnnl.hpp>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "backend/cpu/gemm.h"
#include "backend/cpu/gemm_bench.h"
#include "backend/cpu/isa.h"
#include "core/error.h"
#include "core/threads.h"

extern "C" char* openblas_get_corename(void);
extern "C" void openblas_set_num_threads(int threads);

namespace stepstone::cpu {
namespace {

struct Options {
  int rounds = 7;
  std::int64_t tokens = 1024;
  int threads = num_threads();
  bool cpu_clock = false;
  std::string json;
};

using Run = std::function<void()>;
struct Contestant {
  std::string name;
  Run run;
  std::vector<double> seconds;

  double gflops(const GemmShape& shape) {
    std::sort(seconds.begin(), seconds.end());
    return shape.flops() / seconds[seconds.size() / 2] * 1e-9;
  }
  double best_gflops(const GemmShape& shape) {
    return shape.flops() / *std::min_element(seconds.begin(), seconds.end()) * 1e-9;
  }
};

Run openblas(const GemmArgs& x) {
  return [x] {
    cblas_sgemm(CblasRowMajor, x.a.transposed ? CblasTrans : CblasNoTrans,
                x.b.transposed ? CblasTrans : CblasNoTrans, x.m, x.n, x.k, 1.0f,
                static_cast<const float*>(x.a.data), x.a.ld, static_cast<const float*>(x.b.data),
                x.b.ld, x.accumulate ? 1.0f : 0.0f, static_cast<float*>(x.c), x.ldc);
  };
}

Run onednn_sgemm(const GemmArgs& x) {
  return [x] {
    dnnl_sgemm(x.a.transposed ? 'T' : 'N', x.b.transposed ? 'T' : 'N', x.m, x.n, x.k, 1.0f,
               static_cast<const float*>(x.a.data), x.a.ld, static_cast<const float*>(x.b.data),
               x.b.ld, x.accumulate ? 1.0f : 0.0f, static_cast<float*>(x.c), x.ldc);
  };
}

Run onednn_matmul(const GemmArgs& x) {
  using dnnl::memory;
  static const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  const auto desc = [](std::int64_t rows, std::int64_t cols, const MatrixRef& ref) {
    const auto type = ref.dtype == DType::bf16 ? memory::data_type::bf16 : memory::data_type::f32;
    const memory::dims strides = ref.transposed ? memory::dims{1, ref.ld} : memory::dims{ref.ld, 1};
    return memory::desc({rows, cols}, type, strides);
  };
  const auto a = desc(x.m, x.k, x.a);
  const auto b = desc(x.k, x.n, x.b);
  const auto c = desc(x.m, x.n, {x.c, x.c_dtype, x.ldc});
  dnnl::primitive_attr attr;
  if (x.accumulate) {
    dnnl::post_ops post;
    post.append_sum(1.0f);
    attr.set_post_ops(post);
  }
  const dnnl::matmul::primitive_desc pd(dnnl::matmul::desc(a, b, c), attr, engine);
  const dnnl::matmul matmul(pd);
  const std::unordered_map<int, memory> bound = {
      {DNNL_ARG_SRC, memory(a, engine, const_cast<void*>(x.a.data))},
      {DNNL_ARG_WEIGHTS, memory(b, engine, const_cast<void*>(x.b.data))},
      {DNNL_ARG_DST, memory(c, engine, x.c)}};
  return [matmul, bound] {
    dnnl::stream stream(engine);
    matmul.execute(stream, bound);
    stream.wait();
  };
}

double now(bool cpu_clock) {
  timespec time{};
  clock_gettime(cpu_clock ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

// The thread pools spin for a while after their work; wait until they sleep, so that none is timed
// against another's spinning.
void time_once(Contestant& contestant, bool cpu_clock) {
  std::this_thread::sleep_for(std::chrono::milliseconds(40));
  contestant.run();
  for (int i = 0; i < 3; ++i) {
    const double start = now(cpu_clock);
    contestant.run();
    contestant.seconds.push_back(now(cpu_clock) - start);
  }
}

// Ratios of ours to the better anchor: of medians, and of best times, which a busy machine disturbs
// less.
struct Ratios {
  std::vector<double> median, best;
};

nlohmann::json compare(const GemmShape& shape, Compute compute, const Options& options,
                       Ratios& ratios) {
  GemmProblem problem(shape, compute);
  const GemmArgs args = problem.args();
  std::vector<Contestant> contestants = {{"stepstone", [args] { gemm(args); }, {}},
                                         {"onednn_matmul", onednn_matmul(args), {}}};
  if (compute == Compute::f32) {
    contestants.push_back({"onednn_sgemm", onednn_sgemm(args), {}});
    contestants.push_back({"openblas", openblas(args), {}});
  }
  for (int round = 0; round < options.rounds; ++round) {
    for (Contestant& contestant : contestants) time_once(contestant, options.cpu_clock);
  }
  nlohmann::json row = {{"shape", shape.name}, {"m", shape.m}, {"n", shape.n}, {"k", shape.k}};
  const std::string type = compute == Compute::bf16 ? "bf16" : "f32";
  row["dtype"] = type;
  double median = 0, best = 0;
  std::printf("%-13s %5lld x %5lld x %5lld %-4s", shape.name.c_str(),
              static_cast<long long>(shape.m), static_cast<long long>(shape.n),
              static_cast<long long>(shape.k), type.c_str());
  for (std::size_t i = 0; i < contestants.size(); ++i) {
    const double gflops = contestants[i].gflops(shape);
    row[contestants[i].name] = gflops;
    if (i > 0) {
      median = std::max(median, gflops);
      best = std::max(best, contestants[i].best_gflops(shape));
    }
    std::printf("  %s %.0f", contestants[i].name.c_str(), gflops);
  }
  ratios.median.push_back(contestants[0].gflops(shape) / median);
  ratios.best.push_back(contestants[0].best_gflops(shape) / best);
  row["ratio"] = ratios.median.back();
  row["ratio_of_best"] = ratios.best.back();
  std::printf("  ratio %.3f, of best times %.3f\n", ratios.median.back(), ratios.best.back());
  std::fflush(stdout);
  return row;
}

double geometric_mean(const std::vector<double>& values) {
  double sum = 0;
  for (double value : values) sum += std::log(value);
  return std::exp(sum / values.size());
}

int run(const Options& options) {
  set_num_threads(options.threads);
  openblas_set_num_threads(options.threads);
  std::printf("threads %d, ours %s, OpenBLAS %s, oneDNN %d.%d.%d\n", num_threads(),
              name_of(isa()).data(), openblas_get_corename(), dnnl_version()->major,
              dnnl_version()->minor, dnnl_version()->patch);
  nlohmann::json report = {{"threads", num_threads()},
                           {"isa", name_of(isa())},
                           {"openblas_core", openblas_get_corename()}};
  for (const Compute compute : {Compute::f32, Compute::bf16}) {
    Ratios ratios;
    for (const GemmShape& shape : gpt2_gemm_shapes(options.tokens)) {
      report["rows"].push_back(compare(shape, compute, options, ratios));
    }
    const char* type = compute == Compute::bf16 ? "bf16" : "f32";
    const double median = geometric_mean(ratios.median), best = geometric_mean(ratios.best);
    report["geometric_mean"][type] = median;
    report["geometric_mean_of_best"][type] = best;
    std::printf("%s: geometric mean of ours / better anchor %.3f, of best times %.3f\n", type,
                median, best);
  }
  if (!options.json.empty()) {
    std::ofstream file(options.json);
    file << report.dump(2) << '\n';
    require(file.good(), "{}: write failed", options.json);
  }
  return 0;
}

Options parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; i += 2) {
    const std::string flag = argv[i];
    require<UsageError>(i + 1 < argc, "{}: value missing", flag);
    if (flag == "--json") {
      options.json = argv[i + 1];
    } else if (flag == "--rounds") {
      options.rounds = std::atoi(argv[i + 1]);
    } else if (flag == "--threads") {
      options.threads = std::atoi(argv[i + 1]);
    } else if (flag == "--clock") {
      const std::string clock = argv[i + 1];
      require<UsageError>(clock == "wall" || clock == "cpu", "--clock: expected wall or cpu");
      options.cpu_clock = clock == "cpu";
    } else if (flag == "--tokens") {
      options.tokens = std::atoll(argv[i + 1]);
    } else {
      throw UsageError(
          "usage: gemm_anchor [--rounds N] [--tokens N] [--threads N] [--clock wall|cpu] "
          "[--json FILE]");
    }
  }
  require<UsageError>(options.rounds >= 1 && options.tokens >= 1, "N must be at least 1");
  return options;
}

// OpenBLAS reads OPENBLAS_CORETYPE when it is loaded. An inherited one would hold it down; so would
// its own choice on an Intel CPU newer than it knows: the SSE3 kernels ("Prescott"). There it is
// told to use its AVX-512 ones, and the program starts anew.
void choose_openblas_core(char** argv) {
  constexpr const char* kMarker = "GEMM_ANCHOR_CORE_CHOSEN";
  if (std::getenv(kMarker) != nullptr) return;
  const bool avx512 = supported_isas().back() >= Isa::avx512;
  if (std::getenv("OPENBLAS_CORETYPE") != nullptr) {
    unsetenv("OPENBLAS_CORETYPE");
  } else if (avx512 && std::string(openblas_get_corename()) == "Prescott") {
    setenv("OPENBLAS_CORETYPE", "SkylakeX", 1);
    setenv(kMarker, "1", 1);
  } else {
    return;
  }
  execv("/proc/self/exe", argv);
}

}  // namespace
}  // namespace stepstone::cpu

int main(int argc, char** argv) {
  stepstone::cpu::choose_openblas_core(argv);
  try {
    return stepstone::cpu::run(stepstone::cpu::parse(argc, argv));
  } catch (const stepstone::UsageError& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 2;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
