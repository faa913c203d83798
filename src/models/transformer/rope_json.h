// The rotary settings in config.json: rope_parameters of transformers 5, rope_theta and
// rope_scaling before it.
#pragma once

#include <string>

#include "io/json.h"
#include "models/transformer/config.h"

namespace stepstone {

// Fills config.rope and config.local_theta, whose defaults stand there; the other fields have been
// read. Throws FormatError.
void read_rope(const Json& json, const std::string& file, TransformerConfig& config);
// Adds the keys of both spellings.
void write_rope(const TransformerConfig& config, Json& json);

}  // namespace stepstone
