// Runs a fuzz target without libFuzzer: its seeds with random changes, the same on every machine.
//   TARGET [--runs N] [--seconds S] [--seed K] [FILE…]
// FILEs are run as they are. --write-seeds DIR writes the seeds for libFuzzer. An input that ends
// the process, or takes longer than ten seconds, is left as finding-TARGET.bin.
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <fstream>
#include <random>
#include <sstream>

#include "fuzz.h"

extern "C" void __sanitizer_set_death_callback(void (*callback)()) __attribute__((weak));

namespace {

using stepstone::fuzz::seeds;
using stepstone::fuzz::words;

std::string current, finding;

void keep_input() {
  if (std::FILE* file = std::fopen(finding.c_str(), "wb")) {
    std::fwrite(current.data(), 1, current.size(), file);
    std::fclose(file);
    std::fprintf(stderr, "the input is in %s\n", finding.c_str());
  }
}

void run(std::string input) {
  current = std::move(input);
  ::alarm(10);
  LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t*>(current.data()), current.size());
}

class Mutator {
 public:
  explicit Mutator(std::uint64_t seed) : random_(seed), seeds_(seeds()), words_(words()) {}

  std::string next() {
    std::string text = seeds_[below(seeds_.size())];
    for (std::size_t i = 1 + below(6); i > 0; --i) change(text);
    return text.substr(0, kMost);
  }

 private:
  static constexpr std::size_t kMost = 1 << 16;

  std::size_t below(std::size_t n) { return n == 0 ? 0 : random_() % n; }

  void change(std::string& text) {
    const std::size_t at = below(text.size() + 1), length = below(std::size_t{1} << below(10));
    switch (below(9)) {
      case 0:
        if (!text.empty()) text[below(text.size())] ^= static_cast<char>(1 << below(8));
        break;
      case 1:
        if (!text.empty()) text[below(text.size())] = static_cast<char>(random_());
        break;
      case 2:
        text.erase(at, length);
        break;
      case 3:
        text.insert(at, text.substr(below(text.size() + 1), length));
        break;
      case 4:
        text.resize(at);
        break;
      case 5:
        put_number(text, at);
        break;
      case 6: {
        const std::string& other = seeds_[below(seeds_.size())];
        text = text.substr(0, at) + other.substr(below(other.size() + 1));
        break;
      }
      case 7:
        text.insert(at, std::string(length, static_cast<char>(random_())));
        break;
      default:
        if (!words_.empty()) text.insert(at, words_[below(words_.size())]);
    }
  }

  // An integer on the edge of something, over what is there.
  void put_number(std::string& text, std::size_t at) {
    static constexpr std::uint64_t kEdges[] = {
        0,          1,          2,          7,          64,         0x7f,       0x80,
        0xff,       0x7fff,     0xffff,     0x7fffffff, 0x80000000, 0xffffffff, 1ull << 32,
        1ull << 40, 1ull << 62, ~0ull >> 1, 1ull << 63, ~0ull,      ~0ull - 7};
    std::uint64_t value = kEdges[below(std::size(kEdges))];
    for (std::size_t i = std::size_t{1} << below(4); i > 0 && at < text.size(); --i, ++at) {
      text[at] = static_cast<char>(value);
      value >>= 8;
    }
  }

  std::mt19937_64 random_;
  std::vector<std::string> seeds_, words_;
};

std::string read(const char* path) {
  std::ostringstream text;
  text << std::ifstream(path, std::ios::binary).rdbuf();
  return text.str();
}

}  // namespace

int main(int argc, char** argv) {
  const std::string name = std::filesystem::path(argv[0]).filename().string();
  finding = "finding-" + name + ".bin";
  std::uint64_t runs = 2000, seed = 1;
  double seconds = 1e9;
  std::vector<const char*> files;
  for (int i = 1; i < argc; ++i) {
    const std::string_view flag = argv[i];
    if (flag.starts_with("--") && i + 1 < argc) {
      const char* value = argv[++i];
      if (flag == "--runs") runs = std::strtoull(value, nullptr, 10);
      if (flag == "--seed") seed = std::strtoull(value, nullptr, 10);
      if (flag == "--seconds") seconds = std::strtod(value, nullptr), runs = ~0ull;
      if (flag == "--write-seeds") {
        std::filesystem::create_directories(value);
        int count = 0;
        for (const std::string& one : seeds()) {
          std::ofstream(std::filesystem::path(value) / std::to_string(count++), std::ios::binary)
              << one;
        }
        return 0;
      }
    } else {
      files.push_back(argv[i]);
    }
  }
  if (__sanitizer_set_death_callback) __sanitizer_set_death_callback(keep_input);
  std::set_terminate([] {
    std::fprintf(stderr, "an exception that is no stepstone::Error\n");
    try {
      std::rethrow_exception(std::current_exception());
    } catch (const std::exception& error) {
      std::fprintf(stderr, "%s\n", error.what());
    } catch (...) {
    }
    keep_input();
    std::abort();
  });
  for (const int bad : {SIGALRM, SIGSEGV, SIGABRT, SIGFPE}) {
    if (bad != SIGALRM && __sanitizer_set_death_callback) continue;
    ::signal(bad, [](int number) {
      keep_input();
      ::_exit(128 + number);
    });
  }
  for (const char* file : files) run(read(file));
  if (!files.empty()) return 0;
  for (const std::string& one : seeds()) run(one);
  Mutator mutator(seed);
  const auto start = std::chrono::steady_clock::now();
  std::uint64_t done = 0;
  for (; done < runs; ++done) {
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    if (took.count() > seconds) break;
    run(mutator.next());
  }
  std::printf("%s: %llu inputs\n", name.c_str(), static_cast<unsigned long long>(done));
}
