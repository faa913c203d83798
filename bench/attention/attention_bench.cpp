// Times the attention op. Reads one problem a line from standard input,
//   train  DTYPE BATCH ROWS HEADS KV_HEADS HEAD_DIM    causal, forward and backward
//   decode DTYPE PAST HEADS KV_HEADS HEAD_DIM [CACHE]  one query after PAST cached positions, kept
//                                                      as DTYPE, or as CACHE: f32|bf16|f16|q8_0
// and answers each with its fastest milliseconds: "forward backward", or "forward". One process
// stays alive, so that an anchor can take turns with it (bench/attention_anchor.py).
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <iostream>
#include <limits>
#include <sstream>
#include <string>
#include <vector>

#include "core/random.h"
#include "ops/attention/attention.h"

namespace stepstone::ops {
namespace {

constexpr double kSeconds = 0.25;  // per problem and direction

// The fastest of the runs: what other work on the machine disturbs least.
class Fastest {
 public:
  template <typename F>
  void time(F&& run) {
    const auto start = std::chrono::steady_clock::now();
    run();
    const std::chrono::duration<double> d = std::chrono::steady_clock::now() - start;
    best_ = std::min(best_, d.count());
    total_ += d.count();
    ++runs_;
  }
  bool enough() const { return runs_ >= 5 && total_ > kSeconds; }
  double milliseconds() const { return best_ * 1e3; }

 private:
  double best_ = std::numeric_limits<double>::infinity(), total_ = 0;
  int runs_ = 0;
};

Tensor random_tensor(Shape shape, DType dtype) {
  Random random(1);
  Tensor t = Tensor::empty(shape, DType::f32);
  for (float& x : t.span<float>()) x = 2 * random.uniform() - 1;
  return t.to(dtype);
}

std::string train(std::istream& in, DType dtype) {
  std::int32_t batch = 0, rows = 0;
  AttentionConfig c;
  in >> batch >> rows >> c.heads >> c.kv_heads >> c.head_dim;
  const std::int64_t tokens = std::int64_t{batch} * rows;
  const Tensor x = random_tensor({tokens, (c.heads + 2 * c.kv_heads) * c.head_dim}, dtype);
  const Tensor dy = random_tensor({tokens, c.heads * c.head_dim}, dtype);
  std::vector<std::int32_t> segments;
  for (std::int32_t i = 0; i <= batch; ++i) segments.push_back(i * rows);
  Fastest forward, backward;
  while (!forward.enough() || !backward.enough()) {
    Graph graph({.record = true, .compute = dtype});
    const Var qkv(x, true);
    Var y;
    forward.time([&] { y = attention(graph, qkv, segments, c); });
    backward.time([&] { graph.backward(y, dy); });
  }
  std::ostringstream out;
  out << forward.milliseconds() << ' ' << backward.milliseconds();
  return out.str();
}

std::string decode(std::istream& in, DType dtype) {
  std::int64_t past = 0;
  AttentionConfig c;
  in >> past >> c.heads >> c.kv_heads >> c.head_dim;
  const std::int64_t cols = (c.heads + 2 * c.kv_heads) * c.head_dim;
  KvTypes types = dtype;
  if (std::string name; in >> name)
    types = {find_block_type(name)->type, find_block_type(name)->type};
  KvCacheLayer cache(past + 1, c.kv_heads, c.head_dim, types);
  cache.store(random_tensor({past, cols}, dtype), 0, past, 0);
  const Tensor x = random_tensor({1, cols}, dtype);
  Graph graph({.compute = dtype});
  Fastest forward;
  while (!forward.enough()) {
    forward.time([&] { attention_cached(graph, x, cache, past, c); });
  }
  std::ostringstream out;
  out << forward.milliseconds();
  return out.str();
}

}  // namespace
}  // namespace stepstone::ops

int main() {
  std::string line;
  while (std::getline(std::cin, line)) {
    std::istringstream in(line);
    std::string what, dtype_name;
    in >> what >> dtype_name;
    const auto dtype = dtype_name == "bf16" ? stepstone::DType::bf16 : stepstone::DType::f32;
    std::cout << (what == "decode" ? stepstone::ops::decode(in, dtype)
                                   : stepstone::ops::train(in, dtype))
              << std::endl;
  }
}
