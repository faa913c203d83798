#include "ops/op.h"

namespace stepstone::ops {

#define OP(name) extern const OpInfo name##_info;
#include "ops/ops.def"
#undef OP

std::span<const OpInfo* const> all_ops() {
  static constexpr const OpInfo* kOps[] = {
#define OP(name) &name##_info,
#include "ops/ops.def"
#undef OP
  };
  return kOps;
}

}  // namespace stepstone::ops
