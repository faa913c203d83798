// Products with quantised weights: the four matrices of a layer of a 1.1B Llama, several layers of
// them, so that the weights come from memory. Usage: block_gemm_bench [LAYERS]
// Prints the panels' size by the file's; what a plain loop reads, measured in turn with products of
// one row; per height GB/s of panels and Gop/s. All of the fastest of some passes.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "backend/cpu/gemm.h"
#include "core/random.h"
#include "core/tensor.h"
#include "core/threads.h"
#include "quant/quantize.h"

namespace {

using namespace stepstone;

constexpr std::int64_t kShapes[][2] = {{2560, 2048}, {2048, 2048}, {11264, 2048}, {2048, 5632}};
constexpr std::int64_t kLongest = 11264;

template <typename F>
double seconds_of(F&& once) {
  const auto start = std::chrono::steady_clock::now();
  once();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// Sums some memory, as the fastest loop would that wants all of it.
class ReadLoop {
 public:
  static constexpr double kBytes = double{1 << 29};

  void operator()() {
    parallel_for(kPieces, 1, [&](std::int64_t begin, std::int64_t) {
      float lanes[64] = {};
      const float* from = memory_.data<float>() + begin * kPiece;
      for (std::int64_t i = 0; i < kPiece; i += 64) {
        for (int j = 0; j < 64; ++j) lanes[j] += from[i + j];
      }
      for (const float x : lanes) sums_[static_cast<std::size_t>(begin)] += x;
    });
  }

 private:
  static constexpr std::int64_t kPiece = 1 << 16, kPieces = 2048;
  // As for weights: huge pages, all of them written once.
  const Tensor memory_ = Tensor::zeros({kPiece * kPieces}, DType::f32);
  std::vector<float> sums_ = std::vector<float>(kPieces);
};

void bench(BlockType type, int layers, ReadLoop& read_loop) {
  Random random(1);
  std::vector<float> rows(1 << 16);
  for (float& x : rows) x = static_cast<float>(random.normal());
  std::vector<std::byte> some(bytes_of(type, rows.size()));
  quantize(type, rows, some);
  std::vector<cpu::PackedMatrix> weights;
  double file = 0, panels = 0;
  for (int layer = 0; layer < layers; ++layer) {
    for (const auto& [n, k] : kShapes) {
      std::vector<std::byte> blocks(bytes_of(type, static_cast<std::uint64_t>(n * k)));
      for (std::size_t at = 0; at < blocks.size(); at += some.size()) {
        std::copy_n(some.begin(), std::min(some.size(), blocks.size() - at),
                    blocks.begin() + static_cast<std::ptrdiff_t>(at));
      }
      const cpu::BlockRows part{.type = type, .blocks = blocks, .rows = n};
      weights.push_back(cpu::pack_blocks(std::span(&part, 1), k));
      file += static_cast<double>(blocks.size());
      panels += static_cast<double>(weights.back().bytes());
    }
  }
  std::printf("%s: panels %.3f of the file\n", std::string(name_of(type)).c_str(), panels / file);
  for (const std::int64_t m : {1, 2, 4, 8, 16, 32, 64, 512}) {
    std::vector<float> a(static_cast<std::size_t>(m * kLongest)), c(a.size());
    for (float& x : a) x = static_cast<float>(random.normal());
    double operations = 0;
    for (const auto& w : weights) operations += 2.0 * static_cast<double>(m * w.n() * w.k());
    const auto products = [&] {
      for (const auto& w : weights) {
        cpu::gemm({.m = m,
                   .n = w.n(),
                   .k = w.k(),
                   .a = {a.data(), DType::f32, w.k(), false},
                   .b = {},
                   .c = c.data(),
                   .ldc = w.n(),
                   .compute = cpu::Compute::int8},
                  w);
      }
    };
    double seconds = 1e30, reading = 1e30;
    for (int pass = m >= 64 ? 3 : m > 1 ? 6 : 12; pass > 0; --pass) {
      seconds = std::min(seconds, seconds_of(products));
      if (m == 1) reading = std::min(reading, seconds_of(read_loop));
    }
    const double rate = panels / seconds;
    std::printf("  %4lld rows %7.1f GB/s %8.1f Gop/s", static_cast<long long>(m), rate / 1e9,
                operations / seconds / 1e9);
    if (m == 1) {
      const double plain = ReadLoop::kBytes / reading;
      std::printf(", %.2f of a plain loop's %.1f GB/s", rate / plain, plain / 1e9);
    }
    std::printf("\n");
  }
}

}  // namespace

int main(int argc, char** argv) {
  const int layers = argc > 1 ? std::atoi(argv[1]) : 16;
  ReadLoop read_loop;
  for (const BlockType type :
       {BlockType::q8_0, BlockType::q4_0, BlockType::q4_k, BlockType::q6_k}) {
    bench(type, std::max(1, layers), read_loop);
  }
}
