// Trainable tensors: where they are in the model, on disk, and to the optimiser.
#pragma once

#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "autograd/graph.h"

namespace stepstone::nn {

// What a parameter does decides how it is optimised and initialised.
enum class Role : std::uint8_t {
  matrix,           // a projection inside a block: [out, in]
  residual_matrix,  // a projection whose output is added to the residual stream
  embedding,        // a table of rows, one used per token
  head,             // the projection to the vocabulary
  vector,           // norm weights and biases
};

// A parameter of the model may hold several tensors of the Hugging Face file, one below the other
// (q, k and v are one matrix product here and three entries there), or rows of one tensor there in
// another order (several parts of one name).
struct Part {
  std::string name;  // in model.safetensors
  std::int64_t rows;
  std::int64_t first = 0;  // row within that tensor
};

struct Parameter {
  std::string name;
  Shape shape;
  Var var;  // f32 master weight; undefined where allocate() has not been called or the values are
            // kept elsewhere for inference (Transformer::pack, set_blocks)
  Role role;
  std::vector<Part> parts;
  bool transposed = false;  // stored as [in, out] on disk (GPT-2's Conv1D)

  std::int64_t numel() const { return shape.numel(); }
  // Memory for the values, not set to anything. Nothing if there is some already.
  void allocate();
};

// Whether the parameters of a new model get zeros, or no memory until they are read.
enum class Values : std::uint8_t { zeros, none };

// Owns a model's parameters in a fixed order; addresses stay valid.
class ParameterList {
 public:
  explicit ParameterList(Values values = Values::zeros) : values_(values) {}

  Parameter& add(std::string name, Shape shape, Role role, std::vector<Part> parts = {},
                 bool transposed = false);

  auto begin() { return parameters_.begin(); }
  auto end() { return parameters_.end(); }
  auto begin() const { return parameters_.begin(); }
  auto end() const { return parameters_.end(); }
  std::size_t size() const { return parameters_.size(); }
  std::int64_t numel() const;
  void clear_gradients();

 private:
  Values values_;
  std::deque<Parameter> parameters_;
};

}  // namespace stepstone::nn
