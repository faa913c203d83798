#pragma once

#include <string>

#include "io/json.h"
#include "models/transformer/families.h"

namespace stepstone {

// Fields of other families' config.json that change what a model computes. Throws FormatError
// naming the first that `json` has with a value at which it does; `family` is null for GPT-2. A
// field of which nothing is known counts as one when its name speaks of experts, scales, caps,
// windows, rotation or low ranks; other unknown fields are of training, or of other programs.
void refuse_foreign_fields(const Json& json, const std::string& file, const Family* family);

// The same for the members of rope_scaling or rope_parameters; `field` is which.
void refuse_foreign_rope(const Json& rope, const std::string& file, const std::string& field);

}  // namespace stepstone
