// Which type each tensor of a quantised model gets: the named mixtures of llama.cpp
// (llama-quantize), without importance matrix and experts.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "quant/block_type.h"

namespace stepstone {

enum class TensorKind : std::uint8_t {
  embedding,  // tied: it is the head too
  head,
  attention_qkv,
  attention_value,
  attention_output,
  down,
  other_matrix,
  vector,  // norms, biases, positions: F32 always
};

struct TensorPlace {
  TensorKind kind = TensorKind::other_matrix;
  std::int64_t layer = 0, layers = 1;
  std::int64_t row = 0;  // values per row
  std::int64_t heads = 1, kv_heads = 1;
  bool tied = false;  // the model's head is its embedding
};

class Mixture {
 public:
  // "Q4_K_M", in upper or lower case. Throws UsageError with the names there are.
  static Mixture named(std::string_view name);
  static std::vector<std::string> names();

  std::string_view name() const { return name_; }
  std::uint32_t file_type() const { return file_type_; }  // general.file_type
  // What the mixture has in mind for such a tensor, however long its rows.
  BlockType wanted(const TensorPlace& place) const;
  // The same, or a type with smaller blocks where the row is no multiple of its block.
  BlockType type_of(const TensorPlace& place) const;

 private:
  Mixture(std::string_view name, std::uint32_t file_type, BlockType base)
      : name_(name), file_type_(file_type), base_(base) {}
  std::string_view name_;
  std::uint32_t file_type_;
  BlockType base_;
};

}  // namespace stepstone
