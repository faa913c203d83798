// The normalizer, pre-tokenizer, post-processor and decoder of a tokenizer.json.
#pragma once

#include <string>

#include "io/json.h"
#include "tokenizer/tokenizer_model.h"

namespace stepstone {

// Fills splits, compose, add_prefix_space and post_processor. Throws FormatError for any component
// that is not supported.
void read_byte_level_steps(const Json& root, const std::string& file, TokenizerModel& model);

// Throws FormatError unless the components are those of a character tokenizer.
void check_character_steps(const Json& root, const std::string& file);

}  // namespace stepstone
