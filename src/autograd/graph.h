// The tape: what ran forward, so that it can run backward.
//
// A Graph lives for one step. Ops (src/ops) compute their output at once and, when the graph
// records and an input wants a gradient, leave a node with a function that turns the output's
// gradient into the inputs' gradients. backward() walks the nodes in reverse.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "autograd/profiler.h"
#include "core/error.h"
#include "core/tensor.h"

namespace stepstone {

// A tensor in a graph. Copies refer to the same value and gradient.
class Var {
 public:
  Var() = default;
  explicit Var(Tensor value, bool requires_grad = false)
      : state_(std::make_shared<State>(State{std::move(value), {}, requires_grad})) {}

  bool defined() const { return state_ != nullptr; }
  // Throws Error if undefined.
  const Tensor& value() const {
    require(state_ != nullptr, "a value that is not in memory was asked for");
    return state_->value;
  }
  const Shape& shape() const { return value().shape(); }
  bool requires_grad() const { return state_ && state_->requires_grad; }
  void set_requires_grad(bool on) { state_->requires_grad = on; }
  // Undefined until backward() has reached it. Leaves keep it over graphs and add to it.
  const Tensor& grad() const { return state_->grad; }
  void set_grad(Tensor grad) { state_->grad = std::move(grad); }
  void clear_grad() { state_->grad = {}; }

 private:
  friend class Grads;
  friend class Graph;
  struct State {
    Tensor value;
    Tensor grad;
    bool requires_grad = false;
  };
  std::shared_ptr<State> state_;
};

// Where a backward function puts the gradients of its node's inputs. Inputs are named by the
// op's enumerators (kX, kWeight, …), never by position in a list of results.
class Grads {
 public:
  explicit Grads(std::vector<Var>& inputs) : inputs_(inputs) {}

  // False for frozen or absent inputs: then their gradient is not to be computed.
  bool needed(int input) const { return inputs_[static_cast<std::size_t>(input)].requires_grad(); }

  struct Slot {
    Tensor tensor;    // shape and dtype of the input
    bool accumulate;  // true: add to what is there; false: the content is undefined, write it
  };
  Slot into(int input);
  // For gradients that exist already as a tensor: adopted without a copy when it is the first,
  // added otherwise. Shape and dtype must be those of the input.
  void pass(int input, const Tensor& grad);

 private:
  std::vector<Var>& inputs_;
};

using BackwardFn = std::function<void(const Tensor& grad_output, Grads& grads)>;

struct GraphOptions {
  bool record = false;           // keep nodes for backward()
  bool training = false;         // dropout on
  DType compute = DType::f32;    // f32 or bf16: matrix products, and activations between ops
  std::uint64_t seed = 0;        // of everything random in this step
  Profiler* profiler = nullptr;  // times every op when set
};

class Graph {
 public:
  explicit Graph(GraphOptions options = {}) : options_(options) {}

  bool recording() const { return options_.record; }
  bool training() const { return options_.training; }
  DType compute() const { return options_.compute; }
  Profiler* profiler() const { return options_.profiler; }
  std::uint64_t seed() const { return options_.seed; }
  // A fresh stream number for each random op of the step, the same on recomputation.
  std::uint64_t next_stream() { return stream_++; }

  // True when an op with these inputs must save what its backward needs.
  bool saves_for(std::span<const Var> inputs) const;

  // Makes the op's result. `backward` is dropped unless saves_for(inputs).
  Var record(std::string_view op, std::vector<Var> inputs, Tensor output, BackwardFn backward);

  // Runs `fn` on `inputs` without keeping its nodes and runs it again during backward(), so that
  // only the inputs stay in memory (Chen et al. 2016, arXiv:1604.06174). Parameters that `fn`
  // captures get their gradients as usual. Same results bit for bit as without.
  using Segment = std::function<Var(Graph&, std::span<const Var>)>;
  Var checkpoint(Segment fn, std::vector<Var> inputs);

  // Gradients of `loss` (one element, f32) into every leaf that wants one, scaled by `scale`.
  // Frees the nodes as it goes.
  void backward(const Var& loss, float scale = 1.0f);
  // The same from any output and its gradient.
  void backward(const Var& output, Tensor grad);

 private:
  struct Node {
    std::string_view op;
    std::vector<Var> inputs;
    Var output;
    BackwardFn backward;
  };

  GraphOptions options_;
  std::uint64_t stream_ = 0;
  std::vector<Node> nodes_;
};

}  // namespace stepstone
