#include "autograd/graph.h"

#include <algorithm>

#include "core/threads.h"

namespace stepstone {
namespace {

constexpr std::int64_t kAddGrain = 1 << 15;

template <typename T>
void add(const Tensor& from, const Tensor& to) {
  const T* source = from.data<T>();
  T* target = to.data<T>();
  parallel_for(to.numel(), kAddGrain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      target[i] = T(static_cast<float>(target[i]) + static_cast<float>(source[i]));
    }
  });
}

}  // namespace

Grads::Slot Grads::into(int input) {
  auto& state = *inputs_[static_cast<std::size_t>(input)].state_;
  if (!state.grad.defined()) {
    state.grad = Tensor::empty(state.value.shape(), state.value.dtype(), state.value.device());
    return {state.grad, false};
  }
  // Adopted by pass() and still seen by another owner: adding in place would change that one.
  if (!state.grad.unique()) state.grad = state.grad.clone();
  return {state.grad, true};
}

void Grads::pass(int input, const Tensor& grad) {
  auto& state = *inputs_[static_cast<std::size_t>(input)].state_;
  require<UsageError>(grad.shape() == state.value.shape() && grad.dtype() == state.value.dtype(),
                      "gradient {} of {} for an input {} of {}", to_string(grad.shape()),
                      name_of(grad.dtype()), to_string(state.value.shape()),
                      name_of(state.value.dtype()));
  if (!state.grad.defined()) {
    state.grad = grad;
    return;
  }
  const Slot slot = into(input);
  grad.dtype() == DType::f32 ? add<float>(grad, slot.tensor) : add<bf16>(grad, slot.tensor);
}

bool Graph::saves_for(std::span<const Var> inputs) const {
  return options_.record &&
         std::any_of(inputs.begin(), inputs.end(), [](const Var& v) { return v.requires_grad(); });
}

Var Graph::record(std::string_view op, std::vector<Var> inputs, Tensor output,
                  BackwardFn backward) {
  const bool save = saves_for(inputs);
  Var result(std::move(output), save);
  if (save) nodes_.push_back({op, std::move(inputs), result, std::move(backward)});
  return result;
}

Var Graph::checkpoint(Segment fn, std::vector<Var> inputs) {
  if (!recording()) return fn(*this, inputs);
  GraphOptions options = options_;
  options.record = false;
  const std::uint64_t first_stream = stream_;
  Graph forward(options);
  forward.stream_ = first_stream;
  Tensor output = fn(forward, inputs).value();
  stream_ = forward.stream_;
  // Recorded even when no input wants a gradient: parameters inside `fn` may.
  Var result(std::move(output), true);
  BackwardFn backward = [fn = std::move(fn), options = options_, first_stream, inputs](
                            const Tensor& grad, Grads& grads) {
    Graph again(options);
    again.stream_ = first_stream;
    std::vector<Var> leaves;
    for (const Var& input : inputs) leaves.emplace_back(input.value(), input.requires_grad());
    again.backward(fn(again, leaves), grad);
    for (std::size_t i = 0; i < leaves.size(); ++i) {
      if (leaves[i].requires_grad() && leaves[i].grad().defined()) {
        grads.pass(static_cast<int>(i), leaves[i].grad());
      }
    }
  };
  nodes_.push_back({"checkpoint", std::move(inputs), result, std::move(backward)});
  return result;
}

void Graph::backward(const Var& loss, float scale) {
  require<UsageError>(loss.value().numel() == 1, "backward: the loss must be one number, not {}",
                      to_string(loss.shape()));
  require<UsageError>(loss.value().dtype() == DType::f32, "backward: the loss must be f32");
  backward(loss, Tensor::from<float>(std::span(&scale, 1), loss.shape()));
}

void Graph::backward(const Var& output, Tensor grad) {
  output.state_->grad = std::move(grad);
  while (!nodes_.empty()) {
    Node node = std::move(nodes_.back());
    nodes_.pop_back();
    const Tensor grad_output = std::exchange(node.output.state_->grad, {});
    if (!grad_output.defined()) continue;  // nothing below the loss used it
    const OpTimer timer(options_.profiler, node.op, Pass::backward);
    Grads grads(node.inputs);
    node.backward(grad_output, grads);
  }
}

}  // namespace stepstone
