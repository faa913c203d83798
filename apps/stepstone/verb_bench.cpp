// stepstone bench gemm|train|infer|tokenizer
#include <sys/resource.h>

#include <cstdio>

#include "backend/cpu/gemm_bench.h"
#include "cache_flags.h"
#include "infer/bench.h"
#include "io/file.h"
#include "io/json.h"
#include "output.h"
#include "stone/stone.h"
#include "tokenizer/bench.h"
#include "train/bench.h"
#include "verbs.h"

namespace stepstone::cli {
namespace {

struct BenchTrainFlags {
  std::string dtype = "f32";
  int steps = 5;
  std::int64_t rows = 4, context = 256;
  bool json = false, profile = false;
};

void run_train(const BenchTrainFlags& flags) {
  TrainBenchOptions options;
  options.rows = flags.rows;
  options.context = flags.context;
  options.steps = flags.steps;
  options.compute = flags.dtype == "bf16" ? DType::bf16 : DType::f32;
  options.optim.muon = false;  // the anchors' optimiser
  options.optim.lr = 3e-4f;
  Profiler profiler;
  if (flags.profile) options.profiler = &profiler;
  const TrainBenchResult r = bench_train(gpt2_124m(), options);
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto peak_rss = static_cast<std::int64_t>(usage.ru_maxrss) * 1024;
  if (flags.profile) std::fputs(profiler.table().c_str(), stderr);
  if (flags.json) {
    const Json json = {{"model", "gpt2-124m"},
                       {"dtype", flags.dtype},
                       {"rows", flags.rows},
                       {"context", flags.context},
                       {"tokens_per_second", r.tokens_per_second},
                       {"seconds_per_step", r.seconds_per_step},
                       {"share_of_peak", r.share_of_peak},
                       {"peak_bytes", peak_rss},
                       {"tensor_peak_bytes", r.peak_bytes}};
    put_out(dump_json(json) + "\n");
    return;
  }
  put_out(fmt::format(
      "GPT-2 124M, {} x {} tokens, {}: {:.1f} tokens/s, {:.3f} s a step, {:.0f}% of the "
      "GEMM rate, peak memory {:.2f} GB\n",
      flags.rows, flags.context, flags.dtype, r.tokens_per_second, r.seconds_per_step,
      100 * r.share_of_peak, static_cast<double>(peak_rss) / 1e9));
}

void run_gemm(int repetitions, bool json) {
  cpu::GemmBenchOptions options;
  options.repetitions = repetitions;
  Json rows = Json::array();
  for (const auto& row : cpu::bench_gemm(options)) {
    const char* dtype = row.compute == cpu::Compute::bf16 ? "bf16" : "f32";
    rows.push_back({{"name", row.shape.name},
                    {"m", row.shape.m},
                    {"n", row.shape.n},
                    {"k", row.shape.k},
                    {"dtype", dtype},
                    {"gflops", row.gflops}});
    if (!json) {
      put_out(fmt::format("{:<24} {:>6} x {:>6} x {:>6}  {:<5} {:>8.1f} GFLOP/s\n", row.shape.name,
                          row.shape.m, row.shape.n, row.shape.k, dtype, row.gflops));
    }
  }
  if (json) put_out(dump_json(rows) + "\n");
}

struct BenchInferFlags {
  std::string model;
  InferBenchOptions options;
  bool json = false, profile = false;
};

void run_infer(BenchInferFlags flags) {
  require<UsageError>(flags.options.prompt > 0 || flags.options.generate > 0,
                      "-p 0 -n 0: there is nothing to measure");
  const auto start = std::chrono::steady_clock::now();
  const Stone stone = load_stone(flags.model, Weights::as_stored);
  stone.model->pack(stone.compute);
  stone.model->pack_blocks();
  const std::chrono::duration<double> load = std::chrono::steady_clock::now() - start;
  flags.options.compute = stone.compute;
  Profiler profiler;
  if (flags.profile) flags.options.profiler = &profiler;
  const std::vector<InferBenchRow> rows = bench_infer(*stone.model, flags.options);
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto peak_rss = static_cast<std::int64_t>(usage.ru_maxrss) * 1024;
  if (flags.profile) std::fputs(profiler.table().c_str(), stderr);
  Json results = Json::array();
  for (const InferBenchRow& r : rows) {
    results.push_back({{"test", r.name},
                       {"tokens", r.tokens},
                       {"seconds", r.seconds},
                       {"tokens_per_second", r.tokens_per_second()}});
    if (!flags.json) {
      put_out(fmt::format("{:<16} {:>9.2f} tokens/s\n", r.name, r.tokens_per_second()));
    }
  }
  if (flags.json) {
    const Json json = {{"model", flags.model},
                       {"load_seconds", load.count()},
                       {"peak_bytes", peak_rss},
                       {"results", results}};
    put_out(dump_json(json) + "\n");
    return;
  }
  put_out(fmt::format("loaded in {:.2f} s, peak memory {:.2f} GB\n", load.count(),
                      static_cast<double>(peak_rss) / 1e9));
}

struct BenchTokenizerFlags {
  std::string tokenizer;
  std::vector<std::string> files;
  int passes = 5;
  bool json = false;
};

void run_tokenizer(const BenchTokenizerFlags& flags) {
  const Tokenizer tokenizer = Tokenizer::load(flags.tokenizer);
  std::vector<std::string> texts;
  for (const std::string& file : flags.files) texts.push_back(read_file(file));
  const EncodeSpeed speed = measure_encode(tokenizer, texts, flags.passes);
  const double bytes_per_token = static_cast<double>(speed.bytes) /
                                 static_cast<double>(std::max<std::int64_t>(1, speed.tokens));
  if (flags.json) {
    const Json json = {{"bytes", speed.bytes},
                       {"tokens", speed.tokens},
                       {"seconds", speed.seconds},
                       {"bytes_per_second", speed.bytes_per_second()}};
    put_out(dump_json(json) + "\n");
    return;
  }
  put_out(fmt::format("{} bytes, {} tokens ({:.2f} bytes each), one thread: {:.1f} MB/s\n",
                      speed.bytes, speed.tokens, bytes_per_token, speed.bytes_per_second() / 1e6));
}

}  // namespace

void add_bench(CLI::App& app) {
  CLI::App* bench = app.add_subcommand("bench", "Measure this machine");
  bench->require_subcommand(1);
  auto flags = std::make_shared<BenchTrainFlags>();
  CLI::App* train = bench->add_subcommand("train", "A GPT-2 124M training step");
  train->add_option("--dtype", flags->dtype, "Compute type")->check(CLI::IsMember({"f32", "bf16"}));
  train->add_option("--steps", flags->steps, "Timed steps")->check(CLI::Range(1, 10000));
  train->add_option("--rows", flags->rows, "Sequences")->check(CLI::Range(1, 4096));
  train->add_option("--context", flags->context, "Tokens per sequence")->check(CLI::Range(1, 1024));
  train->add_flag("--json", flags->json, "Print JSON");
  train->add_flag("--profile", flags->profile, "Print time and GFLOP/s per op");
  train->callback([flags] { run_train(*flags); });

  auto repetitions = std::make_shared<int>(7);
  auto json = std::make_shared<bool>(false);
  CLI::App* gemm = bench->add_subcommand("gemm", "The matrix products of that step");
  gemm->add_option("--repetitions", *repetitions, "Runs per shape")->check(CLI::Range(1, 1000));
  gemm->add_flag("--json", *json, "Print JSON");
  gemm->callback([=] { run_gemm(*repetitions, *json); });

  auto infer = std::make_shared<BenchInferFlags>();
  CLI::App* model = bench->add_subcommand("infer", "Reading and writing with a model");
  model->add_option("-m,--model", infer->model, "Model folder or GGUF file")->required();
  model->add_option("-p,--n-prompt", infer->options.prompt, "Tokens read at once")
      ->check(CLI::Range(0, 1 << 20))
      ->capture_default_str();
  model->add_option("-n,--n-gen", infer->options.generate, "Tokens written one by one")
      ->check(CLI::Range(0, 1 << 20))
      ->capture_default_str();
  model->add_option("--parallel", infer->options.sequences, "Texts written together: 1,4,16")
      ->delimiter(',')
      ->check(CLI::Range(1, 1024));
  model->add_option("-r,--repetitions", infer->options.repetitions, "Runs of each")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  model->add_option("-d,--n-depth", infer->options.depth, "Tokens of the context before either")
      ->check(CLI::Range(0, 1 << 20))
      ->capture_default_str();
  add_cache_flags(*model, infer->options.cache);
  model->add_flag("--json", infer->json, "Print JSON");
  model->add_flag("--profile", infer->profile, "Print time and GFLOP/s per op");
  model->callback([infer] { run_infer(*infer); });

  auto encode = std::make_shared<BenchTokenizerFlags>();
  CLI::App* tokenizer = bench->add_subcommand("tokenizer", "Encoding of texts, on one thread");
  tokenizer->add_option("-t,--tokenizer", encode->tokenizer, "tokenizer.json or a model's folder")
      ->required();
  tokenizer->add_option("files", encode->files, "Text files")->required();
  tokenizer->add_option("--passes", encode->passes, "The fastest of so many counts")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  tokenizer->add_flag("--json", encode->json, "Print JSON");
  tokenizer->callback([encode] { run_tokenizer(*encode); });
}

}  // namespace stepstone::cli
